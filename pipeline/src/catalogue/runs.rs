//! Tables of runs, one row each: state, configuration, and figures of the stages.

use super::artifacts::{note, problem, told};
use super::columns::Columns;
use super::found::Catalogue;
use crate::store::{
    CONFIG, Index, RunFolder, RunRecord, RunState, Stage, Store, Wrong, in_parallel, unreadable,
};
use crate::tables::{Field, Kind, Source};
use latent_align_stages::Error;
use latent_align_stages::figures::of_stage::{ERROR, FEATURES_NLL, NLL};
use std::collections::HashMap;
use std::path::PathBuf;

/// The state of a run with a damaged record.
const DAMAGED: &str = "damaged";
/// The state of a run whose record this user may not read.
const UNREADABLE: &str = "unreadable";
/// The state of a run without a record, from an older version.
const UNRECORDED: &str = "unrecorded";
/// The figures shown by default, if any run has them.
const KEY_FIGURES: [&str; 3] = [ERROR, NLL, FEATURES_NLL];

/// A run.
pub struct RunEntry {
    /// Its name, that of its folder.
    pub name: String,
    /// The entry number in the run's history, from 1.
    pub entry: u64,
    /// Its folder.
    pub folder: RunFolder,
    /// Its recorded state, if any.
    pub record: Option<RunRecord>,
    /// Its stages, finished or not.
    pub stages: Vec<StageEntry>,
    /// Its configuration.
    pub config: PathBuf,
    /// What is wrong with it.
    pub problems: Vec<String>,
    /// The state to show if it has no record.
    unrecorded: &'static str,
}

/// A stage of a run.
pub struct StageEntry {
    /// The stage.
    pub stage: Stage,
    /// The fingerprint of its artifact.
    pub fingerprint: String,
    /// The present or future folder of the artifact.
    pub dir: PathBuf,
    /// What is wrong with it; a stage that is not yet computed has no folder.
    pub problem: Option<String>,
}

impl RunEntry {
    /// Its state as a word.
    pub fn state(&self) -> &'static str {
        match &self.record {
            Some(record) => record.state.word(),
            None => self.unrecorded,
        }
    }

    /// The stages that have an artifact.
    pub fn done(&self) -> impl Iterator<Item = &StageEntry> {
        self.stages.iter().filter(|s| s.problem.is_none())
    }
}

/// Reads the runs called `names`.
pub fn find(store: &Store, names: &[String], index: &mut Index) -> Vec<RunEntry> {
    let mut runs = in_parallel(names, |name| open(store, name));
    let dirs = runs
        .iter()
        .flat_map(|run| run.stages.iter().map(|s| s.dir.clone()));
    // an unreadable folder exists too
    let is_there = |dir: &PathBuf| dir.is_dir() || unreadable(dir).is_some();
    let mut dirs: Vec<PathBuf> = dirs.filter(is_there).collect();
    dirs.sort();
    dirs.dedup();
    let configs = runs.iter().map(|run| run.config.clone());
    let configs: Vec<PathBuf> = configs.filter(|file| file.exists()).collect();
    index.look_up(&dirs, &configs);
    let index = &*index;
    let problems = in_parallel(&dirs, |dir| problem(index, dir));
    let problems: HashMap<&PathBuf, Option<String>> = dirs.iter().zip(problems).collect();
    for run in &mut runs {
        let finished = (run.record.as_ref()).is_none_or(|r| r.state == RunState::Finished);
        for stage in &mut run.stages {
            let found = problems.get(&stage.dir);
            stage.problem = match found {
                Some(problem) => problem.clone(),
                None => Some("not there".into()),
            };
            match &stage.problem {
                Some(why) if found.is_some() || finished => {
                    run.problems
                        .push(format!("{} {}: {why}", stage.stage, stage.fingerprint));
                }
                _ => {}
            }
        }
        if run.config.exists() {
            if let Err(why) = index.config(&run.config) {
                run.problems.push(why.to_owned());
            }
        } else if finished {
            run.problems.push(format!("{CONFIG} is missing"));
        }
    }
    runs
}

