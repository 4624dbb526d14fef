//! The trials of a sweep: settings, states and figures, and the comparison of variants. Tables, reports, lists and
//! the choice of the best read them from here.

use super::choosing::test_figure;
use super::file::{Constraint, Direction, Objective};
use super::race::{Race, Seeds, race};
use super::record::{SweepRecord, TrialRecord};
use super::standing::{Standing, TrialState};
use crate::store::{CONFIG, REPORT, RunFolder, Stage, Store};
use latent_align_stages::Result;
use latent_align_stages::figures::estimate_nll::FALLS;
use latent_align_stages::figures::of_stage::{ERROR, FEATURES_NLL, GAP, NLL};
use latent_align_stages::figures::{
    INTERVAL, PEAK_MEMORY, SECONDS, error_beside, error_of, in_region, key_figures,
    optimise_latents,
};
use latent_align_stages::stages::sample::PICTURE;
use serde_json::Value;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// A sweep and its trials.
#[derive(Clone)]
pub struct Trials {
    /// Its record.
    pub record: SweepRecord,
    /// Its trials in the same order.
    pub rows: Vec<TrialRow>,
}

/// A trial.
#[derive(Clone)]
pub struct TrialRow {
    /// Its record.
    pub trial: TrialRecord,
    /// Its state, with its figures once it is finished.
    pub standing: Standing,
    /// Its value for each axis of the sweep, if known.
    pub values: Vec<Option<Value>>,
    /// Whether its run has a report.
    pub has_report: bool,
    /// The picture of its samples, if the stage `sample` wrote one.
    pub samples: Option<PathBuf>,
    /// Its search, if it has one.
    pub search: Option<SearchOfTrial>,
}

/// The search of a trial.
#[derive(Clone)]
pub struct SearchOfTrial {
    /// The table of its evaluations.
    pub evaluations: PathBuf,
    /// The objective as configured.
    pub objective: String,
}

impl Trials {
    /// The trials of `record` with their `standings`, in the same order.
    pub fn of(record: SweepRecord, standings: Vec<Standing>) -> Self {
        let trials = record.trials.iter().zip(standings);
        let rows = trials.map(|(trial, standing)| TrialRow::of(trial, standing, &record.axes));
        Self {
            rows: rows.collect(),
            record,
        }
    }

    /// The trials of the sweep whose record is in `folder`, with the other contents of their runs.
    ///
    /// # Errors
    /// The record is missing or damaged.
    pub fn read(store: &Store, folder: &Path) -> Result<Self> {
        let record = SweepRecord::read(folder)?;
        let standing = |trial| Standing::of(trial, store);
        let standings = record.trials.iter().map(standing).collect();
        let mut trials = Self::of(record, standings);
        for row in &mut trials.rows {
            row.read_run(store, &trials.record.axes);
        }
        Ok(trials)
    }

    /// The current record, including the trials dropped since.
    pub fn record(&self) -> SweepRecord {
        SweepRecord {
            trials: self.rows.iter().map(|row| row.trial.clone()).collect(),
            ..self.record.clone()
        }
    }

    /// The main figure of the sweep: its objective, else its first column, else the NLL of latents.
    pub fn aim(&self) -> (&str, Direction) {
        if let Some(objective) = &self.record.objective {
            return (&objective.figure, objective.direction);
        }
        let figure = self.record.columns.first().map_or(NLL, String::as_str);
        (figure, Direction::Minimise)
    }

    /// Whether `row` meets the sweep's constraints.
    pub fn counts(&self, row: &TrialRow) -> bool {
        let mut constraints = self.record.constraints.iter();
        constraints.all(|constraint| constraint.is_met_by(row.figure(&constraint.figure)))
    }

