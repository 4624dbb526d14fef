//! Locks of open file descriptions (fcntl(2), "Open file description locks"): the kernel releases them
//! when the file is closed, and they can be tested without being taken.

use std::fs::File;
use std::io::Result;
use std::os::fd::AsRawFd as _;

/// Takes a shared lock; waits while another process holds an exclusive one.
///
/// # Errors
/// If the file system has no such locks.
pub fn shared(file: &File) -> Result<()> {
    loop {
        match call(file, libc::F_OFD_SETLKW, libc::F_RDLCK) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            done => return done.map(drop),
        }
    }
}

/// Tries to take an exclusive lock.
pub fn try_exclusive(file: &File) -> bool {
    call(file, libc::F_OFD_SETLK, libc::F_WRLCK).is_ok()
}

/// Whether another open file holds the lock.
pub fn is_held(file: &File) -> bool {
    let found = call(file, libc::F_OFD_GETLK, libc::F_WRLCK);
    found.is_ok_and(|kind| kind != libc::F_UNLCK)
}

/// Calls fcntl(2) with a lock of `kind` on the whole file; returns the kind that it answers with.
fn call(file: &File, command: libc::c_int, kind: libc::c_int) -> Result<libc::c_int> {
    // SAFETY: all fields are integers, for which zero is valid.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    // SAFETY: the descriptor is open while `file` is alive, and the structure outlives the call.
    match unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) } {
        -1 => Err(std::io::Error::last_os_error()),
        _ => Ok(lock.l_type.into()),
    }
}
