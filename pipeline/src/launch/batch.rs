//! Trials that run together: their work, and which of them are finished.

use super::schedule::Needs;
use crate::config::all_or_nothing;
use crate::plan;
use crate::plan::Plan;
use crate::store::{Digests, Stage, Store, identity};
use crate::sweep::{Standing, SweepFolder, Trial, TrialRecord, trial_record};
use anyhow::Result;
use std::collections::BTreeMap;
use std::path::Path;

/// Trials of a sweep, or of one of its rungs.
pub struct Batch<'a> {
    pub trials: Vec<&'a Trial>,
    /// Their records, in the same order.
    pub records: Vec<TrialRecord>,
    /// Stages that each must still compute.
    pub needs: Vec<Needs>,
    /// Their states before.
    pub before: Vec<Standing>,
    /// The stage of each artifact to compute.
    stages: BTreeMap<String, Stage>,
}

impl<'a> Batch<'a> {
    /// Plans every trial, so that missing inputs and wrong references are found before any training.
    ///
    /// # Errors
    /// All input errors at once; `file` is that of the sweep.
    pub fn plan(
        trials: impl IntoIterator<Item = &'a Trial>,
        store: &Store,
        file: &Path,
    ) -> Result<Self> {
        let mut digests = Digests::of_store(store.root());
        let mut batch = Self {
            trials: Vec::new(),
            records: Vec::new(),
            needs: Vec::new(),
            before: Vec::new(),
            stages: BTreeMap::new(),
        };
        let mut wrong: Vec<String> = Vec::new();
        for trial in trials {
            match plan::make(&trial.loaded, store, &mut digests) {
                Ok(plan) => batch.add(trial, &plan, store),
                Err(error) => {
                    let message = format!("variant `{}`: {error}", trial.variant);
                    if !wrong.contains(&message) {
                        wrong.push(message); // once for all seeds
                    }
                }
            }
        }
        digests.save();
        all_or_nothing(file, wrong)?;
        Ok(batch)
    }

    fn add(&mut self, trial: &'a Trial, plan: &Plan, store: &Store) {
        let record = trial_record(trial, identity(&plan.experiments[0].stages));
        let mut needs = Needs::new();
        for node in plan.to_run() {
            let reads = node.key.upstream.iter().map(|u| u.fingerprint.clone());
            needs.push((node.fingerprint.clone(), reads.collect()));
            self.stages.insert(node.fingerprint.clone(), node.key.stage);
        }
        self.before.push(Standing::of(&record, store));
        self.trials.push(trial);
        self.records.push(record);
        self.needs.push(needs);
    }

    /// Indices of the unfinished trials.
    pub fn to_run(&self) -> Vec<usize> {
        let all = 0..self.trials.len();
        all.filter(|i| !self.needs[*i].is_empty() || !self.before[*i].is_finished())
            .collect()
    }

    /// The number of finished trials in words.
    pub fn finished(&self) -> String {
        let count = self.trials.len();
        let finished = count - self.to_run().len();
        format!("{finished} of {count} trials are finished already")
    }

    /// The current state of a trial.
    pub fn standing(&self, trial: usize, store: &Store) -> Standing {
        Standing::of(&self.records[trial], store)
    }

    /// The name of the stage of an artifact to compute.
    pub fn stage_of(&self, fingerprint: &str) -> &'static str {
        let found = self.stages.get(fingerprint);
        found.map_or("artifact", |stage| stage.name())
    }

    /// Writes the configurations of the trials to run.
    pub fn prepare(&self, folder: &SweepFolder) -> Result<()> {
        for trial in self.to_run() {
            folder.write_trial(self.trials[trial])?;
        }
        Ok(())
    }
}
