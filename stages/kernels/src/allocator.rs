//! How long mimalloc, the program's allocator, keeps freed memory before it returns it to the system.

use libmimalloc_sys::{mi_option_get, mi_option_set, mi_option_t};
use std::ffi::c_long;
use std::time::Duration;

/// `mi_option_purge_delay` of mimalloc 3, milliseconds; the crate has no name for it.
const PURGE_DELAY: mi_option_t = 15;

/// Makes mimalloc keep freed memory for `time` before returning it to the system. By default it returns all free
/// memory once a second, and the pages of new tensors then fault again: with training steps of one second, this
/// took a tenth of each step. Call it before starting other threads. It has no effect if `MIMALLOC_PURGE_DELAY` is
/// set or another allocator is in use.
pub fn keep_freed_memory(time: Duration) {
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_some() {
        return;
    }
    let milliseconds = c_long::try_from(time.as_millis()).unwrap_or(c_long::MAX);
    // SAFETY: mimalloc writes one word that its other threads read without a lock; none of them runs yet (see
    // above).
    unsafe { mi_option_set(PURGE_DELAY, milliseconds) };
    // SAFETY: reads one word.
    debug_assert_eq!(unsafe { mi_option_get(PURGE_DELAY) }, milliseconds);
}

#[cfg(test)]
#[cfg(not(miri))] // which cannot call C
mod tests {
    use super::*;

    /// Fails if another version of mimalloc numbers its options differently: of the options of version 3, only this
    /// one is initially 1000.
    #[test]
    fn the_option_is_the_delay() {
        let delay = || {
            // SAFETY: as above.
            unsafe { mi_option_get(PURGE_DELAY) }
        };
        if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
            assert_eq!(delay(), 1000);
            keep_freed_memory(Duration::from_secs(10));
            assert_eq!(delay(), 10_000);
        }
    }
}
