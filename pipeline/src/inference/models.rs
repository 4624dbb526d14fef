//! Models specified by a run, a directory or a fingerprint.

use crate::export::{Artifact, Source};
use crate::store::{Manifest, Stage, State, Store, state_of};
use latent_align_stages::alignment::RegulariserConfig;
use latent_align_stages::inference::{Lineage, Through};
use latent_align_stages::{Error, Result};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The artifacts of a run, or one artifact with those it was made from.
pub struct Models<'a> {
    store: &'a Store,
    what: String,
    artifacts: Vec<Artifact>,
}

/// The files of a flow.
const FLOW: [&str; 2] = ["flow.safetensors", "normalisation.safetensors"];
/// The file of each kind of sequence model.
const SEQUENCES: [&[&str]; 3] = [
    &["seqflow.safetensors"],
    &["sequence_vae.safetensors"],
    &["gumbel_max.safetensors"],
];
/// The files of a transport.
const TRANSPORT: [&str; 3] = [FLOW[0], FLOW[1], latent_align_stages::transport::FILE];

/// An autoencoder with the transport of its latents, if there is one.
pub struct Autoencoder {
    pub model: Model,
    /// The transport, and its target flow.
    transport: Option<(Model, Model)>,
}

impl Autoencoder {
    /// Location of the transport.
    pub fn through(&self) -> Option<Through<'_>> {
        let (transport, flow) = self.transport.as_ref()?;
        Some(Through {
            dir: &transport.dir,
            flow: &flow.dir,
        })
    }

    /// Lineage of its latents.
    pub fn lineage(&self) -> Lineage {
        let own = self.model.lineage();
        match &self.transport {
            None => own,
            Some((transport, flow)) => Lineage {
                flow: Some(flow.fingerprint().to_owned()),
                transport: Some(transport.fingerprint().to_owned()),
                ..own
            },
        }
    }

    /// Identifies it.
    pub fn identity(&self) -> Value {
        match &self.transport {
            None => self.model.identity(),
            Some((transport, flow)) => json!({
                "autoencoder": self.model.identity(),
                "transport": transport.identity(),
                "flow": flow.identity(),
            }),
        }
    }

    /// Description of the transport for messages; empty without one.
    pub fn told(&self) -> String {
        match &self.transport {
            None => String::new(),
            Some((transport, _)) => format!(", through the transport {}", transport.fingerprint()),
        }
    }
}

/// A stored model whose files match their digests.
pub struct Model {
    /// Directory of its artifact.
    pub dir: PathBuf,
    /// Manifest of its artifact.
    pub manifest: Manifest,
}

impl<'a> Models<'a> {
    /// Resolves `what`: the name of a run, the directory of a run or of an artifact, or the start of a
    /// fingerprint.
    ///
    /// # Errors
    /// As [`Source::find`].
    pub fn find(store: &'a Store, what: &Path) -> Result<Self> {
        let artifacts = Source::find(store, what)?.artifacts;
        let what = what.display().to_string();
        Ok(Self {
            store,
            what,
            artifacts,
        })
    }

    /// The autoencoder, with the transport of its latents if the run has one.
    ///
    /// # Errors
    /// An input error if there is none, a file error if it is damaged.
    pub fn autoencoder(&self) -> Result<Autoencoder> {
        const FILES: [&str; 1] = ["autoencoder.safetensors"];
        let transport = match self.of_stage(Stage::Transport) {
            None => None,
            Some(artifact) => Some((Model::of(artifact, &TRANSPORT)?, self.flow()?)),
        };
        let model = match (self.of_stage(Stage::TrainAutoencoder), &transport) {
            (Some(artifact), _) => Model::of(artifact, &FILES)?,
            (None, Some(_)) => self.read(Stage::TrainAutoencoder, "autoencoder", &FILES)?,
            (None, None) => return Err(self.lacks("autoencoder", "train_autoencoder")),
        };
        Ok(Autoencoder { model, transport })
    }

    /// The flow: the run's own, or the one that its other stages read.
    ///
    /// # Errors
    /// As [`Self::autoencoder`].
    pub fn flow(&self) -> Result<Model> {
        match self.of_stage(Stage::PretrainFlow) {
            Some(artifact) => Model::of(artifact, &FLOW),
            None => self.read(Stage::PretrainFlow, "flow", &FLOW),
        }
    }

