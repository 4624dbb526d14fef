//! Programs that this one starts and that are not to outlive it.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Has the program of `command` killed with this process, and keeps every file that is open here from staying
/// open there: libhdf5 opens files without saying so, and may hold a lock on them.
pub fn alone(command: &mut Command) -> &mut Command {
    // SAFETY: what runs between fork and exec makes two system calls and nothing else.
    unsafe { command.pre_exec(before_exec) }
}

/// In the new process, before it is the program.
fn before_exec() -> std::io::Result<()> {
    // SAFETY: both calls take numbers alone. An old kernel lacks the second, which is then without effect.
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
