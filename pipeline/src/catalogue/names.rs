//! Names of runs on the command line.

use super::found::Catalogue;
use super::history::Entry;
use crate::config::hint;
use crate::store::{entry_name, entry_of};
use crate::tables::matches;
use latent_align_stages::{Error, Result};
use std::path::Path;

impl Catalogue {
    /// The folders of the runs that `wanted` names: each a run's name, its folder, an older entry of its
    /// history such as `toy@1`, or a pattern with `*`. In that order, without repetitions. A name without an
    /// entry number is the newest entry.
    ///
    /// # Errors
    /// [`Error::Input`] for a name without a run.
    pub fn named(&self, wanted: &[String]) -> Result<Vec<String>> {
        let history = self.history();
        let newest = history.iter().filter(|entry| entry.is_newest);
        let all: Vec<&str> = newest.map(|entry| entry.run.as_str()).collect();
        let mut named: Vec<String> = Vec::new();
        for wanted in wanted {
            let path = wanted.trim_end_matches('/');
            let name = path.rsplit('/').next().unwrap_or(path);
            if name != path {
                self.holds(Path::new(path))?;
            }
            let is_meant = |entry: &&Entry| match name.contains('@') {
                false => entry.is_newest && matches(name, &entry.run),
                true => matches(name, &entry_name(&entry.run, entry.number(self))),
            };
            let found: Vec<&String> = (history.iter().filter(is_meant))
                .map(|entry| &entry.folder)
                .collect();
            if found.is_empty() {
                let run = entry_of(name).0;
                let (near, lists) = match all.contains(&run) {
                    true => (String::new(), "list --all"),
                    false => (hint(name, &all), "list"),
                };
                return Err(Error::input(format!(
                    "no run `{name}` in {}{near} (`latent-align {lists}` lists them)",
                    self.store.root().display()
                )));
            }
            for run in found {
                if !named.contains(run) {
                    named.push(run.clone());
                }
            }
        }
        Ok(named)
    }

    /// Checks that `folder` is a run of this store.
    fn holds(&self, folder: &Path) -> Result<()> {
        let home = folder.parent().and_then(|p| p.canonicalize().ok());
        let runs = self.store.root().join("runs");
        if home.is_some() && home == runs.canonicalize().ok() {
            return Ok(());
        }
        Err(Error::input(format!(
            "{}: no run of this store, whose runs are in {}; name another store with --artifacts",
            folder.display(),
            runs.display()
        )))
    }

    /// The single run that `wanted` names.
    ///
    /// # Errors
    /// [`Error::Input`] if it names none or several.
    pub fn one_named(&self, wanted: &str) -> Result<String> {
        let mut named = self.named(&[wanted.to_owned()])?;
        match named.len() {
            1 => Ok(named.remove(0)),
            count => Err(Error::input(format!(
                "`{wanted}` names {count} runs; expected one"
            ))),
        }
    }
}