    /// The sequence model of the run; None if it has none, or its flow is over numbers.
    ///
    /// # Errors
    /// A file error if it is damaged.
    pub fn of_sequences(&self) -> Result<Option<Model>> {
        let Some(artifact) = self.of_stage(Stage::PretrainFlow) else {
            return Ok(None);
        };
        let files = SEQUENCES
            .iter()
            .find(|files| artifact.dir.join(files[0]).is_file());
        files.map(|files| Model::of(artifact, files)).transpose()
    }

    /// The artifact of `stage` that the artifacts read, called `what` in messages.
    fn read(&self, stage: Stage, what: &str, files: &[&str]) -> Result<Model> {
        let read = self.artifacts.iter().flat_map(|a| &a.manifest.upstream);
        let Some(found) = read.into_iter().find(|u| u.stage == stage) else {
            return Err(self.lacks(what, stage.section()));
        };
        let dir = match &found.path {
            Some(path) => path.clone(),
            None => self.store.artifact(found.stage, &found.fingerprint),
        };
        match state_of(&dir) {
            State::Whole(manifest) => Model::of(
                &Artifact {
                    dir,
                    manifest: *manifest,
                },
                files,
            ),
            _ => Err(Error::input(format!(
                "{}: found no complete {what} at {}, which it reads; run its experiment again",
                self.what,
                dir.display()
            ))),
        }
    }

    /// The configuration of `stage`, if present.
    pub fn config(&self, stage: Stage) -> Option<&Value> {
        Some(&self.of_stage(stage)?.manifest.config)
    }

    /// The seed of `stage`, if present.
    pub fn seed(&self, stage: Stage) -> Option<u64> {
        Some(self.of_stage(stage)?.manifest.seed)
    }

    fn of_stage(&self, stage: Stage) -> Option<&Artifact> {
        self.artifacts.iter().find(|a| a.stage() == stage)
    }

    fn lacks(&self, what: &str, section: &str) -> Error {
        let stages = self.artifacts.iter().map(|a| a.stage().name());
        let stages: Vec<&str> = stages.collect();
        Error::input(format!(
            "{}: found no {what} (it has {}), expected one; name a run whose configuration has \
             the section {section}, or let this run finish",
            self.what,
            stages.join(", ")
        ))
    }
}

impl Model {
    /// The model in `artifact`, after checking the digests of those of `files` that exist.
    fn of(artifact: &Artifact, files: &[&str]) -> Result<Self> {
        for name in files {
            artifact.output(name)?;
        }
        Ok(Self {
            dir: artifact.dir.clone(),
            manifest: artifact.manifest.clone(),
        })
    }

    pub fn fingerprint(&self) -> &str {
        &self.manifest.fingerprint
    }

    /// Identifies it.
    pub fn identity(&self) -> Value {
        json!({"fingerprint": self.fingerprint(), "contents": self.manifest.contents()})
    }

    /// Lineage of its latents, if it is an autoencoder: itself, and the flow of its regulariser.
    pub fn lineage(&self) -> Lineage {
        let regulariser = self.manifest.config.get("regulariser").cloned();
        let regulariser: Option<RegulariserConfig> =
            regulariser.and_then(|regulariser| serde_json::from_value(regulariser).ok());
        let is_aligned = (regulariser.as_ref())
            .map(RegulariserConfig::kind)
            .is_some_and(|regulariser| regulariser.follows_flow() && regulariser.weight() > 0.0);
        let mut read = self.manifest.upstream.iter();
        let flow = read.find(|u| is_aligned && u.stage == Stage::PretrainFlow);
        Lineage {
            autoencoder: Some(self.fingerprint().to_owned()),
            flow: flow.map(|flow| flow.fingerprint.clone()),
            transport: None,
        }
    }

    /// The dataset of its training data, if recorded.
    pub fn data_dataset(&self) -> Option<&str> {
        self.manifest.config.get("data")?.get("dataset")?.as_str()
    }

    /// The name of that dataset without groups; `images` by default.
    pub fn data_name(&self) -> String {
        let name = self.data_dataset().unwrap_or("images");
        name.rsplit('/').next().unwrap_or(name).to_owned()
    }
}
