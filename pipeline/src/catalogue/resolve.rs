//! Resolves a THING of the command line: a run, a sweep, an artifact, an HDF5 file, a store.

use super::found::Catalogue;
use crate::config::{self, NAME, hint, is_fingerprint_prefix, is_name, read};
use crate::store::{CONFIG, MANIFEST, RECORD, Stage, Store, entry_of};
use crate::sweep::{self, SweepFile};
use latent_align_hdf5::foreign::conversion;
use latent_align_stages::{Error, Result};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// How to resolve a name that a run and a sweep share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefer {
    /// As the run: only a run is valid.
    Run,
    /// As the sweep: only a sweep is valid.
    Sweep,
    /// Neither: both are valid, so the name is ambiguous.
    Neither,
}

/// A resolved thing.
#[derive(Debug, Clone)]
pub enum Thing {
    /// The run in the folder of this name, in this store.
    Run(Store, String),
    /// The sweep of this name, in this store.
    Sweep(Store, String),
    /// The artifact in this folder.
    Artifact(PathBuf),
    /// An HDF5 file.
    Hdf5(PathBuf),
    /// All of a store.
    Store(Store),
}

impl Thing {
    /// Resolves `what`. A name without `/` is looked up among runs and sweeps, then as a file or folder, and then
    /// as the start of an artifact's fingerprint; a file with the same name as a run is written with `./`. `prefer`
    /// decides if a run and a sweep share the name.
    ///
    /// # Errors
    /// [`Error::Input`] if nothing matches, with similar names, and if a run and a sweep match and neither is
    /// preferred.
    pub fn find(store: &Store, what: &Path, prefer: Prefer) -> Result<Self> {
        let text = what.to_string_lossy();
        let named = match text.contains('/') {
            false => named(store, &text, prefer)?,
            true => None,
        };
        let on_disk = || at(store, what).transpose();
        if let Some(found) = named.map(Ok).or_else(on_disk) {
            return found;
        }
        if is_fingerprint_prefix(&text) && !what.exists() {
            return store.find(None, &text).map(Self::Artifact);
        }
        Err(unknown(store, what))
    }

    /// Its kind, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Run(..) => "a run",
            Self::Sweep(..) => "a sweep",
            Self::Artifact(_) => "an artifact",
            Self::Hdf5(_) => "an HDF5 file",
            Self::Store(_) => "a folder of artifacts",
        }
    }

    /// Its path.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Run(store, name) => store.root().join("runs").join(name),
            Self::Sweep(store, name) => store.root().join("sweeps").join(name),
            Self::Artifact(path) | Self::Hdf5(path) => path.clone(),
            Self::Store(store) => store.root().to_owned(),
        }
    }

    /// Its artifacts, including damaged ones.
    ///
    /// # Errors
    /// [`Error::Input`] for something without artifacts.
    pub fn artifacts(&self) -> Result<Vec<(Stage, PathBuf)>> {
        match self {
            Self::Run(..) => {
                let folder = self.path();
                let links = Stage::ALL.map(|stage| (stage, folder.join(stage.name())));
                let links = links.into_iter().filter(|(_, link)| link.is_symlink());
                let links: Vec<_> = links.collect();
                match links.is_empty() {
                    false => Ok(links),
                    true => Err(Error::input(format!(
                        "{}: holds no artifact; run its experiment to completion",
                        folder.display()
                    ))),
                }
            }
            Self::Artifact(dir) => {
                let stage = stage_of(dir).unwrap_or(Stage::ALL[0]);
                Ok(vec![(stage, dir.clone())])
            }
            Self::Store(store) => Ok(store.artifacts()),
            Self::Sweep(_, name) => Err(Error::input(format!(
                "{name}: found a sweep, expected a run or an artifact; its trials are runs, and `latent-align show \
                 {name}` lists them"
            ))),
            Self::Hdf5(file) => Err(Error::input(format!(
                "{}: found an HDF5 file, expected a run or an artifact",
                file.display()
            ))),
        }
    }
}

/// The run or sweep called `name`.
fn named(store: &Store, name: &str, prefer: Prefer) -> Result<Option<Thing>> {
    if name.is_empty() || name.starts_with('.') {
        return Ok(None);
    }
    let run = store.run_entry(name);
    let is_of_a_run = || matches!(entry_of(name), (run, Some(_)) if store.run_entry(run).is_some());
    let run = match run.is_none() && (name.contains('*') || is_of_a_run()) {
        true => Some(Catalogue::of(store).one_named(name)?),
        false => run,
    };
    let sweep = store.root().join("sweeps").join(name);
    let is_sweep = match prefer {
        Prefer::Run => run.is_none() && sweep.is_dir(),
        Prefer::Sweep | Prefer::Neither => sweep.is_dir(),
    };
    match (run, is_sweep) {
        (Some(_), true) if prefer == Prefer::Neither => Err(Error::input(format!(
            "`{name}` is a run and a sweep; give the folder of one of them, {} or {}",
            store.root().join("runs").join(name).display(),
            sweep.display()
        ))),
        (Some(entry), false) => Ok(Some(Thing::Run(store.clone(), entry))),
        (_, true) => Ok(Some(Thing::Sweep(store.clone(), name.to_owned()))),
        (None, false) => Ok(None),
    }
}

