//! Runs as people name them.

use super::Catalogue;
use crate::config::did_you_mean;
use crate::query::matches;
use latent_align_stages::{Error, Result};
use std::path::Path;

impl Catalogue {
    /// The runs that `wanted` name: each a run's name, its folder, or a pattern with `*`. In that order,
    /// each once.
    ///
    /// # Errors
    /// [`Error::Input`] for one that names no run.
    pub fn named(&self, wanted: &[String]) -> Result<Vec<String>> {
        let all = self.folders("runs");
        let mut named: Vec<String> = Vec::new();
        for wanted in wanted {
            let path = wanted.trim_end_matches('/');
            let name = path.rsplit('/').next().unwrap_or(path);
            if name != path {
                self.holds(Path::new(path))?;
            }
            let found: Vec<&String> = all.iter().filter(|run| matches(name, run)).collect();
            if found.is_empty() {
                let near = did_you_mean(name, &all);
                let near = near.map_or(String::new(), |n| format!("; did you mean `{n}`?"));
                return Err(Error::input(format!(
                    "no run `{name}` in {}{near} (`latent-align ls` lists them)",
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

    /// That `folder` is one of a run of this store.
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

    /// The one run that `wanted` names.
    ///
    /// # Errors
    /// [`Error::Input`] where it names none or several.
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
