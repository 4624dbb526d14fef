//! The run folders of a plan's experiments: links to what each stage left, configuration,
//! figures, summary.

use super::attendance::Attendance;
use crate::config::Loaded;
use crate::plan::Plan;
use crate::report::{Plots, Summary, write_run};
use crate::store::{Key, Manifest, RunFolder, RunRecord, RunState, Stage, StageOfRun, Store};
use anyhow::{Context as _, Result};

/// The run folders of a plan, the first that of the experiment that was asked for.
pub struct Folders<'a> {
    store: &'a Store,
    members: Vec<Member>,
}

struct Member {
    loaded: Loaded,
    folder: RunFolder,
    /// Its stages by number.
    nodes: Vec<usize>,
    /// The artifacts it leads to, a finished flow included.
    stages: Vec<StageOfRun>,
    /// Whether it led elsewhere before.
    changed: bool,
}

impl<'a> Folders<'a> {
    /// The folders of `plan`, with links to finished flows and without those of stages that the
    /// experiment no longer has.
    pub fn of(plan: &Plan, store: &'a Store) -> Result<Self> {
        let mut members = Vec::new();
        for member in plan.experiments.iter().filter(|m| m.has_folder) {
            let folder = RunFolder::of(store, member.name());
            let mut changed = !folder.path().join(SUMMARY).exists();
            if let Some(flow) = &member.finished_flow {
                changed |= folder.link(Stage::PretrainFlow, &flow.dir)?;
            }
            members.push(Member {
                loaded: member.loaded.clone(),
                folder,
                nodes: member.nodes.clone(),
                stages: member.stages.clone(),
                changed,
            });
        }
        let asked = &plan.experiments[0];
        for stage in Stage::ALL {
            if !asked.stages.iter().any(|s| s.stage == stage) {
                members[0].folder.unlink(stage);
            }
        }
        Ok(Self { store, members })
    }

    /// The folder of the experiment that was asked for.
    pub fn asked(&self) -> &RunFolder {
        &self.members[0].folder
    }

    /// Tells others that this process works on the run that was asked for, and with what configuration;
    /// none if that is finished and
    /// leads to the same artifacts already.
    pub fn attend(&self) -> Result<Option<Attendance>> {
        let asked = &self.members[0];
        let record = asked.record();
        let found = asked.folder.record().ok().flatten();
        if found.is_some_and(|f| f.state == RunState::Finished && f.identity == record.identity) {
            return Ok(None);
        }
        asked.write_config()?;
        Ok(Some(Attendance::start(&asked.folder, record)?))
    }

    /// Makes every experiment that has the stage `node` lead to its artifact, that of `key`.
    pub fn link(&mut self, node: usize, key: &Key) -> Result<()> {
        let artifact = self.store.artifact(key.stage, &key.fingerprint());
        for member in self.members.iter_mut().filter(|m| m.nodes.contains(&node)) {
            member.changed |= member.folder.link(key.stage, &artifact)?;
        }
        Ok(())
    }

    /// Writes configurations, figures and summaries, and returns the summary of the experiment that was
    /// asked for. Another experiment's are written if it leads elsewhere now: it may have been run as a
    /// whole before, and then they tell more.
    pub fn describe(&self, manifests: &[Manifest]) -> Result<Summary> {
        let (asked, others) = self
            .members
            .split_first()
            .expect("an experiment was asked for");
        for member in others.iter().filter(|m| m.changed) {
            member.unlink_the_rest(manifests);
            member.describe(manifests)?;
            Attendance::start(&member.folder, member.record())?.end(None, true)?;
            if let Err(why) = write_run(self.store, &member.folder) {
                tracing::warn!("no report of {}: {why:#}", member.loaded.experiment.name);
            }
        }
        asked.describe(manifests)
    }

    /// Writes the report of the experiment that was asked for.
    pub fn report(&self) -> Result<()> {
        write_run(self.store, &self.members[0].folder).map(drop)
    }
}

impl Member {
    /// The record of the run, started now.
    fn record(&self) -> RunRecord {
        let experiment = &self.loaded.experiment;
        RunRecord::starting(
            &experiment.name,
            &self.loaded.file,
            experiment.seed,
            &experiment.device,
        )
        .with_stages(self.stages.clone())
    }

    /// Removes links to stages that are not of this plan: they may be of what it led to before.
    fn unlink_the_rest(&self, manifests: &[Manifest]) {
        let mut stages = Stage::ALL.to_vec();
        stages.retain(|stage| self.nodes.iter().all(|n| manifests[*n].stage != *stage));
        if self.loaded.experiment.flow.is_some() {
            stages.retain(|stage| *stage != Stage::PretrainFlow);
        }
        stages.iter().for_each(|stage| self.folder.unlink(*stage));
    }

    fn describe(&self, manifests: &[Manifest]) -> Result<Summary> {
        let stages = self.nodes.iter().map(|n| manifests[*n].clone()).collect();
        let plots = Plots::draw(&self.folder);
        let summary = Summary::new(&self.loaded, &self.folder, stages).with_plots(plots);
        self.write_config()?;
        self.folder.write(SUMMARY, &summary.markdown())?;
        Ok(summary)
    }

    /// Writes the resolved configuration.
    fn write_config(&self) -> Result<()> {
        let config = serde_yaml::to_string(&self.loaded.experiment);
        let config = config.context("the configuration cannot be written")?;
        Ok(self.folder.write("config.yaml", &config)?)
    }
}

/// The name of a summary in its run folder.
const SUMMARY: &str = "summary.md";
