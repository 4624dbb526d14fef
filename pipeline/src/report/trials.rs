//! The trials of a sweep as its report shows them: what each set, how it stands, what it found.

use crate::store::{Manifest, RunFolder, RunState, Stage, Store};
use crate::sweep::{Direction, SweepRecord, TrialRecord};
use latent_align_stages::Result;
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The reconstruction error of a trial.
pub const ERROR: &str = "train-autoencoder: held-out mean squared error";
/// The NLL of its latents.
pub const NLL: &str = "estimate-nll: encoder latents: mean NLL, ODE (nats)";
/// What that is measured against.
pub const FEATURES_NLL: &str = "estimate-nll: held-out features: mean NLL, ODE (nats)";

/// How much less likely latents are than that, and how well it is known.
const GAP: &str = "estimate-nll: NLL gap, encoder latents over features (nats)";
const GAP_ERROR: &str = "estimate-nll: its standard error";

/// A sweep and its trials.
pub struct Trials {
    /// What it consists of.
    pub record: SweepRecord,
    /// Its trials in the same order.
    pub rows: Vec<TrialRow>,
}

/// A trial.
pub struct TrialRow {
    /// What it is.
    pub trial: TrialRecord,
    /// How its run stands; none if it was not run yet, or is of another configuration now.
    pub state: Option<RunState>,
    /// Why it failed, or what is damaged.
    pub trouble: Option<String>,
    /// Its figures as `stage: figure`.
    pub figures: Vec<(String, f64)>,
    /// How long its run took the last time.
    pub seconds: Option<f64>,
    /// What it has for each axis of the sweep, as far as that is known.
    pub values: Vec<Option<Value>>,
    /// Whether its run has a report.
    pub has_report: bool,
}

/// The figures of artifacts that were read, or why they could not be: trials share artifacts.
type Manifests = HashMap<PathBuf, std::result::Result<Vec<(String, f64)>, String>>;

impl Trials {
    /// Those of the sweep whose record is in `folder`.
    ///
    /// # Errors
    /// The record is missing or damaged. Trials that are damaged say so in their row.
    pub fn read(store: &Store, folder: &Path) -> Result<Self> {
        let record = SweepRecord::read(folder)?;
        let mut manifests = Manifests::new();
        let trials = record.trials.iter();
        let rows = trials.map(|trial| TrialRow::read(store, trial, &record.axes, &mut manifests));
        Ok(Self {
            rows: rows.collect(),
            record,
        })
    }

    /// The figure that the sweep is about: its objective, else its first column, else the NLL of latents.
    pub fn aim(&self) -> (&str, Direction) {
        if let Some(objective) = &self.record.objective {
            return (&objective.figure, objective.direction);
        }
        let figure = self.record.columns.first().map_or(NLL, String::as_str);
        (figure, Direction::Minimise)
    }

    /// True if `row` is what the sweep's constraints ask for.
    pub fn counts(&self, row: &TrialRow) -> bool {
        self.record.constraints.iter().all(|constraint| {
            row.figure(&constraint.figure).is_some_and(|value| {
                constraint.at_least.is_none_or(|least| value >= least)
                    && constraint.at_most.is_none_or(|most| value <= most)
            })
        })
    }

    /// The trial with the best figure of those that count; none without an objective.
    pub fn best(&self) -> Option<&TrialRow> {
        let objective = self.record.objective.as_ref()?;
        let sign = match objective.direction {
            Direction::Minimise => 1.0,
            Direction::Maximise => -1.0,
        };
        let counted = self.rows.iter().filter(|row| self.counts(row));
        let valued = counted.filter_map(|row| Some((sign * row.figure(&objective.figure)?, row)));
        valued
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .map(|found| found.1)
    }

    /// The variants in order.
    pub fn variants(&self) -> Vec<&str> {
        let mut variants: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !variants.contains(&row.trial.variant.as_str()) {
                variants.push(&row.trial.variant);
            }
        }
        variants
    }

    /// The figures to show: those that the sweep asks for, with its objective and the two of the front.
    pub fn columns(&self) -> Vec<String> {
        let mut columns: Vec<String> = Vec::new();
        let aim = self.aim().0.to_owned();
        let wanted = std::iter::once(aim).chain(self.record.columns.iter().cloned());
        let always = [ERROR, FEATURES_NLL, NLL].map(str::to_owned);
        for name in wanted.chain(always) {
            let known = self.rows.iter().any(|row| row.figure(&name).is_some());
            if known && !columns.contains(&name) {
                columns.push(name);
            }
        }
        columns
    }
}

