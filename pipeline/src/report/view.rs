//! A run as it is on disk: behind its page, and behind its text in a terminal.

use crate::catalogue::lineage;
use crate::config::{self, Experiment, Setting, differing};

use crate::store::{CONFIG, Manifest, RunFolder, RunRecord, RunStages, Stage};
use latent_align_stages::alignment::{RegulariserConfig, Weighting};
use latent_align_stages::figures::{HELD_OUT, TEST};
use std::path::{Path, PathBuf};

/// What `stages`, each in its folder, were made from; a stage that another one reads is part of that one's tree.
pub fn trees(stages: &[(PathBuf, &Manifest)]) -> String {
    let is_read = |stage: &Manifest| {
        let mut read = stages.iter().flat_map(|(_, other)| &other.upstream);
        read.any(|u| u.stage == stage.stage && u.fingerprint == stage.fingerprint)
    };
    let last = stages.iter().filter(|(_, stage)| !is_read(stage));
    last.map(|(dir, stage)| lineage::tree(dir, stage)).collect()
}

/// A run as found on disk, with what could not be read.
pub struct RunView {
    /// The name of its folder.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// Its state, if recorded.
    pub record: Option<RunRecord>,
    /// Its configuration, if readable.
    pub experiment: Option<Experiment>,
    /// Its finished stages that are in its configuration, in order.
    pub stages: Vec<Manifest>,
    /// Their folders.
    pub places: RunStages,
    /// What is damaged, one line each.
    pub damage: Vec<String>,
    /// Artifacts left out because they do not belong to this run, one line each.
    pub left_out: Vec<String>,
}

impl RunView {
    /// Reads the run in `folder`.
    pub fn read(folder: &RunFolder) -> Self {
        let path = folder.path().to_owned();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut damage = Vec::new();
        let record = folder.record().unwrap_or_else(|why| {
            damage.push(why.to_string());
            None
        });
        let file = path.join(CONFIG);
        let experiment = file.exists().then(|| config::read(&file));
        let experiment = experiment.and_then(|read| {
            read.map_err(|why: latent_align_stages::Error| damage.push(why.to_string()))
                .ok()
        });
        let mut places = folder.stages_with(record.as_ref());
        let told = |(stage, why): &(Stage, String)| format!("{stage}: {why}");
        damage.extend(places.damaged.iter().map(told));
        Self {
            name: name.into_owned(),
            folder: path,
            record,
            experiment,
            stages: std::mem::take(&mut places.whole),
            left_out: places.stale.iter().map(told).collect(),
            places,
            damage,
        }
    }

    /// Whether it or one of its stages is quick, so that figures are not results.
    pub fn is_quick(&self) -> bool {
        let by_record = self.record.as_ref().is_some_and(|record| record.quick);
        by_record || self.stages.iter().any(|stage| stage.quick)
    }

    /// The folder of the run.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The settings that differ from the defaults; none if the configuration is not readable.
    pub fn settings(&self) -> Vec<Setting> {
        self.experiment.as_ref().map_or(Vec::new(), differing)
    }

    /// What the stages were made from, as [`trees`].
    pub fn lineage(&self) -> String {
        let stages = self.stages.iter();
        let stages = stages.map(|stage| (self.folder.join(stage.stage.name()), stage));
        trees(&stages.collect::<Vec<_>>())
    }

    /// The files of the folder itself, with their sizes.
    pub fn files(&self) -> Vec<(String, u64)> {
        let entries = self.folder.read_dir().into_iter().flatten().flatten();
        let files = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_file()));
        let files = files.map(|e| {
            let size = e.metadata().map_or(0, |m| m.len());
            (e.file_name().to_string_lossy().into_owned(), size)
        });
        let mut files: Vec<_> = files.filter(|file| !file.0.starts_with('.')).collect();
        files.sort();
        files
    }

    /// The manifest of `stage`, if the run has it.
    pub fn stage(&self, stage: Stage) -> Option<&Manifest> {
        self.stages.iter().find(|s| s.stage == stage)
    }

    /// The figures of `stage`; none if the run has no such stage.
    pub fn figures(&self, stage: Stage) -> &[(String, f64)] {
        self.stage(stage).map_or(&[], |s| &s.figures.0)
    }

    /// A figure of `stage` that is finite.
    pub fn figure(&self, stage: Stage, name: &str) -> Option<f64> {
        let found = self.figures(stage).iter().find(|f| f.0 == name);
        found.map(|f| f.1).filter(|v| v.is_finite())
    }

    /// A figure of `stage` as shown: on test rows, or on held-out rows without a test part, or without a
    /// part.
    pub fn shown(&self, stage: Stage, name: &str) -> Option<f64> {
        let of = |part: &str| self.figure(stage, &format!("{part}{name}"));
        of(TEST).or_else(|| of(HELD_OUT)).or_else(|| of(""))
    }

    /// The same of the final latents: those of the transport, or the autoencoder's own.
    pub fn of_latents(&self, name: &str) -> Option<f64> {
        let transported = self.shown(Stage::Transport, name);
        transported.or_else(|| self.shown(Stage::TrainAutoencoder, name))
    }

    /// Whether figures are of held-out rows, because an autoencoder or a flow has no test part.
    pub fn lacks_test(&self) -> bool {
        Stage::ALL.into_iter().any(|stage| {
            let has = |part: &str| self.figures(stage).iter().any(|f| f.0.starts_with(part));
            has(HELD_OUT) && !has(TEST)
        })
    }

    /// The weighting that the autoencoder was trained with, if any.
    pub fn weighting(&self) -> Option<Weighting> {
        match &self
            .experiment
            .as_ref()?
            .train_autoencoder
            .as_ref()?
            .regulariser
        {
            RegulariserConfig::Alignment(alignment) => Some(alignment.weighting),
            _ => None,
        }
    }
}
