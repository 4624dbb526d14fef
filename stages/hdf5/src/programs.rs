//! Child processes that must not outlive this one.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Kills the program of `command` with this process, and keeps files that are open here from being inherited:
/// libhdf5 opens files itself, and may hold locks on them.
pub fn alone(command: &mut Command) -> &mut Command {
    // SAFETY: the hook between fork and exec makes two system calls and nothing else.
    unsafe { command.pre_exec(before_exec) }
}

/// Runs in the child process before exec.
fn before_exec() -> std::io::Result<()> {
    // SAFETY: both calls take numbers only. An old kernel lacks the second, which then has no effect.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::syscall(
            libc::SYS_close_range,
            3,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        );
    }
    Ok(())
}
