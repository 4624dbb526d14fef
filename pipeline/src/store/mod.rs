//! Artifacts on disk: `artifacts/<stage>/<fingerprint>/`.
//!
//! A stage fills a temporary folder beside its artifact. The manifest is written last and the folder
//! is renamed into place: an artifact either exists whole or not at all. Identity is content: what
//! went in, not when or where.

mod clock;
mod digests;
mod disk;
mod draft;
mod history;
mod index;
mod key;
mod lock;
mod manifest;
mod names;
mod open_lock;
mod progress;
mod record;
mod role;
mod runs;
mod sealed;
mod shared;
mod stages;
mod training;
mod verify;

pub use digests::{Digests, FileRecord};
pub use disk::{can_be_read, entries, ignore_size_limit_signal, remove_at_once, write_whole};
pub use draft::{Draft, Outcome, is_over};
pub use history::{entry_name, entry_of};
pub use index::{Card, Index, Settings, Symbol, in_parallel};
pub use key::{Key, Upstream};
pub use lock::{Held, Lock, held};
pub use manifest::{MANIFEST, Manifest};
pub use names::Name;
pub use progress::Progress;
pub use record::{Presence, RECORD, RunRecord, RunState, StageOfRun, identity};
pub use role::Role;
pub use runs::RunFolder;
pub use stages::RunStages;
pub use training::{Checkpoint, Training, checkpoints};
pub use verify::{State, Wrong, missing, state_of, unreadable, verify_digests, verify_output};

use crate::process::temporary;
use latent_align_stages::temporary::remove_abandoned;
use latent_align_stages::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// The layout and meaning of artifacts. Part of every fingerprint; a reader refuses a newer one.
pub const FORMAT: u32 = 3;

/// A stage by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Trains a classifier.
    TrainClassifier,
    /// Pretrains (or imports) a flow.
    PretrainFlow,
    /// Trains an autoencoder against a flow.
    TrainAutoencoder,
    /// Estimates likelihoods under a flow.
    EstimateNll,
    /// Measures how useful latents are.
    EvaluateLatents,
}

impl Stage {
    /// In the order in which they run.
    pub const ALL: [Self; 5] = [
        Self::TrainClassifier,
        Self::PretrainFlow,
        Self::TrainAutoencoder,
        Self::EstimateNll,
        Self::EvaluateLatents,
    ];

