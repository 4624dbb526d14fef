//! What the subprocess does that opens a file first; see [`super::guard`].

use super::contents::Contents;
use super::guard::{Asked, REHEARSE, enable};
use super::hdf5_raw::count_chunks;
use super::open::{open_dataset, open_file};
use super::tree::{FileListing, describe};
use crate::error::Result;
use std::ffi::OsStr;
use std::path::Path;

/// To be called first by a program that reads files of others. True in a process that rehearses a
/// reading: it is over, and the program ends. Files are read without a rehearsal by programs that do not
/// call it.
pub fn is_rehearsal() -> bool {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(REHEARSE)) {
        enable();
        return false;
    }
    if let Some((path, asked)) = Asked::parse(arguments) {
        limit(&path);
        // What it says is of no matter: who asked asks again, and is told the same.
        let _ = ask(&asked, &path);
    }
    true
}

/// Reads what is `asked`, and more of it than any caller does.
fn ask(asked: &Asked, path: &Path) -> Result<()> {
    let Asked::Dataset { name, rows } = asked else {
        return FileListing::read(path).map(drop);
    };
    let file = open_file(path, asked)?;
    let dataset = open_dataset(&file, path, name)?;
    let _ = describe(&dataset, name);
    let _ = count_chunks(&dataset);
    Contents::read(path, name, false, *rows).map(drop)
}

/// Seconds of a processor, to which comes one for each so many bytes of the file, and the most.
const SECONDS: u64 = 10;
const BYTES_A_SECOND: u64 = 8 << 20;
const MOST_SECONDS: u64 = 60;

/// Bounds this process, which leaves no core behind, ends with its parent, and does not hear of Ctrl-C:
/// its parent does.
fn limit(path: &Path) {
    let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
    let seconds = (SECONDS + size / BYTES_A_SECOND).min(MOST_SECONDS);
    let set = |resource, soft, hard| {
        let limits = libc::rlimit {
            rlim_cur: soft,
            rlim_max: hard,
        };
        // SAFETY: the call reads the limits.
        unsafe { libc::setrlimit(resource, &limits) };
    };
    set(libc::RLIMIT_CORE, 0, 0);
    set(libc::RLIMIT_CPU, seconds, seconds + 1);
    // SAFETY: this call of `prctl` takes a number alone.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: to ignore a signal runs no code of ours.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}