    /// Compares the variants by `objective` under the sweep's constraints.
    pub fn race(&self, objective: &Objective) -> Race<'_> {
        let variants = self.variants().into_iter();
        let seeds = |variant: &str, figure: &str| self.seeds(variant, figure);
        race(variants, objective, &self.record.constraints, seeds)
    }

    /// Why `row` is excluded, if it is: a variant counts only with all its seeds.
    pub fn left_out(&self, row: &TrialRow, objective: &Objective) -> Option<String> {
        let figure = &objective.figure;
        if !row.standing.is_finished() {
            return Some(match row.standing.state {
                TrialState::Waiting => "it has not run yet".into(),
                TrialState::Dropped => "successive halving stopped it".into(),
                TrialState::Outdated => {
                    "its run is of another configuration; run the sweep again".into()
                }
                state => format!("its run is {}", state.word()),
            });
        }
        match row.standing.figure(figure) {
            None => return Some(format!("it has no figure `{figure}`")),
            Some(value) if !value.is_finite() => return Some(format!("`{figure}` is {value}")),
            Some(_) => {}
        }
        let variant = &row.trial.variant;
        if let Some(some) = self.seeds(variant, figure).lacking() {
            return Some(format!(
                "`{variant}` has a number for {some} seeds, and needs one for all"
            ));
        }
        let broken = self.record.constraints.iter().filter_map(|constraint| {
            let seeds = self.seeds(variant, &constraint.figure);
            (!constraint.is_met_by(seeds.mean())).then(|| unmet(constraint, &seeds))
        });
        let broken: Vec<String> = broken.collect();
        (!broken.is_empty()).then(|| broken.join("; "))
    }

    /// The trials that count, the best first: by the mean of their variant, then by their own figure.
    pub fn ranked(&self, objective: &Objective) -> Vec<&TrialRow> {
        let figure = &objective.figure;
        let counts = |row: &&TrialRow| self.left_out(row, objective).is_none();
        let mut ranked: Vec<(f64, f64, &TrialRow)> = (self.rows.iter())
            .filter(counts)
            .filter_map(|row| {
                let mean = self.seeds(&row.trial.variant, figure).mean()?;
                Some((mean, row.figure(figure)?, row))
            })
            .collect();
        let order = |a, b| objective.direction.order(a, b);
        ranked.sort_by(|a, b| order(a.0, b.0).then(order(a.1, b.1)));
        ranked.into_iter().map(|t| t.2).collect()
    }

    /// The names of all figures that a trial has, as `stage: figure`.
    pub fn figures(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        let all = self.rows.iter().flat_map(|row| &row.standing.figures);
        let names = all.map(|figure| figure.0.as_str());
        names.filter(|name| seen.insert(*name)).collect()
    }

    /// The trials of a variant.
    pub fn of_variant(&self, variant: &str) -> Vec<&TrialRow> {
        let rows = self.rows.iter();
        rows.filter(|row| row.trial.variant == variant).collect()
    }

    /// A figure over the seeds of a variant.
    pub fn seeds(&self, variant: &str, figure: &str) -> Seeds {
        let rows = self.of_variant(variant);
        rows.iter().map(|row| row.figure(figure)).collect()
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

    /// The columns of tables: the objective, its figure of test rows, and the sweep's columns. Without columns, the
    /// key figures of its stages; for a variant that has none, the first figures of its last stage.
    pub fn columns(&self) -> Vec<String> {
        let aim = self.record.objective.iter().map(|o| o.figure.clone());
        let aim: Vec<String> = aim
            .flat_map(|aim| [test_figure(&aim), Some(aim)])
            .flatten()
            .rev()
            .collect();
        let configured = &self.record.columns;
        let wanted = match configured.is_empty() {
            true => key_figures(),
            false => configured.clone(),
        };
        let is_known = |name: &String| {
            self.rows
                .iter()
                .any(|row| row.standing.figure(name).is_some())
        };
        let mut columns = aim;
        columns.retain(is_known);
        let of_aim = columns.len();
        for name in wanted {
            if !columns.contains(&name) && (!configured.is_empty() || is_known(&name)) {
                columns.push(name);
            }
        }
        for variant in self.variants() {
            let rows = self.of_variant(variant);
            let has =
                |column: &String| rows.iter().any(|row| row.standing.figure(column).is_some());
            if configured.is_empty() && !columns[of_aim..].iter().any(has) {
                columns.extend(first_figures(&rows));
            }
        }
        columns
    }

    /// The same with the figures of the Pareto front.
    pub fn columns_of_page(&self) -> Vec<String> {
        let mut columns = self.columns();
        for name in [ERROR, FEATURES_NLL, NLL] {
            let is_known = self.rows.iter().any(|row| row.figure(name).is_some());
            if is_known && !columns.iter().any(|column| column == name) {
                columns.push(name.to_owned());
            }
        }
        columns
    }
}

/// The first figures of the last stage of `rows`, without the ends of intervals.
fn first_figures(rows: &[&TrialRow]) -> Vec<String> {
    const COUNT: usize = 5;
    let stage = |name: &str| name.split_once(": ").map(|s| s.0.to_owned());
    let is_aside = |name: &str| {
        let is_bound = INTERVAL.iter().any(|end| name.contains(end));
        is_bound || name.contains(PEAK_MEMORY) || name.ends_with(SECONDS)
    };
    let finished = rows.iter().find(|row| !row.standing.figures.is_empty());
    let figures = finished.into_iter().flat_map(|row| &row.standing.figures);
    let names: Vec<&str> = figures.map(|f| f.0.as_str()).collect();
    let last = names.last().and_then(|name| stage(name));
    let of_last = names
        .iter()
        .filter(|name| stage(name) == last && !is_aside(name));
    of_last.take(COUNT).map(|name| (*name).to_owned()).collect()
}

