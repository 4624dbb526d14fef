//! Ends a trial with the sweep that started it.

use rustix::process::{Signal, set_parent_process_death_signal};
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
    let asked = set_parent_process_death_signal(Some(Signal::TERM));
    asked.is_err() || parent_id() == parent
}
