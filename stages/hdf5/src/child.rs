//! What the subprocess does that opens a file first; see [`super::guard`].

use crate::contents::Contents;
use crate::error::Result;
use crate::guard::{Asked, REHEARSE, enable};
use crate::open::{open_dataset, open_file};
use crate::raw::count_chunks;
use crate::tree::{FileListing, describe};
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
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

/// Bounds this process, which leaves no core behind and ends with its parent.
fn limit(path: &Path) {
    let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
    let seconds = (SECONDS + size / BYTES_A_SECOND).min(MOST_SECONDS);
    let set = |resource, soft, hard| {
        let (current, maximum) = (Some(soft), Some(hard));
        // best effort: without limits it is bounded by its parent's patience
        let _ = setrlimit(resource, Rlimit { current, maximum });
    };
    set(Resource::Core, 0, 0);
    set(Resource::Cpu, seconds, seconds + 1);
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
}
