//! How long mimalloc, the allocator of the program, keeps memory that tensors no longer need.

use libmimalloc_sys::{mi_option_get, mi_option_set, mi_option_t};
use std::ffi::c_long;
use std::time::Duration;

/// `mi_option_purge_delay` of mimalloc 3, milliseconds; the crate has no name for it.
const PURGE_DELAY: mi_option_t = 15;

/// Has mimalloc keep freed memory for `time` before it gives it back to the system. By default it gives all free
/// memory back once a second, and the pages of tensors are then faulted in anew: where a training step takes a second,
/// a tenth of it went there. To be called before other threads are started. Without effect where
/// `MIMALLOC_PURGE_DELAY` is set, or another allocator is used.
pub fn keep_freed_memory(time: Duration) {
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_some() {
        return;
    }
    let milliseconds = c_long::try_from(time.as_millis()).unwrap_or(c_long::MAX);
    // SAFETY: mimalloc writes a word that its other threads read, which is to say without a lock: see above.
    unsafe { mi_option_set(PURGE_DELAY, milliseconds) };
    // SAFETY: a word is read.
    debug_assert_eq!(unsafe { mi_option_get(PURGE_DELAY) }, milliseconds);
}

#[cfg(test)]
#[cfg(not(miri))] // which cannot call C
mod tests {
    use super::*;

    /// Red where another version of mimalloc numbers its options otherwise: of those of version 3, only this one is
    /// 1000 at first.
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