impl TrialRow {
    fn read(
        store: &Store,
        trial: &TrialRecord,
        axes: &[String],
        manifests: &mut Manifests,
    ) -> Self {
        let folder = RunFolder::of(store, &trial.run);
        let mut row = Self {
            trial: trial.clone(),
            state: None,
            trouble: None,
            figures: Vec::new(),
            seconds: None,
            values: (axes.iter().map(|axis| trial.settings.get(axis).cloned())).collect(),
            has_report: folder.path().join(super::page::FILE).is_file(),
        };
        let record = match folder.record() {
            Ok(Some(record)) if record.identity == trial.identity => record,
            Ok(_) => return row,
            Err(why) => {
                row.trouble = Some(why.to_string());
                return row;
            }
        };
        row.state = Some(record.state);
        row.seconds = record.seconds;
        row.trouble = record.failure;
        for stage in Stage::ALL {
            let Some(artifact) = folder.linked(stage) else {
                continue;
            };
            let figures = manifests.entry(artifact.clone()).or_insert_with(|| {
                let manifest = Manifest::read(&artifact).map_err(|why| why.to_string())?;
                let figures = manifest.figures.0.into_iter();
                Ok(figures
                    .map(|(name, value)| (format!("{stage}: {name}"), value))
                    .collect())
            });
            match figures {
                Ok(figures) => row.figures.extend(figures.iter().cloned()),
                // a trial that never came so far has nothing there
                Err(why) if record.state == RunState::Finished => {
                    row.trouble = Some(format!("{stage}: {why}"));
                }
                Err(_) => {}
            }
        }
        row.fill_values(&folder, axes);
        row
    }

    /// What the experiment has for axes that this trial leaves as they are.
    fn fill_values(&mut self, folder: &RunFolder, axes: &[String]) {
        if self.values.iter().all(Option::is_some) {
            return;
        }
        let text = std::fs::read_to_string(folder.path().join("config.yaml")).ok();
        let config: Option<Value> = text.and_then(|text| serde_yaml::from_str(&text).ok());
        let Some(config) = config else { return };
        for (value, axis) in self.values.iter_mut().zip(axes) {
            if value.is_none() {
                let pointer = format!("/{}", axis.replace('.', "/"));
                *value = config.pointer(&pointer).filter(|v| !v.is_null()).cloned();
            }
        }
    }

    /// A figure, if it has it and it is a number.
    pub fn figure(&self, name: &str) -> Option<f64> {
        let found = self.figures.iter().find(|f| f.0 == name);
        found.map(|f| f.1).filter(|v| v.is_finite())
    }

    /// The name of its run without that of the sweep.
    pub fn short_name(&self, sweep: &str) -> &str {
        let name = self.trial.run.strip_prefix(sweep);
        let name = name.and_then(|name| name.strip_prefix('.'));
        name.unwrap_or(&self.trial.run)
    }

    /// True if its latents are likelier than features by more than two standard errors, which is collapse
    /// onto modes.
    pub fn has_gathered(&self) -> bool {
        let gap = self.figure(GAP).zip(self.figure(GAP_ERROR));
        gap.is_some_and(|(gap, error)| gap < -2.0 * error)
    }

    /// How it stands, in a word.
    pub fn standing(&self) -> &'static str {
        self.state.map_or("not run", RunState::word)
    }
}

/// The value of an axis in few characters: the kind of a section, the whole of anything else.
pub fn told(value: Option<&Value>) -> String {
    match value {
        None => "–".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Object(map)) => {
            let kind = map.get("kind").and_then(Value::as_str);
            let rest = map.iter().filter(|(key, _)| *key != "kind");
            let rest: Vec<String> = rest
                .map(|(key, value)| format!("{key} {}", told(Some(value))))
                .collect();
            let parts: Vec<String> = kind.map(str::to_owned).into_iter().chain(rest).collect();
            parts.join(", ")
        }
        Some(Value::Number(number)) if number.is_f64() => {
            let value = number.as_f64().unwrap_or(f64::NAN);
            match value.abs() {
                size if size > 0.0 && !(1e-3..1e5).contains(&size) => format!("{value:e}"),
                _ => number.to_string(),
            }
        }
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_told_in_few_characters() {
        for (value, text) in [
            (json!(0.01), "0.01"),
            (json!(0.00005), "5e-5"),
            (json!(3), "3"),
            (json!("uniform"), "uniform"),
            (json!({"kind": "kl", "weight": 0.01}), "kl, weight 0.01"),
            (json!({"kind": "none"}), "none"),
            (json!([8, 8]), "[8,8]"),
        ] {
            assert_eq!(told(Some(&value)), text);
        }
        assert_eq!(told(None), "–");
    }
}
