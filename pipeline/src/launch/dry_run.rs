//! `sweep --dry-run`: the trials that would run, and what each would compute.

use super::batch::Batch;
use super::placement::Placement;
use crate::store::Store;
use crate::sweep::{Halving, Sweep};
use crate::tables::{columns, duration};
use anyhow::Result;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The work that is left of `sweep`, in words; `here` if its trials would run on this machine. Reads manifests and
/// digests; runs and writes nothing.
///
/// # Errors
/// Input errors of all trials, as before running them.
pub fn dry_run(sweep: &Sweep, here: bool, store: &Store) -> Result<String> {
    let batch = Batch::plan(&sweep.trials, store, &sweep.file)?;
    let todo = batch.to_run();
    let mut out = format!(
        "{}: {}, {} to run\n",
        sweep.name,
        batch.finished(),
        todo.len()
    );
    out += &rungs(sweep);
    if !todo.is_empty() {
        let _ = write!(out, "\n{}", table(&batch, &todo));
    }
    if here {
        let placement = Placement::of(todo.iter().map(|trial| batch.trials[*trial]));
        out += &placement.described();
    }
    out += &seconds(&batch);
    out += "Nothing was run or written.\n";
    Ok(out)
}

/// One line per trial to run: the stages it would compute, each artifact at the first trial that needs it.
fn table(batch: &Batch, todo: &[usize]) -> String {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    let mut rows = vec![
        ["trial", "computes", "shared with an earlier trial"]
            .map(str::to_owned)
            .into(),
    ];
    for &trial in todo {
        let run = batch.records[trial].run.as_str();
        let (mut own, mut shared) = (Vec::new(), Vec::new());
        for (fingerprint, _) in &batch.needs[trial] {
            let stage = batch.stage_of(fingerprint);
            match *first.entry(fingerprint).or_insert(run) == run {
                true => own.push(stage),
                false => shared.push(stage),
            }
        }
        let listed = |stages: Vec<&str>| match stages.is_empty() {
            true => "-".to_owned(),
            false => stages.join(", "),
        };
        rows.push(vec![run.to_owned(), listed(own), listed(shared)]);
    }
    columns(&rows)
}

/// That successive halving comes first.
fn rungs(sweep: &Sweep) -> String {
    let Some(Halving { budget, rungs }) = &sweep.halving else {
        return String::new();
    };
    let steps: Vec<String> = budget.rungs.iter().map(u64::to_string).collect();
    format!(
        "Before these, rungs of {} steps with up to {} short trials; each keeps {} of its variants\n",
        steps.join(", "),
        rungs.iter().map(Vec::len).sum::<usize>(),
        budget.keep
    )
}

/// How long the finished trials took.
fn seconds(batch: &Batch) -> String {
    let finished = batch
        .before
        .iter()
        .filter(|standing| standing.is_finished());
    let seconds: Vec<f64> = finished.filter_map(|standing| standing.seconds).collect();
    match seconds.len() {
        0 => "\n".into(),
        count => {
            let mean = seconds.iter().sum::<f64>() / count as f64;
            format!("\nFinished trials took {} on average.\n", duration(mean))
        }
    }
}
