//! Tells the system what will be read soon, so that the disk is at work meanwhile.

use std::fs::File;
use std::ops::Range;

/// Announces a read of the bytes `range` of `file`. Advice, no more: nothing follows if it is not
/// taken.
#[cfg(target_os = "linux")]
pub(crate) fn will_read(file: &File, range: Range<u64>) {
    use rustix::fs::{Advice, fadvise};
    let length = std::num::NonZero::new(range.end - range.start);
    let _ = fadvise(file, range.start, length, Advice::WillNeed);
}

/// As on Linux, where other systems have no such call.
#[cfg(not(target_os = "linux"))]
pub(crate) fn will_read(_file: &File, _range: Range<u64>) {}
