//! The journal of a search's evaluations on disk, one per line: `evaluations.jsonl`.
//!
//! A line consists of 16 hexadecimal digits of the BLAKE3 hash of the rest, a space, and a JSON object. It is
//! synced before its contents are used. An incomplete last line, left by a process killed during writing, is cut
//! off.

use super::history::Evaluation;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// The file in the folder of a search.
const FILE: &str = "evaluations.jsonl";
/// Hexadecimal digits before a line.
const DIGITS: usize = 16;

/// An evaluation with information from its proposer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// Text, score and round.
    #[serde(flatten)]
    pub evaluation: Evaluation,
    /// The trust region it is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<u32>,
    /// The predicted score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted: Option<f64>,
    /// Its standard deviation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertainty: Option<f64>,
    /// The distance of the chosen latent from the latent of its sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<f64>,
    /// The difference of the scores predicted at these two latents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discrepancy: Option<f64>,
}

/// A completed round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Counted from 1; 0 is the start of the search.
    pub round: u64,
    /// Seconds for proposals, including refits.
    pub proposing: f64,
    /// Seconds for the objective.
    pub scoring: f64,
}

/// The contents of a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// A text was scored.
    Evaluated(Evaluated),
    /// A round was completed.
    Round(Round),
}

/// The open file.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Opens or creates the journal in the folder `dir`, and returns its entries.
    ///
    /// # Errors
    /// File errors; an input error for a damaged line other than the last.
    pub fn open(dir: &Path) -> Result<(Self, Vec<Entry>)> {
        let path = dir.join(FILE);
        let failed = |e: std::io::Error| Error::file(&path, e);
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let (mut entries, mut end) = (Vec::new(), 0);
        for (number, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
            match parse(line) {
                Some(entry) => entries.push(entry),
                None if end + line.len() == bytes.len() => break,
                None => {
                    return Err(Error::input(format!(
                        "{}: line {} is damaged; repair it, or remove it to have its sequence scored again",
                        path.display(),
                        number + 1
                    )));
                }
            }
            end += line.len();
        }
        file.set_len(end as u64)
            .and_then(|()| file.seek(SeekFrom::Start(end as u64)))
            .and_then(|_| file.sync_all())
            .and_then(|()| File::open(dir)?.sync_all())
            .map_err(failed)?;
        Ok((Self { file, path }, entries))
    }

    /// Appends `entries` and syncs the file.
    ///
    /// # Errors
    /// File errors.
    pub fn append(&mut self, entries: &[Entry]) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let lines: String = entries.iter().map(line).collect();
        (self.file.write_all(lines.as_bytes()))
            .and_then(|()| self.file.sync_data())
            .map_err(|e| Error::file(&self.path, e))
    }
}

fn digest(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..DIGITS].to_owned()
}

fn line(entry: &Entry) -> String {
    let text = serde_json::to_string(entry).expect("plain data serialises");
    format!("{} {text}\n", digest(&text))
}

fn parse(line: &[u8]) -> Option<Entry> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (found, text) = line.split_once(' ')?;
    if found != digest(text) {
        return None;
    }
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let evaluated = |text: &str, score, predicted| {
            let (text, round) = (text.to_owned(), 3);
            Entry::Evaluated(Evaluated {
                evaluation: Evaluation { text, score, round },
                region: Some(2),
                predicted,
                uncertainty: None,
                moved: None,
                discrepancy: None,
            })
        };
        vec![
            evaluated("x\n\"é\"", Some(0.1 + 0.2), Some(-1e-300)),
            evaluated("", None, None),
            Entry::Round(Round {
                round: 3,
                proposing: 0.5,
                scoring: 1.25,
            }),
        ]
    }

    /// Fails if a torn line counts, a complete one is lost, or an added line joins a torn one.
    #[test]
    fn cut_at_any_byte_it_goes_on_after_the_last_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, found) = Journal::open(dir.path()).unwrap();
        assert_eq!(found, []);
        let entries = entries();
        journal.append(&entries[..1]).unwrap();
        journal.append(&entries[1..]).unwrap();
        let path = dir.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (mut journal, found) = Journal::open(dir.path()).unwrap();
            let lines = whole[..cut].iter().filter(|&&byte| byte == b'\n').count();
            assert_eq!(found, entries[..lines], "cut at {cut}");
            journal.append(&entries[lines..]).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_damaged_line_is_told_by_its_number_and_nothing_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(dir.path()).unwrap();
        journal.append(&entries()).unwrap();
        let path = dir.path().join(FILE);
        let mut bytes = std::fs::read(&path).unwrap();
        let second = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 30;
        bytes[second] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let told = Journal::open(dir.path()).unwrap_err().to_string();
        assert!(told.contains("line 2 is damaged"), "{told}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}
