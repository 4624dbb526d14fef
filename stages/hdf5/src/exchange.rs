//! Atomic exchange of two files or folders.

use std::ffi::CString;
use std::io::Result;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Exchanges `a` and `b`, which are on one file system. By way of libc, so that tests can make it fail.
///
/// # Errors
/// Of renameat2(2): `EINVAL`, `ENOSYS` or `EOPNOTSUPP` if the file system cannot do it.
pub fn exchange(a: &Path, b: &Path) -> Result<()> {
    let text = |path: &Path| CString::new(path.as_os_str().as_bytes());
    let (a, b) = (text(a)?, text(b)?);
    let here = libc::AT_FDCWD;
    // SAFETY: both are strings that end with NUL and outlive the call.
    match unsafe { libc::renameat2(here, a.as_ptr(), here, b.as_ptr(), libc::RENAME_EXCHANGE) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