    /// The name of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::TrainClassifier => "train-classifier",
            Self::PretrainFlow => "pretrain-flow",
            Self::TrainAutoencoder => "train-autoencoder",
            Self::EstimateNll => "estimate-nll",
            Self::EvaluateLatents => "evaluate-latents",
        }
    }

    /// The name of its section in a configuration.
    pub fn section(self) -> &'static str {
        match self {
            Self::TrainClassifier => "train_classifier",
            Self::PretrainFlow => "pretrain_flow",
            Self::TrainAutoencoder => "train_autoencoder",
            Self::EstimateNll => "estimate_nll",
            Self::EvaluateLatents => "evaluate_latents",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A folder of artifacts.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The store at `root`, which need not exist yet. Touches nothing.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the artifact `fingerprint` of `stage` is or would be.
    pub fn artifact(&self, stage: Stage, fingerprint: &str) -> PathBuf {
        self.root.join(stage.name()).join(fingerprint)
    }

    /// Makes the store ready for writing: creates it, probes that it can be written, and removes
    /// what killed runs left behind.
    ///
    /// # Errors
    /// [`Error::Input`] when the folder cannot be written.
    pub fn open_for_writing(&self) -> Result<()> {
        for stage in Stage::ALL {
            let folder = self.root.join(stage.name());
            let refused = |why: &dyn std::fmt::Display| {
                Error::input(format!(
                    "--artifacts {}: cannot write there ({why}); choose a writable folder",
                    self.root.display()
                ))
            };
            let failed = |e: std::io::Error| refused(&e);
            if folder.is_symlink() {
                return Err(Error::input(format!(
                    "{}: found a link, expected a folder: artifacts stay in their store; move the folder \
                     there, or choose another with --artifacts",
                    folder.display()
                )));
            }
            disk::create_folder(&folder).map_err(|e| refused(&e))?;
            let probe = temporary(&folder, "probe");
            std::fs::write(&probe, b"").map_err(failed)?;
            std::fs::remove_file(&probe).map_err(failed)?;
            draft::remove_abandoned(&folder);
        }
        remove_abandoned(&self.root, |_| true);
        Ok(())
    }

    /// The state of the artifact with this key, its outputs found to have their digests: every file that
    /// was touched since `digests` knows it is read.
    ///
    /// # Errors
    /// [`Error::Input`] when it is there and this user may not read it. To compute it again would replace
    /// what is whole for others.
    pub fn state(&self, key: &Key, digests: &mut Digests) -> Result<State> {
        let dir = self.artifact(key.stage, &key.fingerprint());
        if dir.is_symlink() {
            return Ok(State::Damaged("it is a link, which none is".into()));
        }
        Ok(match digests.state_of(&dir) {
            State::Unreadable(why) => {
                return Err(Error::input(format!(
                    "{} {} is there and cannot be read ({why}); ask its owner for permission (chmod -R a+rX \
                     {}), or use a store of your own with --artifacts",
                    key.stage,
                    key.fingerprint(),
                    dir.display()
                )));
            }
            State::Whole(manifest) if !manifest.is_of(key) => State::Damaged(format!(
                "its manifest is that of {} {}",
                manifest.stage, manifest.fingerprint
            )),
            state => state,
        })
    }

    /// That the folders of artifacts, runs and sweeps can be listed, where they are there.
    ///
    /// # Errors
    /// [`Error::Input`] names the one that cannot.
    pub fn must_be_listed(&self) -> Result<()> {
        let kinds = Stage::ALL.map(Stage::name).into_iter();
        let folders = kinds
            .chain(["runs", "sweeps"])
            .map(|name| self.root.join(name));
        for folder in std::iter::once(self.root.clone()).chain(folders) {
            entries(&folder).map_err(|e| {
                Error::input(format!(
                    "{}: cannot be listed ({e}); make it readable, or name another store with --artifacts",
                    folder.display()
                ))
            })?;
        }
        Ok(())
    }

    /// Every artifact folder, by stage and then by name; damaged ones included.
    pub fn artifacts(&self) -> Vec<(Stage, PathBuf)> {
        let mut found = Vec::new();
        for stage in Stage::ALL {
            let entries = self.root.join(stage.name()).read_dir();
            let mut folders: Vec<PathBuf> = entries
                .into_iter()
                .flatten()
                .flatten()
                .filter(|e| !e.file_name().to_string_lossy().starts_with('.'))
                .map(|e| e.path())
                .collect();
            folders.sort();
            found.extend(folders.into_iter().map(|f| (stage, f)));
        }
        found
    }

    /// The one artifact, of `stage` if given, whose fingerprint starts with `prefix`.
    ///
    /// # Errors
    /// [`Error::Input`] when there is none, or more than one.
    pub fn find(&self, stage: Option<Stage>, prefix: &str) -> Result<PathBuf> {
        let mut found: Vec<PathBuf> = self
            .artifacts()
            .into_iter()
            .filter(|(s, folder)| {
                let name = folder.file_name().unwrap_or_default().to_string_lossy();
                stage.is_none_or(|wanted| wanted == *s) && name.starts_with(prefix)
            })
            .map(|(_, folder)| folder)
            .collect();
        let kind = stage.map_or("artifact", Stage::name);
        match (found.pop(), found.len()) {
            (Some(one), 0) => Ok(one),
            (Some(last), more) => Err(Error::input(format!(
                "`{prefix}` is the start of {} fingerprints in {}, among them {}; give more characters",
                more + 1,
                self.root.display(),
                last.display()
            ))),
            (None, _) => Err(Error::input(format!(
                "no {kind} in {} has a fingerprint that starts with `{prefix}`; \
                 `latent-align inspect` lists them",
                self.root.display()
            ))),
        }
    }
}
