//! The run folders of a plan's experiments: links to artifacts, configuration, figures, summary.

use super::attendance::Attendance;
use super::entry::Before;
use crate::config::{FACTOR, Loaded, MARK};
use crate::plan::Plan;
use crate::report::{Plots, Summary, write_run};
use crate::store::{
    CONFIG, Key, MANIFEST, Manifest, RunFolder, RunRecord, RunState, SUMMARY, Stage, StageOfRun,
    Store, identity,
};
use anyhow::{Context as _, Result};
use latent_align_stages::Error;
use std::path::PathBuf;

/// The run folders of a plan; the first is that of the requested experiment.
pub struct Folders<'a> {
    store: &'a Store,
    members: Vec<Member>,
}

struct Member {
    loaded: Loaded,
    folder: RunFolder,
    /// Whether it is the requested experiment.
    is_asked: bool,
    /// Its stages by index.
    nodes: Vec<usize>,
    /// Its artifacts, including a finished flow.
    stages: Vec<StageOfRun>,
    /// Path of a finished flow.
    flow: Option<PathBuf>,
    /// How its folder relates to this plan.
    part: Part,
}

/// What this process does with the folder of an experiment.
enum Part {
    /// Nothing yet.
    Waits,
    /// The folder belongs to another configuration, or has more stages than this plan: it is not changed.
    LeavesAlone,
    /// The folder belongs to this plan and is finished; only missing parts are added.
    Completes,
    /// The folder belongs to this plan and is not finished.
    Works(Box<Attendance>),
    /// As [`Part::Works`], and finished.
    Ended,
}

impl<'a> Folders<'a> {
    /// The folders of `plan`. Changes nothing.
    pub fn of(plan: &Plan, store: &'a Store) -> Self {
        let members = (plan.experiments.iter().enumerate())
            .filter(|(_, member)| member.has_folder)
            .map(|(number, member)| Member {
                loaded: member.loaded.clone(),
                folder: RunFolder::of(store, member.name()),
                is_asked: number == 0,
                nodes: member.nodes.clone(),
                stages: member.stages.clone(),
                flow: member.finished_flow.as_ref().map(|flow| flow.dir.clone()),
                part: Part::Waits,
            });
        Self {
            store,
            members: members.collect(),
        }
    }

    /// The folder of the requested experiment.
    pub fn asked(&self) -> &RunFolder {
        &self.members[0].folder
    }

    /// Prepares the folders for the plan's results, and announces that this process works on these runs.
    /// Contents of another configuration become an older entry of the run's history.
    ///
    /// # Errors
    /// An error if another process works on the requested run with another configuration, or a folder
    /// cannot be written.
    pub fn begin(&mut self) -> Result<()> {
        for member in &mut self.members {
            if member.is_asked || !member.nodes.is_empty() {
                member.begin()?;
            }
        }
        Ok(())
    }

    /// Records that the requested run failed before it began, unless that would replace an earlier result
    /// or another configuration's.
    ///
    /// # Errors
    /// An error if the folder cannot be written.
    pub fn not_begun(&mut self, error: &anyhow::Error) -> Result<()> {
        let asked = &self.members[0];
        let _alone = asked.folder.alone()?;
        let record = asked.folder.record().ok().flatten();
        let is_nothing_lost = match Before::of(&asked.folder, &asked.stages) {
            Before::Nothing => true,
            Before::Same => {
                record.is_some_and(|r| !matches!(r.state, RunState::Finished | RunState::Running))
            }
            _ => false,
        };
        if is_nothing_lost {
            asked.write_config()?;
            let record = asked.record(asked.folder.number());
            Attendance::start(&asked.folder, record)?.end(Some(error), false)?;
            write_run(&asked.folder)?;
        }
        Ok(())
    }

    /// Links every experiment with the stage `node` to its artifact, that of `key`.
    pub fn link(&mut self, node: usize, key: &Key) -> Result<()> {
        let artifact = self.store.artifact(key.stage, &key.fingerprint());
        let members = self.members.iter().filter(|m| m.nodes.contains(&node));
        for member in members.filter(|m| !matches!(m.part, Part::LeavesAlone)) {
            member.folder.link(key.stage, &artifact)?;
        }
        Ok(())
    }

    /// Writes configurations, figures and summaries, and returns the summary of the requested experiment.
    pub fn describe(&self, manifests: &[Manifest]) -> Result<Summary> {
        let (asked, others) = self
            .members
            .split_first()
            .expect("an experiment was asked for");
        for member in others.iter().filter(|m| m.is_begun()) {
            member.describe(manifests)?;
        }
        asked.describe(manifests)
    }

