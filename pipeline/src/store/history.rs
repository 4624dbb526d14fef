//! The history of a run: `artifacts/runs/<name>` is its newest entry, `<name>@<number>` are earlier ones.
//!
//! Each entry has one configuration. Starting a run with another configuration renames the existing
//! folder to its number and creates a new one; the older folder keeps its links, so that its artifacts
//! stay in use, its configuration, its summary and its report.

use super::artifacts::Store;
use super::{Lock, RunFolder, RunRecord, disk};
use latent_align_stages::{Error, Result};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Separates the name of a run from the number of an entry; not allowed in names.
const AT: char = '@';
/// Starting an entry is fast; a process that takes this long hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The run name and the entry number of the folder called `folder`; no number for the newest entry, whose
/// folder is the name alone.
pub fn entry_of(folder: &str) -> (&str, Option<u64>) {
    let parts = folder.rsplit_once(AT);
    let parts = parts.and_then(|(name, number)| Some((name, number.parse().ok()?)));
    parts.map_or((folder, None), |(name, number)| (name, Some(number)))
}

/// The folder name of the older entry `number` of the run `name`.
pub fn entry_name(name: &str, number: u64) -> String {
    format!("{name}{AT}{number}")
}

impl Store {
    /// The folder under `runs` for `name`, a run's name or an entry such as `toy@2`; none if it does not
    /// exist. The newest entry also has the name alone.
    pub fn run_entry(&self, name: &str) -> Option<String> {
        let exists = |name: &str| RunFolder::of(self, name).path().is_dir();
        if exists(name) {
            return Some(name.to_owned());
        }
        match entry_of(name) {
            (name, Some(number)) => {
                let newest = RunFolder::of(self, name);
                (exists(name) && newest.number() == number).then(|| name.to_owned())
            }
            // If killed right after the newest entry was renamed, a run has only older entries.
            (_, None) => {
                let newest = RunFolder::of(self, name).earlier().pop()?;
                Some(entry_name(name, newest))
            }
        }
    }
}

impl RunFolder {
    /// The name of the folder.
    pub fn name(&self) -> String {
        let name = self.path().file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// The numbers of the older entries of this run, ascending.
    pub fn earlier(&self) -> Vec<u64> {
        let own = self.name();
        let entries = self.path().parent().and_then(|runs| runs.read_dir().ok());
        let names = entries.into_iter().flatten().flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        let numbers = names.filter_map(|name| match entry_of(&name) {
            (name, number) if name == own => number,
            _ => None,
        });
        let mut numbers: Vec<u64> = numbers.collect();
        numbers.sort_unstable();
        numbers
    }

    /// The number of this entry.
    pub fn number(&self) -> u64 {
        self.number_with(self.record().ok().flatten().as_ref())
    }

    /// The same, with a record that was already read.
    pub fn number_with(&self, record: Option<&RunRecord>) -> u64 {
        match (entry_of(&self.name()).1, record) {
            (Some(number), _) => number,
            (None, Some(record)) => record.entry,
            (None, None) => self.earlier().pop().unwrap_or(0) + 1,
        }
    }

    /// Renames this entry to `<name>@<number>`, and returns its number. From then on the run has no
    /// newest entry until a new one is started. The caller must be [alone](Self::alone).
    ///
    /// # Errors
    /// Renaming fails.
    pub fn retire(&self) -> Result<u64> {
        let mut number = self.number();
        let place = |number| self.path().with_file_name(entry_name(&self.name(), number));
        while place(number).symlink_metadata().is_ok() {
            number += 1;
        }
        disk::rename(self.path(), &place(number))?;
        Ok(number)
    }

    /// Keeps other processes from starting an entry of this run until dropped.
    ///
    /// # Errors
    /// The folder of runs cannot be written, or a hanging process holds the lock.
    pub fn alone(&self) -> Result<Lock> {
        let runs: PathBuf = self.path().parent().map(Into::into).unwrap_or_default();
        disk::create_folder(&runs)?;
        let since = Instant::now();
        loop {
            match Lock::try_claim(&runs, &self.name())? {
                Ok(lock) => return Ok(lock),
                Err(holder) if since.elapsed() > PATIENCE => {
                    return Err(Error::file(
                        self.path(),
                        format!("{holder} has been starting it for a minute; end that process"),
                    ));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_entry_is_found_by_its_number_and_the_newest_by_both() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        let folder = RunFolder::of(&store, "toy");
        assert_eq!(store.run_entry("toy"), None);
        folder.write("config.yaml", "one").unwrap();
        assert_eq!(folder.number(), 1);
        assert_eq!(folder.retire().unwrap(), 1);
        // as after a kill
        assert_eq!(store.run_entry("toy").as_deref(), Some("toy@1"));
        folder.write("config.yaml", "two").unwrap();
        assert_eq!((folder.earlier(), folder.number()), (vec![1], 2));
        for (name, found) in [
            ("toy", Some("toy")),
            ("toy@1", Some("toy@1")),
            ("toy@2", Some("toy")),
            ("toy@3", None),
            ("to", None),
        ] {
            assert_eq!(store.run_entry(name).as_deref(), found, "{name}");
        }
        let older = dir.path().join("runs/toy@1/config.yaml");
        assert_eq!(std::fs::read_to_string(older).unwrap(), "one");
    }

    #[test]
    fn an_entry_takes_no_number_that_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        let folder = RunFolder::of(&store, "toy");
        folder.write("config.yaml", "one").unwrap();
        let record = RunRecord::starting("toy", "toy.yaml".as_ref(), 0, "cpu");
        folder.write_record(&record.numbered(4)).unwrap();
        std::fs::create_dir(dir.path().join("runs/toy@4")).unwrap();
        assert_eq!(folder.retire().unwrap(), 5);
    }
}
