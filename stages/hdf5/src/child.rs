//! The subprocess that opens a file first; see [`super::guard`].

use crate::contents::Contents;
use crate::error::Result;
use crate::guard::{Asked, REHEARSE, enable};
use crate::open::{open_dataset, open_file};
use crate::raw::count_chunks;
use crate::tree::{FileListing, describe};
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use std::ffi::OsStr;
use std::path::Path;

/// A program that reads untrusted files must call this first. It returns true in the subprocess of a
/// trial reading, after which the program must exit. Programs that do not call it read files without a
/// trial.
pub fn is_rehearsal() -> bool {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(REHEARSE)) {
        enable();
        return false;
    }
    if let Some((path, asked)) = Asked::parse(arguments) {
        limit(&path);
        // The result does not matter: the parent asks again and gets the same answer.
        let _ = ask(&asked, &path);
    }
    true
}

/// Reads what is `asked`, and more of it than any caller does.
fn ask(asked: &Asked, path: &Path) -> Result<()> {
    match asked {
        Asked::Listing => FileListing::read(path).map(drop),
        Asked::Dataset { name, rows } => ask_of(name, *rows, asked, path),
        Asked::Datasets { names, rows } => {
            for name in names {
                let _ = ask_of(name, *rows, asked, path);
            }
            Ok(())
        }
    }
}

fn ask_of(name: &str, rows: usize, asked: &Asked, path: &Path) -> Result<()> {
    let file = open_file(path, asked)?;
    let dataset = open_dataset(&file, path, name)?;
    let _ = describe(&dataset, name);
    let _ = count_chunks(&dataset);
    Contents::read(path, name, false, rows).map(drop)
}

/// CPU time limit in seconds: a minimum, one more per so many bytes of the file, and a maximum.
const SECONDS: u64 = 10;
const BYTES_A_SECOND: u64 = 8 << 20;
const MOST_SECONDS: u64 = 60;

/// Limits the resources of this process, which leaves no core dump and ends with its parent.
fn limit(path: &Path) {
    let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
    let seconds = (SECONDS + size / BYTES_A_SECOND).min(MOST_SECONDS);
    let set = |resource, soft, hard| {
        let (current, maximum) = (Some(soft), Some(hard));
        // best effort
        let _ = setrlimit(resource, Rlimit { current, maximum });
    };
    set(Resource::Core, 0, 0);
    set(Resource::Cpu, seconds, seconds + 1);
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
}
