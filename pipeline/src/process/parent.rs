//! Ends a trial with the sweep that started it.

use std::os::unix::process::parent_id;

/// Environment variable with the process to end with.
pub const PARENT: &str = "LATENT_ALIGN_PARENT";

/// Asks the kernel for SIGTERM when the parent process dies, if that is a sweep, so that a killed sweep
/// leaves nothing running. Returns false if it is dead already.
pub fn end_with_parent() -> bool {
    let parent = std::env::var(PARENT).ok();
    let Some(parent) = parent.and_then(|p| p.parse::<u32>().ok()) else {
        return true;
    };
    // SAFETY: this call of `prctl` takes numbers only.
    let asked = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) } == 0;
    !asked || parent_id() == parent
}