impl SearchOfTrial {
    fn of(config: &Value, evaluations: PathBuf) -> Option<Self> {
        let objective = config
            .get(Stage::OptimiseLatents.section())?
            .get("objective")?;
        Some(Self {
            evaluations,
            objective: objective.to_string(),
        })
    }
}

impl TrialRow {
    fn of(trial: &TrialRecord, standing: Standing, axes: &[String]) -> Self {
        Self {
            values: (axes.iter().map(|axis| trial.settings.get(axis).cloned())).collect(),
            trial: trial.clone(),
            standing,
            has_report: false,
            samples: None,
            search: None,
        }
    }

    /// Reads the contents of the run's folder.
    fn read_run(&mut self, store: &Store, axes: &[String]) {
        let folder = RunFolder::of(store, &self.trial.run);
        self.has_report = folder.path().join(REPORT).is_file();
        self.samples = Some(folder.path().join(Stage::Sample.name()).join(PICTURE))
            .filter(|path| path.is_file());
        let evaluations = format!("{}.parquet", optimise_latents::TABLE);
        let search = folder.path().join(Stage::OptimiseLatents.name());
        let search = Some(search.join(evaluations)).filter(|path| path.is_file());
        let wants_config = search.is_some() || self.values.iter().any(Option::is_none);
        if self.standing.is_finished() && wants_config {
            let text = std::fs::read_to_string(folder.path().join(CONFIG)).ok();
            let config: Option<Value> = text.and_then(|text| serde_yaml::from_str(&text).ok());
            if let Some(config) = config {
                self.fill_values(&config, axes);
                self.search = search.and_then(|file| SearchOfTrial::of(&config, file));
            }
        }
    }

    /// Fills in the experiment's values of the axes that this trial does not set.
    fn fill_values(&mut self, config: &Value, axes: &[String]) {
        for (value, axis) in self.values.iter_mut().zip(axes) {
            if value.is_none() {
                let pointer = format!("/{}", axis.replace('.', "/"));
                *value = match config.pointer(&pointer) {
                    // the other axes describe its contents
                    Some(Value::Object(section)) => section.get("kind").cloned(),
                    Some(Value::Null) | None => None,
                    Some(other) => Some(other.clone()),
                };
            }
        }
    }

    /// A figure, if it exists and is finite.
    pub fn figure(&self, name: &str) -> Option<f64> {
        self.standing.figure(name).filter(|value| value.is_finite())
    }

    /// A figure of test rows as shown; that of held-out rows without a test part.
    pub fn shown(&self, name: &str) -> Option<f64> {
        let held_out = || self.figure(&name.replacen(": test ", ": held-out ", 1));
        self.figure(name).or_else(held_out)
    }

    /// The name of its run without the sweep's prefix.
    pub fn short_name(&self, sweep: &str) -> &str {
        let name = self.trial.run.strip_prefix(sweep);
        let name = name.and_then(|name| name.strip_prefix('.'));
        name.unwrap_or(&self.trial.run)
    }

    /// Whether its latents are likelier than the features, by more than two standard errors.
    pub fn is_likelier_than_features(&self) -> bool {
        let gap = self.figure(GAP).zip(self.figure(&error_of(GAP)));
        gap.is_some_and(|(gap, error)| gap < -2.0 * error)
    }

    /// Whether its latents are likelier than features and contracted, by more than two standard errors: this
    /// indicates collapse onto modes.
    pub fn has_gathered(&self) -> bool {
        let fall = FALLS.iter().find_map(|name| {
            let name = in_region(Stage::EstimateNll.name(), name);
            let error = self.figure(&error_beside(&name));
            self.figure(&name).zip(error)
        });
        self.is_likelier_than_features() && fall.is_some_and(|(fall, error)| fall > 2.0 * error)
    }
}

/// Why `seeds`, whose mean does not meet `constraint`, are excluded.
fn unmet(constraint: &Constraint, seeds: &Seeds) -> String {
    let Constraint {
        figure,
        at_least,
        at_most,
    } = constraint;
    let Some(value) = seeds.mean() else {
        return match seeds.lacking() {
            Some(some) => format!("`{figure}` is a number in {some} seeds"),
            None => format!("it has no figure `{figure}`"),
        };
    };
    let over = if seeds.count > 1 {
        " on average over seeds"
    } else {
        ""
    };
    let bounds = [("at least", at_least), ("at most", at_most)];
    let bounds = bounds
        .iter()
        .filter_map(|(word, bound)| Some(format!("{word} {}", (*bound).as_ref()?)));
    let bounds: Vec<String> = bounds.collect();
    format!(
        "`{figure}` is {value}{over}, expected {}",
        bounds.join(" and ")
    )
}

/// The value of an axis in short form: the kind of a section, or the whole of any other value.
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
