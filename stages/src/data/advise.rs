//! Tells the system what will be read soon, so that the disk is at work meanwhile.

use std::fs::File;
use std::ops::Range;

/// Announces a read of the bytes `range` of `file`. Advice, no more: nothing follows if it is not
/// taken.
#[cfg(target_os = "linux")]
pub(super) fn will_read(file: &File, range: Range<u64>) {
    use std::os::fd::AsRawFd;
    let length = range.end - range.start;
    // SAFETY: a system call on a descriptor that `file` keeps open; it touches no memory of ours.
    unsafe {
        libc::posix_fadvise(
            file.as_raw_fd(),
            range.start as libc::off_t,
            length as libc::off_t,
            libc::POSIX_FADV_WILLNEED,
        )
    };
}

/// As on Linux, where other systems have no such call.
#[cfg(not(target_os = "linux"))]
pub(super) fn will_read(_file: &File, _range: Range<u64>) {}