    /// Records the end of the runs: with `error`, or successful.
    ///
    /// # Errors
    /// An error if a record cannot be written.
    pub fn end(&mut self, error: Option<&anyhow::Error>) -> Result<()> {
        let mut ended = Ok(());
        for member in &mut self.members {
            let Part::Works(attendance) = std::mem::replace(&mut member.part, Part::Ended) else {
                continue;
            };
            let is_whole = member.is_whole();
            let error = error.filter(|_| member.is_asked || !is_whole);
            ended = ended.and(attendance.end(error, is_whole));
        }
        Ok(ended?)
    }

    /// Writes the reports of the requested experiment and of others that were begun.
    ///
    /// # Errors
    /// An error if the folder of the requested experiment cannot be written.
    pub fn report(&self) -> Result<()> {
        for member in self.members.iter().skip(1).filter(|m| m.is_begun()) {
            if let Err(why) = write_run(&member.folder) {
                tracing::warn!("no report of {}: {why:#}", member.loaded.experiment.name);
            }
        }
        write_run(&self.members[0].folder).map(drop)
    }
}

impl Member {
    fn is_begun(&self) -> bool {
        matches!(self.part, Part::Works(_) | Part::Ended)
    }

    /// The record of the run, started now as the entry `number`.
    fn record(&self, number: u64) -> RunRecord {
        let experiment = &self.loaded.experiment;
        RunRecord::starting(
            &experiment.name,
            &self.loaded.file,
            experiment.seed,
            &experiment.device_names().join(", "),
        )
        .with_stages(self.stages.clone())
        .marked(self.loaded.quick)
        .numbered(number)
    }

    fn begin(&mut self) -> Result<()> {
        let _alone = self.folder.alone()?;
        // a record that this user may not read belongs to another user, and is not replaced
        if let Err(why @ Error::File { .. }) = self.folder.record() {
            return Err(why.into());
        }
        self.folder.tidy();
        let before = Before::of(&self.folder, &self.stages);
        let mut number = self.folder.number();
        let gives_way = match before {
            Before::Other => true,
            // An experiment read by others is not requested as a whole, and may have been before.
            Before::More => self.is_asked,
            Before::Nothing | Before::Same | Before::Part => false,
        };
        if before == Before::More && !self.is_asked {
            self.part = Part::LeavesAlone;
            return Ok(());
        }
        if gives_way {
            if self.folder.is_attended() {
                return self.give_up();
            }
            number = self.folder.retire()? + 1;
        }
        for stage in Stage::ALL {
            let mut own = self.stages.iter().filter(|s| s.stage == stage);
            if !own.any(|s| self.folder.leads_to(s)) {
                self.folder.unlink(stage);
            }
        }
        let found = self.folder.record().ok().flatten();
        let is_finished = found.is_some_and(|found| {
            found.state == RunState::Finished && found.identity == identity(&self.stages)
        });
        self.part = match is_finished {
            true => Part::Completes,
            false => {
                self.write_config()?;
                Part::Works(Box::new(Attendance::start(
                    &self.folder,
                    self.record(number),
                )?))
            }
        };
        if let Some(flow) = &self.flow {
            self.folder.link(Stage::PretrainFlow, flow)?;
        }
        Ok(())
    }

    /// A run that another process works on with another configuration is not replaced.
    fn give_up(&mut self) -> Result<()> {
        if !self.is_asked {
            let name = &self.loaded.experiment.name;
            tracing::warn!(
                "{name}: another process is working on it with another configuration; its folder is not changed"
            );
            self.part = Part::LeavesAlone;
            return Ok(());
        }
        let record = self.folder.record().ok().flatten();
        let who = record.map_or("a process".into(), |record| {
            format!("process {} on {}", record.process, record.host)
        });
        Err(Error::input(format!(
            "{}: {who} is working on it with another configuration; wait until it ends, or give \
             this run its own name with --set name=NAME",
            self.folder.path().display()
        ))
        .into())
    }

    /// Whether every stage has its artifact.
    fn is_whole(&self) -> bool {
        let mut stages = self.stages.iter();
        stages.all(|stage| self.folder.place(stage).join(MANIFEST).exists())
    }

    /// Writes the configuration, the figures, and the summary of all stages of this configuration,
    /// including those computed before and not in this plan.
    fn describe(&self, manifests: &[Manifest]) -> Result<Summary> {
        let led = self.folder.stages();
        for (stage, _) in &led.stale {
            self.folder.unlink(*stage);
        }
        let own = self.nodes.iter().map(|n| &manifests[*n]);
        let stages = Stage::ALL.into_iter().filter_map(|stage| {
            let mut all = own.clone().chain(&led.whole);
            let is_given = stage == Stage::PretrainFlow && self.flow.is_some();
            all.find(|m| m.stage == stage && !is_given).cloned()
        });
        let stages = stages.collect();
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
        let config = match self.loaded.quick {
            true => format!("# {MARK}; every size is divided by {FACTOR}\n{config}"),
            false => config,
        };
        Ok(self.folder.write(CONFIG, &config)?)
    }
}
