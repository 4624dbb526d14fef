//! Rows that are computed incrementally, stored next to the final file, so that an interrupted computation can
//! resume.
//!
//! | bytes | contents |
//! |---|---|
//! | first line | `latent-align partial 1` |
//! | second line | the identity of the rows, as a JSON object |
//! | blocks of whole rows | size of the rows in bytes (u64), BLAKE3 of the block's number and its rows (32), the rows |
//!
//! A process may be killed at any byte: a block without a valid digest, and everything after it, are ignored.

use crate::error::{Error, Result};
use rustix::fs::OFlags;
use serde_json::{Map, Value};
use std::fs::{File, TryLockError};
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The first line.
const FORMAT: &str = "latent-align partial 1\n";
/// Bytes per block besides its rows.
const HEAD: usize = 8 + blake3::OUT_LEN;
/// Maximum size of a block.
const LARGEST: u64 = 1 << 30;

/// The rows so far. Only one process at a time may open the file.
#[derive(Debug)]
pub struct Partial {
    file: File,
    path: PathBuf,
    /// Offset of the first block.
    start: u64,
    /// Size of a row in bytes.
    row: usize,
    rows: usize,
    blocks: u64,
}

impl Partial {
    /// Opens the rows at `path` with the identity `about` and `row` bytes each; creates the file if it does not
    /// exist. With `anew`, existing rows are discarded, even those of another identity.
    ///
    /// # Errors
    /// An input error for a file with other contents, or one that another process has open; file errors.
    pub fn open(path: &Path, about: &Map<String, Value>, row: usize, anew: bool) -> Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)
            .map_err(|e| Error::file(path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::input(format!(
                    "{}: another process is writing it; wait for it to finish, or choose another --out",
                    path.display()
                )));
            }
            // a file system without locks
            Err(TryLockError::Error(_)) => {}
        }
        Self::of(file, path, about, row, anew)
    }

    /// Rows in an unnamed file, which cannot be resumed.
    ///
    /// # Errors
    /// File errors.
    pub fn unnamed(about: &Map<String, Value>, row: usize) -> Result<Self> {
        let dir = std::env::temp_dir();
        let path = latent_align_hdf5::temporary::beside(&dir.join("latent-align"));
        let failed = |e: std::io::Error| Error::file(&path, e);
        let mut options = File::options();
        let options = options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(&path).map_err(failed)?;
        std::fs::remove_file(&path).map_err(failed)?;
        Self::of(file, &path, about, row, false)
    }

    fn of(
        mut file: File,
        path: &Path,
        about: &Map<String, Value>,
        row: usize,
        anew: bool,
    ) -> Result<Self> {
        assert!(row > 0, "a row has some bytes");
        let failed = |e: std::io::Error| Error::file(path, e);
        let about_line = serde_json::to_string(about).expect("plain data serialises");
        let head = format!("{FORMAT}{about_line}\n");
        let start = head.len() as u64;
        let mut found = Vec::new();
        (&mut file)
            .take(start)
            .read_to_end(&mut found)
            .map_err(failed)?;
        let goes_on = found == head.as_bytes();
        // a process was killed while writing the first lines
        let is_begun = head.as_bytes().starts_with(&found);
        if !goes_on && !is_begun {
            refuse_another(&mut file, path, about, anew)?;
        }
        if !goes_on || anew {
            file.set_len(0).map_err(failed)?;
            file.rewind().map_err(failed)?;
            file.write_all(head.as_bytes()).map_err(failed)?;
        }
        let mut partial = Self {
            file,
            path: path.to_owned(),
            start,
            row,
            rows: 0,
            blocks: 0,
        };
        partial.find_end()?;
        Ok(partial)
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends whole rows.
    ///
    /// # Errors
    /// File errors, such as a full disk; existing rows remain.
    ///
    /// # Panics
    /// If the bytes are not whole rows.
    pub fn append(&mut self, rows: &[u8]) -> Result<()> {
        assert!(rows.len().is_multiple_of(self.row), "whole rows");
        if rows.is_empty() {
            return Ok(());
        }
        let mut block = Vec::with_capacity(HEAD + rows.len());
        block.extend_from_slice(&(rows.len() as u64).to_le_bytes());
        block.extend_from_slice(digest(self.blocks, rows).as_bytes());
        block.extend_from_slice(rows);
        (self.file.write_all(&block)).map_err(|e| Error::file(&self.path, e))?;
        self.rows += rows.len() / self.row;
        self.blocks += 1;
        Ok(())
    }

    /// Calls `work` with all rows in order, in chunks of whole rows.
    ///
    /// # Errors
    /// Errors of `work`; a file error if rows have changed on disk.
    pub fn each(&mut self, mut work: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut seen = 0;
        self.read(|rows| {
            seen += 1;
            work(rows).map(ControlFlow::Continue)
        })?;
        match seen == self.blocks {
            true => Ok(()),
            false => Err(self.changed()),
        }
    }

    /// The first `count` rows, or all if there are fewer; reads no more than needed.
    ///
    /// # Errors
    /// A file error if rows have changed on disk.
    pub fn first(&mut self, count: usize) -> Result<Vec<u8>> {
        let wanted = count.min(self.rows) * self.row;
        let mut found = Vec::new();
        self.read(|rows| {
            found.extend_from_slice(&rows[..rows.len().min(wanted - found.len())]);
            Ok(match found.len() < wanted {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            })
        })?;
        (self.file.seek(SeekFrom::End(0))).map_err(|e| Error::file(&self.path, e))?;
        match found.len() == wanted {
            true => Ok(found),
            false => Err(self.changed()),
        }
    }

    fn changed(&self) -> Error {
        Error::file(
            &self.path,
            "rows have changed since they were written; run the same command again",
        )
    }

    /// Removes the file.
    ///
    /// # Errors
    /// File errors.
    pub fn remove(self) -> Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::file(&self.path, e)),
            _ => Ok(()),
        }
    }

    /// Finds the end of the last valid block, and truncates the file there.
    fn find_end(&mut self) -> Result<()> {
        let (mut rows, mut blocks) = (0, 0);
        let row = self.row;
        let end = self.read(|block| {
            rows += block.len() / row;
            blocks += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        let cut = self.file.set_len(end);
        cut.and_then(|()| self.file.seek(SeekFrom::Start(end)))
            .map_err(|e| Error::file(&self.path, e))?;
        (self.rows, self.blocks) = (rows, blocks);
        Ok(())
    }

    /// Calls `work` with the rows of each valid block, up to the first invalid one or until it breaks, and returns
    /// the end of the last one, which is the file's position.
    fn read(&mut self, mut work: impl FnMut(&[u8]) -> Result<ControlFlow<()>>) -> Result<u64> {
        let failed = |e: std::io::Error| Error::file(&self.path, e);
        let mut end = self.start;
        self.file.seek(SeekFrom::Start(end)).map_err(failed)?;
        let mut reader = BufReader::with_capacity(1 << 20, &self.file);
        let mut rows = Vec::new();
        for number in 0.. {
            match next_block(&mut reader, number, self.row, &mut rows) {
                Ok(true) => {}
                Ok(false) => break,
                Err(e) => return Err(failed(e)),
            }
            end += (HEAD + rows.len()) as u64;
            if work(&rows)?.is_break() {
                break;
            }
        }
        self.file.seek(SeekFrom::Start(end)).map_err(failed)?;
        Ok(end)
    }
}

/// Reads block `number` into `rows`; false if there is no valid one.
fn next_block(
    reader: &mut impl Read,
    number: u64,
    row: usize,
    rows: &mut Vec<u8>,
) -> std::io::Result<bool> {
    let mut head = [0; HEAD];
    let whole = |read: std::io::Result<()>| match read {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    };
    if !whole(reader.read_exact(&mut head))? {
        return Ok(false);
    }
    let (length, expected) = head.split_at(8);
    let length = u64::from_le_bytes(length.try_into().expect("eight bytes"));
    if length == 0 || length > LARGEST || length % row as u64 != 0 {
        return Ok(false);
    }
    rows.resize(length as usize, 0);
    Ok(whole(reader.read_exact(rows))? && digest(number, rows).as_bytes() == expected)
}

fn digest(number: u64, rows: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(rows);
    hasher.finalize()
}

/// Refuses the contents of `file`, unless they are rows of another identity and may be discarded.
fn refuse_another(
    file: &mut File,
    path: &Path,
    about: &Map<String, Value>,
    anew: bool,
) -> Result<()> {
    let mut found = Vec::new();
    (file.rewind())
        .and_then(|()| file.take(1 << 20).read_to_end(&mut found))
        .map_err(|e| Error::file(path, e))?;
    let rest = found.strip_prefix(FORMAT.as_bytes());
    let line = rest.and_then(|rest| rest.split(|&byte| byte == b'\n').next());
    let other: Option<Map<String, Value>> = line.and_then(|l| serde_json::from_slice(l).ok());
    let Some(other) = other else {
        return Err(Error::input(format!(
            "{}: found a file that this program did not write, at the path of its partial rows; \
             move it away, or choose another --out",
            path.display()
        )));
    };
    if anew {
        return Ok(());
    }
    let keys = about
        .keys()
        .chain(other.keys().filter(|key| !about.contains_key(*key)));
    let shown = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
    let differs: Vec<String> = keys
        .filter(|key| about.get(*key) != other.get(*key))
        .map(|key| {
            format!(
                "{key}: {}, now {}",
                shown(other.get(key)),
                shown(about.get(key))
            )
        })
        .collect();
    Err(Error::input(format!(
        "{}: found rows of another interrupted command; finish that command, start anew with \
         --force, or choose another --out\n  {}",
        path.display(),
        differs.join("\n  ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn about(value: u32) -> Map<String, Value> {
        let Value::Object(map) = json!({"command": "encode", "input": value}) else {
            unreachable!()
        };
        map
    }

    fn rows(partial: &mut Partial) -> Vec<u8> {
        let mut all = Vec::new();
        partial
            .each(|rows| {
                all.extend_from_slice(rows);
                Ok(())
            })
            .unwrap();
        all
    }

    /// Fails if an incomplete or damaged block counts.
    #[test]
    fn cut_at_any_byte_it_goes_on_after_the_last_whole_block() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.partial");
        let blocks: [&[u8]; 3] = [b"aabb", b"cc", b"ddeeff"];
        let mut partial = Partial::open(&path, &about(1), 2, false).unwrap();
        let mut ends = vec![std::fs::metadata(&path).unwrap().len()];
        for block in blocks {
            partial.append(block).unwrap();
            ends.push(std::fs::metadata(&path).unwrap().len());
        }
        drop(partial);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut partial = Partial::open(&path, &about(1), 2, false).unwrap();
            let kept = ends.iter().filter(|&&end| end <= cut as u64).count().max(1) - 1;
            let expected = blocks[..kept].concat();
            assert_eq!(
                (partial.rows(), rows(&mut partial)),
                (expected.len() / 2, expected)
            );
            for block in &blocks[kept..] {
                partial.append(block).unwrap();
            }
            drop(partial);
            assert_eq!(std::fs::read(&path).unwrap(), whole, "cut at {cut}");
        }
        // the second block's row
        let mut damaged = whole;
        damaged[ends[2] as usize - 1] ^= 1;
        std::fs::write(&path, damaged).unwrap();
        let partial = Partial::open(&path, &about(1), 2, false).unwrap();
        assert_eq!(partial.rows(), 2);
    }

    /// Fails if the next rows would overwrite those after the first ones.
    #[test]
    fn the_first_rows_are_read_alone_and_more_are_added_behind_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.partial");
        let mut partial = Partial::open(&path, &about(1), 2, false).unwrap();
        for block in [&b"aabb"[..], b"cc", b"ddeeff"] {
            partial.append(block).unwrap();
        }
        let all = b"aabbccddeeff";
        for count in 0..8 {
            let expected = &all[..(2 * count).min(all.len())];
            assert_eq!(partial.first(count).unwrap(), expected);
        }
        partial.first(1).unwrap();
        partial.append(b"gg").unwrap();
        assert_eq!(rows(&mut partial), b"aabbccddeeffgg");
    }

    #[test]
    fn rows_of_another_command_are_refused_with_what_differs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.partial");
        let mut first = Partial::open(&path, &about(1), 2, false).unwrap();
        first.append(b"aa").unwrap();
        let told =
            |value, anew| Partial::open(&path, &about(value), 2, anew).map_err(|e| e.to_string());
        assert!(
            told(1, false)
                .unwrap_err()
                .contains("another process is writing it")
        );
        drop(first);
        let refused = told(2, false).unwrap_err();
        assert!(
            refused.contains("input: 1, now 2") && !refused.contains("command:"),
            "{refused}"
        );
        assert_eq!(told(1, false).unwrap().rows(), 1);
        assert_eq!(told(2, true).unwrap().rows(), 0);
        assert_eq!(told(2, false).unwrap().rows(), 0);

        std::fs::write(&path, "my notes").unwrap();
        for anew in [false, true] {
            assert!(told(1, anew).unwrap_err().contains("did not write"));
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"my notes");
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, victim) = (dir.path().join("a.partial"), dir.path().join("victim"));
        std::fs::write(&victim, "").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        assert!(Partial::open(&path, &about(1), 2, false).is_err());
        assert_eq!(std::fs::metadata(&victim).unwrap().len(), 0);
    }
}
