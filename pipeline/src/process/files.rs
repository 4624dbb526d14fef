//! How many files this process may have open.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Enough for features in tens of thousands of files; programs that close all possible files at their start get slow
/// above it.
const ENOUGH: u64 = 1 << 16;

/// Raises the limit of open files to [`ENOUGH`], or to what the user may have: features may be in many files, which
/// stay open, and the usual limit of 1,024 is for programs that use `select`.
pub fn allow_many_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.unwrap_or(ENOUGH).min(ENOUGH);
    if limit.current.is_some_and(|current| current < allowed) {
        limit.current = Some(allowed);
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::debug!("the limit of open files stays: {error}");
        }
    }
}