/// The run without the contents of its artifacts.
fn open(store: &Store, name: &str) -> RunEntry {
    let folder = RunFolder::of(store, name);
    let (mut problems, mut unrecorded) = (Vec::new(), UNRECORDED);
    let mut wrong = |state, wrong: &Wrong| {
        unrecorded = state;
        problems.push(told(wrong));
    };
    let record = match folder.record() {
        Ok(record) => record,
        Err(Error::File { path, message }) => {
            let why = format!("{}: {message}", path.display());
            wrong(UNREADABLE, &Wrong::Unreadable(why));
            None
        }
        Err(why) => {
            wrong(DAMAGED, &Wrong::Damaged(why.to_string()));
            None
        }
    };
    let entry = |stage, fingerprint: String, dir| StageEntry {
        stage,
        fingerprint,
        dir,
        problem: None,
    };
    let stages = match &record {
        Some(record) => (record.stages.iter())
            .map(|s| entry(s.stage, s.fingerprint.clone(), folder.place(s)))
            .collect(),
        None => (Stage::ALL.into_iter())
            .filter_map(|stage| Some((stage, folder.linked(stage)?)))
            .map(|(stage, dir)| {
                let name = dir
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                entry(stage, name, dir)
            })
            .collect(),
    };
    RunEntry {
        name: name.to_owned(),
        entry: folder.number_with(record.as_ref()),
        unrecorded,
        config: folder.path().join(CONFIG),
        folder,
        record,
        stages,
        problems,
    }
}

impl Catalogue {
    /// The runs called `names` in their present state.
    pub fn runs(&mut self, names: &[String]) -> Vec<RunEntry> {
        let runs = find(&self.store, names, &mut self.index);
        self.index.save();
        runs
    }

    /// The table of `runs`.
    pub fn table<'a>(&'a self, runs: &'a [RunEntry]) -> Source<'a> {
        let index = &self.index;
        let mut columns = Columns::default();
        for (row, run) in runs.iter().enumerate() {
            let config = index.config(&run.config);
            if let Ok(config) = config {
                columns.settings(row, runs.len(), None, config, index);
            }
            for stage in &run.stages {
                let Ok(card) = index.card(&stage.dir) else {
                    continue;
                };
                // An unfinished run has no configuration yet; its stages have theirs.
                if config.is_err() {
                    columns.settings(row, runs.len(), Some(stage.stage), &card.config, index);
                }
                columns.figures(row, runs.len(), card, index);
            }
        }
        let mut fields = plain(runs);
        fields.extend(columns.fields(&fields));
        let mut shown = vec!["name", "state", "started", "seconds", "stages"];
        shown.extend(KEY_FIGURES);
        let is_quick = |run: &RunEntry| run.record.as_ref().is_some_and(|r| r.quick);
        if runs.iter().any(is_quick) {
            shown.push("note");
        }
        if runs.iter().any(|run| !run.problems.is_empty()) {
            shown.push("problem");
        }
        Source::new(runs.len(), fields).showing(&shown)
    }
}

/// The columns common to all runs.
fn plain(runs: &[RunEntry]) -> Vec<Field<'static>> {
    let records = || runs.iter().map(|run| run.record.as_ref());
    let text = |name: &str, of: fn(&RunRecord) -> String| {
        Field::text(name, records().map(|r| r.map_or(String::new(), of)))
    };
    let seconds = records().map(|r| r.and_then(|r| r.seconds));
    let seeds = records().map(|r| r.map(|r| i64::try_from(r.seed).unwrap_or(i64::MAX)));
    let entries = (runs.iter()).map(|run| i64::try_from(run.entry).ok());
    let stages = runs
        .iter()
        .map(|run| match (run.done().count(), run.stages.len()) {
            (done, all) if done == all => all.to_string(),
            (done, all) => format!("{done} of {all}"),
        });
    vec![
        Field::text("name", runs.iter().map(|run| run.name.as_str())),
        Field::ints("entry", entries),
        Field::text("state", runs.iter().map(RunEntry::state)),
        text("started", |r| r.started.to_string()).of(Kind::Moment),
        text("finished", |r| {
            r.finished
                .as_ref()
                .map_or(String::new(), ToString::to_string)
        })
        .of(Kind::Moment),
        Field::floats("seconds", seconds).of(Kind::Seconds),
        Field::text("stages", stages),
        Field::ints("seed", seeds),
        text("device", |r| r.device.clone()),
        text("file", |r| r.file.display().to_string()),
        text("host", |r| r.host.clone()),
        text("identity", |r| r.identity.clone()),
        text("failure", |r| r.failure.clone().unwrap_or_default()),
        text("note", |r| note(r.quick)),
        Field::text("problem", runs.iter().map(|run| run.problems.join("; "))),
    ]
}
