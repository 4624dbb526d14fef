//! Making an artifact: claim it, let its stage fill a temporary directory, commit.

use super::monitor::StageMonitor;
use crate::config::CheckpointConfig;
use crate::console::Console;
use crate::plan::stale_upstream;
use crate::process::Signals;
use crate::store::{
    Checkpoint, Digests, Draft, Key, Lock, Manifest, Outcome, RunFolder, Stage, State, Store,
    Training, Wrong, verify_digests,
};
use anyhow::Result;
use latent_align_stages::Error;
use latent_align_stages::context::{Context, Summary};
use latent_align_stages::data::file_state;
use latent_align_stages::devices::DeviceChoice;
use latent_align_stages::figures::PEAK_MEMORY;
use latent_align_stages::persist::Snapshot;
use latent_align_stages::random::Streams;
use latent_align_stages::stages::StageConfig;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The environment in which artifacts are made.
pub struct Workshop<'a> {
    pub store: &'a Store,
    pub console: &'a Console,
    pub signals: Signals,
    /// At least one; the first is that of stages that use one.
    pub devices: Vec<DeviceChoice>,
    /// Digests of input files.
    pub digests: Digests,
    /// When to write checkpoints.
    pub checkpoints: CheckpointConfig,
    /// The run this belongs to, if any: other processes read its progress there.
    pub run: Option<RunFolder>,
}