/// The thing at `path`; none if it does not exist and does not have the name of an HDF5 file.
fn at(store: &Store, path: &Path) -> Result<Option<Thing>> {
    if is_hdf5(path) {
        return Ok(Some(Thing::Hdf5(path.to_owned())));
    }
    if path.is_file() {
        return match path.file_name() {
            Some(name) if name == MANIFEST => {
                let dir = path.parent().unwrap_or(path);
                Ok(Some(Thing::Artifact(dir.to_owned())))
            }
            _ if path.extension().is_some_and(|e| e == "yaml" || e == "yml") => {
                sweep_of(path).map(|name| Some(Thing::Sweep(store.clone(), name)))
            }
            _ => Ok(None),
        };
    }
    if path.join(MANIFEST).exists() || (path.is_dir() && stage_of(path).is_some()) {
        return Ok(Some(Thing::Artifact(path.to_owned())));
    }
    if let Some(found) = in_store(path) {
        return Ok(Some(found));
    }
    let rooms = Stage::ALL.map(Stage::name);
    let is_store = (rooms.iter().chain(&["runs", "sweeps"])).any(|room| path.join(room).is_dir());
    match path.is_dir() {
        true if is_store => Ok(Some(Thing::Store(Store::at(path)))),
        true => Err(Error::input(format!(
            "{}: holds no artifact; expected the folder of a run, of a sweep, of an artifact, or of all of them{}",
            path.display(),
            conversion(path).map_or(String::new(), |how| format!("; {how}"))
        ))),
        false => Ok(None),
    }
}

/// The name of the sweep in `file`. It is validated because its folder has the name, which could lead out of the
/// store.
fn sweep_of(file: &Path) -> Result<String> {
    let shown = file.display();
    match read::<SweepFile>(file) {
        Ok(SweepFile { name, .. }) if is_name(&name) => Ok(name),
        Ok(SweepFile { name, .. }) => Err(Error::input(format!(
            "{shown}: name: found {name}, expected {NAME}"
        ))),
        Err(no_sweep) => match config::load(file, &config::Overrides::default()) {
            Ok(loaded) => Err(Error::input(format!(
                "{shown}: found the file of an experiment, expected that of a sweep, or a run; the run of this \
                 experiment is called `{}`",
                loaded.experiment.name
            ))),
            Err(no_experiment) => match is_of_an_experiment(file) {
                true => Err(no_experiment),
                false => Err(no_sweep),
            },
        },
    }
}

/// Whether `file` has a section of an experiment.
fn is_of_an_experiment(file: &Path) -> bool {
    let keys = read::<Value>(file).unwrap_or_default();
    Stage::ALL
        .iter()
        .any(|stage| keys.get(stage.section()).is_some())
}

/// The run or sweep in the folder `path`, in any store.
fn in_store(path: &Path) -> Option<Thing> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let name = path.file_name()?.to_str()?.to_owned();
    let kind = path.parent()?;
    let store = Store::at(kind.parent()?);
    let is_run = || {
        let is_link = |stage: &Stage| path.join(stage.name()).is_symlink();
        [CONFIG, RECORD].iter().any(|file| path.join(file).exists())
            || Stage::ALL.iter().any(is_link)
    };
    match kind.file_name()?.to_str()? {
        "runs" if path.is_dir() && is_run() => Some(Thing::Run(store, name)),
        "sweeps" if path.join(sweep::RECORD).exists() => Some(Thing::Sweep(store, name)),
        _ => None,
    }
}

/// The stage whose folder contains `dir`. A damaged artifact may lack its manifest, but not its location. A run's
/// link to an artifact is not in such a folder.
fn stage_of(dir: &Path) -> Option<Stage> {
    let parent = dir.parent().and_then(Path::file_name);
    let of = |stage: &Stage| parent.is_some_and(|name| name == stage.name());
    Stage::ALL
        .into_iter()
        .find(of)
        .filter(|_| !dir.is_symlink())
}

/// True for an HDF5 file, by its content or by its name.
fn is_hdf5(path: &Path) -> bool {
    let extension = path.extension();
    let named = extension.is_some_and(|e| ["h5", "hdf5", "he5"].iter().any(|x| e == *x));
    let mut head = [0u8; 8];
    // Opening a pipe would wait for a writer.
    let is_read = path.is_file()
        && std::fs::File::open(path).is_ok_and(|mut file| file.read_exact(&mut head).is_ok());
    named || (is_read && &head == b"\x89HDF\r\n\x1a\n")
}

/// The error for a `what` that resolves to nothing.
fn unknown(store: &Store, what: &Path) -> Error {
    let catalogue = Catalogue::of(store);
    let runs = catalogue
        .history()
        .into_iter()
        .flat_map(|e| [e.run, e.folder]);
    let names: BTreeSet<String> = runs.chain(catalogue.folders("sweeps")).collect();
    let shown = what.display();
    if let Some(how) = conversion(what) {
        return Error::input(format!(
            "{shown}: expected a run, a sweep, an artifact or an HDF5 file; {how}"
        ));
    }
    let expected = match what.exists() {
        true => "found another kind of file",
        false => "no run, sweep, artifact or file of that name",
    };
    let near = hint(&what.to_string_lossy(), &names);
    Error::input(format!(
        "{shown}: {expected} in {}{near}; expected a run (`latent-align list`), a sweep (`latent-align list sweeps`), \
         four or more characters of an artifact's fingerprint (`latent-align list artifacts`), the folder of one of \
         them, or an HDF5 file",
        store.root().display()
    ))
}
