//! The state of a trial, read from the record of its run and the manifests it leads to.

use super::record::TrialRecord;
use crate::store::{Progress, RunFolder, RunRecord, RunState, State, Store, state_of};
use latent_align_stages::figures::SECONDS;

/// The state of a trial with its results.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Its state.
    pub state: TrialState,
    /// Its figures as `stage: figure`, once it is finished.
    pub figures: Vec<(String, f64)>,
    /// Why it failed.
    pub failure: Option<String>,
    /// How long it took.
    pub seconds: Option<f64>,
    /// Its progress while it runs.
    pub progress: Option<Progress>,
}

/// The state of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrialState {
    /// Not started, or started before its configuration changed.
    Waiting,
    /// The state of its run.
    Run(RunState),
    /// Successive halving stopped it.
    Dropped,
    /// Its run has another configuration than the sweep now specifies.
    Outdated,
    /// The record of its run cannot be read; the word for its state.
    Unreadable(&'static str),
}

impl TrialState {
    /// Its name in tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Run(state) => state.word(),
            Self::Dropped => "dropped",
            Self::Outdated => "outdated",
            Self::Unreadable(word) => word,
        }
    }
}

impl Standing {
    /// A trial that has not started.
    pub fn waiting() -> Self {
        Self {
            state: TrialState::Waiting,
            figures: Vec::new(),
            failure: None,
            seconds: None,
            progress: None,
        }
    }

    /// A trial that failed before its run could record it.
    pub fn failed(why: String) -> Self {
        Self {
            state: TrialState::Run(RunState::Failed),
            failure: Some(why),
            ..Self::waiting()
        }
    }

    /// A trial that successive halving stopped.
    pub fn dropped() -> Self {
        Self {
            state: TrialState::Dropped,
            ..Self::waiting()
        }
    }

    /// The state of `trial` in `store`.
    pub fn of(trial: &TrialRecord, store: &Store) -> Self {
        if trial.dropped.is_some() {
            return Self::dropped();
        }
        let folder = RunFolder::of(store, &trial.run);
        let Ok(Some(record)) = folder.record() else {
            return Self::waiting();
        };
        if record.identity != trial.identity {
            return Self::waiting();
        }
        let figures = match record.state {
            RunState::Finished => match figures(&folder, &record) {
                Some(figures) => figures,
                None => return Self::waiting(), // None => return Self::waiting(), // an artifact is missing or damaged
            },
            _ => Vec::new(),
        };
        Self {
            state: TrialState::Run(record.state),
            figures,
            failure: record.failure,
            seconds: record.seconds,
            progress: match record.state {
                RunState::Running => folder.progress(),
                _ => None,
            },
        }
    }

    /// Whether it is finished.
    pub fn is_finished(&self) -> bool {
        self.state == TrialState::Run(RunState::Finished)
    }

    /// Whether it is finished, failed or dropped, so that its state is final.
    pub fn has_ended(&self) -> bool {
        self.is_finished() || self.is_failed() || self.state == TrialState::Dropped
    }

    /// Whether it failed.
    pub fn is_failed(&self) -> bool {
        self.state == TrialState::Run(RunState::Failed)
    }

    /// A figure, if it is finished and has it.
    pub fn figure(&self, name: &str) -> Option<f64> {
        let mut figures = self.figures.iter();
        figures.find(|figure| figure.0 == name).map(|f| f.1)
    }
}

/// All figures of a run as `stage: figure`, by stage; none if an artifact is missing.
fn figures(folder: &RunFolder, record: &RunRecord) -> Option<Vec<(String, f64)>> {
    let mut all = Vec::new();
    for stage in &record.stages {
        let State::Whole(manifest) = state_of(&folder.place(stage)) else {
            return None;
        };
        let figures = manifest.figures.0.into_iter();
        let figures = figures.chain([(SECONDS.to_owned(), manifest.seconds)]);
        all.extend(figures.map(|(name, value)| (format!("{}: {name}", stage.stage), value)));
    }
    Some(all)
}
