//! Read-ahead hints to the operating system.

use std::fs::File;
use std::ops::Range;

/// Announces a read of the bytes `range` of `file`. A hint only; failure is ignored.
#[cfg(target_os = "linux")]
pub(crate) fn will_read(file: &File, range: Range<u64>) {
    use rustix::fs::{Advice, fadvise};
    let length = std::num::NonZero::new(range.end - range.start);
    let _ = fadvise(file, range.start, length, Advice::WillNeed);
}

/// A no-op on systems without such a call.
#[cfg(not(target_os = "linux"))]
pub(crate) fn will_read(_file: &File, _range: Range<u64>) {}