impl Workshop<'_> {
    /// A monitor for `stage`; without a directory it keeps no metrics.
    pub fn monitor(&self, stage: Stage, dir: Option<&Path>) -> StageMonitor<'_> {
        let run = self.run.clone();
        StageMonitor::new(self.console, &self.signals, stage.name(), dir, run)
    }

    /// The devices that a stage uses: all if its training shares each batch, otherwise the first.
    pub fn devices_for(&self, config: &dyn StageConfig) -> &[DeviceChoice] {
        match config.shared() {
            Some(_) => &self.devices,
            None => &self.devices[..1],
        }
    }

    /// Makes the artifact of `key` by `work` on the first `devices` devices, unless another process has made it
    /// meanwhile. Earlier `warnings` are recorded with it.
    ///
    /// A training resumes from its newest checkpoint.
    ///
    /// # Errors
    /// Errors of `work`, including [`Error::Cancelled`]; only checkpoints are left behind.
    pub fn fill(
        &mut self,
        key: &Key,
        devices: usize,
        mut warnings: Vec<String>,
        work: impl FnOnce(&Context) -> latent_align_stages::Result<Summary>,
    ) -> Result<Manifest> {
        let (lock, waited) = self.claim(key)?;
        if let Some(manifest) = self.made_already(key, waited)? {
            return Ok(manifest);
        }
        let contents = self.upstream_contents(key)?;
        self.inputs_are_as_planned(key, "since the plan was made")?;
        let before = states(key);
        let draft = Draft::new(self.store, key, lock)?;
        let training = Training::of(self.store, key, &contents);
        let (state, metrics) = self.resumed(key, &training)?;
        let monitor = self.monitor(key.stage, Some(draft.dir()));
        let monitor = monitor.keeping(training.clone(), self.checkpoints, metrics.as_deref())?;
        let used = &self.devices[..devices];
        let mut opened = used
            .iter()
            .map(DeviceChoice::open)
            .collect::<latent_align_stages::Result<Vec<_>>>()?;
        let context = Context {
            streams: Streams::of_stage(key.stage.name(), key.seed),
            device: opened.remove(0),
            replicas: opened,
            dir: draft.dir().to_owned(),
            resume: state,
            kept: training.kept(),
            monitor: &monitor,
        };
        let worked = work(&context);
        drop(context.resume);
        let noted = monitor.finish();
        if worked.is_err() {
            self.tell_what_is_kept(key, &training);
        }
        let mut figures = worked?.figures;
        if let Some(peak) = crate::process::peak_mib() {
            figures.push((PEAK_MEMORY.into(), peak));
        }
        warnings.extend(noted?);
        let device = used
            .iter()
            .map(DeviceChoice::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        self.inputs_are_as_planned(key, &format!("while {} ran", key.stage))?;
        warnings.extend(self.rewritten(key, &before));
        let outcome = Outcome {
            figures,
            warnings,
            device,
        };
        let (manifest, lock) = draft.commit(key, contents, outcome)?;
        training.remove();
        // not earlier: another process may start the same training at once
        drop(lock);
        let seconds = crate::tables::duration(manifest.seconds);
        self.tell(key, &format!("done in {seconds}"));
        Ok(manifest)
    }

    /// Prints a note about the artifact of `key`.
    fn tell(&self, key: &Key, what: &str) {
        self.console.note(&format!("{}: {what}", key.stage));
    }

    /// The artifact of `key` if it was made since the plan; `waited`: by another run.
    fn made_already(&mut self, key: &Key, waited: bool) -> Result<Option<Manifest>> {
        let State::Whole(manifest) = self.store.state(key, &mut self.digests)? else {
            return Ok(None);
        };
        if stale_upstream(&manifest, key).is_some() {
            return Ok(None);
        }
        self.tell(
            key,
            match waited {
                true => "computed by another run meanwhile",
                false => "kept, since its inputs turned out to be unchanged",
            },
        );
        Ok(Some(*manifest))
    }

    /// The state of `training` from which it resumes and its learning curve, if it was interrupted.
    fn resumed(
        &self,
        key: &Key,
        training: &Training,
    ) -> Result<(Option<Snapshot>, Option<PathBuf>)> {
        let checkpoint = training.newest(|why| self.console.note(&format!("warning: {why}")))?;
        if let Some(Checkpoint { state, .. }) = &checkpoint {
            self.tell(
                key,
                &format!("resuming from the checkpoint of step {}", state.step()),
            );
        }
        if training.kept().exists() {
            self.tell(key, "resuming with the results of an interrupted run");
        }
        Ok(match checkpoint {
            Some(Checkpoint { state, metrics }) => (Some(state), metrics),
            None => (None, None),
        })
    }

    /// Tells what an interrupted `training` left for the next run.
    fn tell_what_is_kept(&self, key: &Key, training: &Training) {
        if let Some(step) = training.step() {
            self.tell(key, &format!("the checkpoint of step {step} is kept"));
        }
        if training.kept().exists() {
            self.tell(
                key,
                "its partial results are kept, and the next run resumes with them",
            );
        }
    }

    /// Waits for the lock on the artifact until the user asks to stop; returns whether it had to wait.
    fn claim(&self, key: &Key) -> Result<(Lock, bool)> {
        let folder = self.store.root().join(key.stage.name());
        let fingerprint = key.fingerprint();
        let mut told = false;
        loop {
            if self.signals.received().is_some() {
                return Err(Error::Cancelled.into());
            }
            match Lock::try_claim(&folder, &fingerprint)? {
                Ok(lock) => return Ok((lock, told)),
                Err(holder) if !told => {
                    told = true;
                    self.console.note(&format!(
                        "{} {fingerprint}: waiting for {}, which computes it",
                        key.stage,
                        if holder.is_empty() { "a run" } else { &holder }
                    ));
                }
                Err(_) => {}
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The contents of every upstream artifact, all of which are verified before use: files may have
    /// changed since the plan was made.
    fn upstream_contents(&self, key: &Key) -> Result<Vec<String>> {
        let mut contents = Vec::new();
        for upstream in &key.upstream {
            let manifest = Manifest::read(&upstream.dir);
            let wrong = match manifest {
                Ok(manifest) => {
                    contents.push(manifest.contents());
                    verify_digests(&upstream.dir, &manifest)
                }
                Err(why) => vec![Wrong::Damaged(why.to_string())],
            };
            let wrong: Vec<String> = wrong.iter().map(Wrong::to_string).collect();
            if !wrong.is_empty() {
                return Err(Error::file(
                    &upstream.dir,
                    format!(
                        "{} is damaged and was not used; run again to compute it again\n  {}",
                        upstream.name(),
                        wrong.join("\n  ")
                    ),
                )
                .into());
            }
        }
        Ok(contents)
    }

    /// Fails if the contents of an input changed, which the message dates by `when`.
    fn inputs_are_as_planned(&mut self, key: &Key, when: &str) -> Result<()> {
        for (name, path, planned) in &key.inputs {
            let now = self.digests.of(path)?;
            if now != *planned {
                return Err(Error::file(
                    path,
                    format!(
                        "changed {when} ({name}: digest {} -> {}); run again",
                        planned.digest, now.digest
                    ),
                )
                .into());
            }
        }
        self.digests.save();
        Ok(())
    }

    /// Warnings of inputs that were written to or replaced since their states `before`, and have their old contents
    /// again.
    fn rewritten(&self, key: &Key, before: &[Option<[i128; 6]>]) -> Vec<String> {
        let changed = states(key).into_iter().zip(before);
        let changed = changed.map(|(now, before)| now != *before);
        let rewritten = key
            .inputs
            .iter()
            .zip(changed)
            .filter(|(_, changed)| *changed);
        let warnings = rewritten.map(|((_, path, _), _)| {
            format!(
                "{} was written to or replaced while {} ran, and has its old contents again: if other rows were \
                 read in between, the figures are of those; to be sure, delete {} and run again",
                path.display(),
                key.stage,
                self.store.artifact(key.stage, &key.fingerprint()).display()
            )
        });
        let warnings: Vec<String> = warnings.collect();
        for warning in &warnings {
            self.console.note(&format!("warning: {warning}"));
        }
        warnings
    }
}

/// The state of each input of `key`.
fn states(key: &Key) -> Vec<Option<[i128; 6]>> {
    key.inputs
        .iter()
        .map(|(_, path, _)| file_state(path))
        .collect()
}
