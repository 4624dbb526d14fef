//! The figures of a sweep: a row a trial as parquet, a row a variant as Markdown.

use super::trials::{Sweep, Trial};
use crate::config::nearest;
use crate::report::{
    RegionVerdict, TERMINAL, is_bound, is_verdict, markdown_within, number, short_name, with_spread,
};
use crate::run::write_table;
use crate::store::write_whole;
use latent_align_stages::{Result, context};
use std::fmt::Write as _;
use std::path::Path;

/// The name of the Markdown file.
pub const MARKDOWN: &str = "table.md";
const PARQUET: &str = "table.parquet";

/// Figures that say how a run went, not what it found.
const ASIDE: &str = "peak memory";

/// The trials so far.
pub struct Table {
    title: String,
    columns: Vec<String>,
    /// The variants in order, each with its number of trials.
    variants: Vec<(String, usize)>,
    /// A row a trial.
    pub rows: Vec<Row>,
    /// What came of the checks, a row each, as Markdown.
    pub checks: Option<String>,
}

/// A trial that ended.
pub struct Row {
    variant: String,
    seed: u64,
    /// The name of the run.
    pub run: String,
    /// Its figures as `stage: figure`, or why it failed.
    pub outcome: Result<Vec<(String, f64)>, String>,
}

impl Row {
    /// The row of `trial`.
    pub fn new(trial: &Trial, outcome: Result<Vec<(String, f64)>, String>) -> Self {
        Self {
            variant: trial.variant.clone(),
            seed: trial.loaded.experiment.seed,
            run: trial.name().to_owned(),
            outcome,
        }
    }

    fn figures(&self) -> &[(String, f64)] {
        self.outcome.as_deref().unwrap_or_default()
    }

    fn get(&self, column: &str) -> Option<f64> {
        let mut figures = self.figures().iter();
        figures.find(|(name, _)| name == column).map(|f| f.1)
    }
}

impl Table {
    /// The table of `sweep` before its first trial.
    pub fn of(sweep: &Sweep) -> Self {
        let variants = sweep.trials.chunk_by(|a, b| a.variant == b.variant);
        let variants = variants.map(|trials| (trials[0].variant.clone(), trials.len()));
        Self {
            title: sweep.name.clone(),
            columns: sweep.columns.clone(),
            variants: variants.collect(),
            rows: Vec::new(),
            checks: None,
        }
    }

    /// The mean of `column` over the seeds of `variant`.
    pub fn mean(&self, variant: &str, column: &str) -> Option<f64> {
        let trials = self.rows.iter().filter(|row| row.variant == variant);
        let values: Vec<f64> = trials.filter_map(|row| row.get(column)).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// The table of variants, and that of the checks where there are any.
    pub fn whole(&self) -> String {
        let checks = self.checks.iter().map(|table| format!("\n{table}"));
        std::iter::once(self.markdown()).chain(checks).collect()
    }

    /// One line for each wanted column that the first finished trial has no figure for, with the
    /// nearest that it has.
    pub fn unknown_columns(&self) -> Vec<String> {
        let Some(row) = self.rows.iter().find(|row| row.outcome.is_ok()) else {
            return Vec::new();
        };
        let unknown = self.columns.iter().filter(|c| row.get(c).is_none());
        let told = unknown.map(|column| {
            let names = row.figures().iter().map(|f| &f.0);
            let nearest = nearest(column, names);
            let nearest = nearest.map_or(String::new(), |n| format!("; the nearest is `{n}`"));
            format!(
                "warning: columns: {} has no figure `{column}`{nearest}",
                row.run
            )
        });
        told.collect()
    }

    /// Writes both tables into `folder`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let text = format!("# {}\n\n{}", self.title, self.whole());
        write_whole(folder, MARKDOWN, &text)?;
        write_table(&folder.join(PARQUET), &self.trials())
    }

    /// One row a variant (one column, where rows are wider than a terminal): mean and standard deviation
    /// over seeds. Below it, what failed.
    pub fn markdown(&self) -> String {
        let columns = self.shown_columns();
        let header = ["variant", "trials"].map(str::to_owned).into_iter();
        let names = columns.iter().map(|c| short_name(c).to_owned());
        let mut rows = vec![header.chain(names).collect()];
        for (variant, count) in &self.variants {
            let trials = self.rows.iter().filter(|row| row.variant == *variant);
            let trials: Vec<&Row> = trials.collect();
            let mut row = vec![variant.clone(), progress(&trials, *count)];
            for column in &columns {
                let values: Vec<f64> = trials.iter().filter_map(|t| t.get(column)).collect();
                row.push(cell(column, &values));
            }
            rows.push(row);
        }
        let mut out = markdown_within(&rows, TERMINAL);
        for row in &self.rows {
            if let Err(why) = &row.outcome {
                let lead = if out.ends_with("|\n") { "\n" } else { "" };
                let _ = writeln!(
                    out,
                    "{lead}- {} failed: {}",
                    row.run,
                    why.replace('\n', " ")
                );
            }
        }
        out
    }

    /// The columns asked for, or the figures of the last stage of any trial.
    fn shown_columns(&self) -> Vec<String> {
        if !self.columns.is_empty() {
            return self.columns.clone();
        }
        let mut columns: Vec<String> = Vec::new();
        for row in &self.rows {
            let stage = |name: &str| name.split_once(": ").map(|s| s.0.to_owned());
            let last = row.figures().last().and_then(|f| stage(&f.0));
            for (name, _) in row.figures() {
                let aside = is_bound(name) || name.contains(ASIDE);
                if stage(name) == last && !aside && !columns.contains(name) {
                    columns.push(name.clone());
                }
            }
        }
        columns
    }

    /// One row a trial, every figure a column.
    fn trials(&self) -> context::Table {
        let mut names: Vec<&String> = Vec::new();
        for (name, _) in self.rows.iter().flat_map(Row::figures) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let text = |of: fn(&Row) -> &str| self.rows.iter().map(|r| of(r).to_owned()).collect();
        let seeds = self
            .rows
            .iter()
            .map(|r| i64::try_from(r.seed).unwrap_or(i64::MAX));
        let mut table = context::Table::default();
        table
            .text("variant", text(|r| &r.variant))
            .int("seed", seeds.collect())
            .text("run", text(|r| &r.run))
            .text(
                "failure",
                text(|r| r.outcome.as_ref().err().map_or("", |e| e)),
            );
        for name in names {
            let values = self.rows.iter().map(|r| r.get(name).unwrap_or(f64::NAN));
            table.float(name, values.collect());
        }
        table
    }
}

/// How many of a variant's trials there are, such as `3` or `1 of 3, 1 failed`.
fn progress(trials: &[&Row], count: usize) -> String {
    let failed = trials.iter().filter(|t| t.outcome.is_err()).count();
    let done = trials.len() - failed;
    if done == count {
        return count.to_string();
    }
    let done = format!("{done} of {count}");
    match failed {
        0 => done,
        _ => format!("{done}, {failed} failed"),
    }
}

fn cell(column: &str, values: &[f64]) -> String {
    let verdicts = values.iter().map(|v| RegionVerdict::of(*v));
    let verdicts: Option<Vec<RegionVerdict>> = verdicts.collect();
    match (values, verdicts) {
        ([], _) => String::new(),
        (_, Some(verdicts)) if is_verdict(column) => words(&verdicts),
        ([one], _) => number(*one),
        (many, _) => {
            let count = many.len() as f64;
            let mean = many.iter().sum::<f64>() / count;
            let squares: f64 = many.iter().map(|v| (v - mean).powi(2)).sum();
            with_spread(mean, (squares / (count - 1.0)).sqrt())
        }
    }
}

/// The word that all verdicts are, or how many are which.
fn words(verdicts: &[RegionVerdict]) -> String {
    let mut kinds = verdicts.to_vec();
    kinds.sort();
    kinds.dedup();
    if let [one] = kinds[..] {
        return one.word().to_owned();
    }
    let count = |kind| verdicts.iter().filter(|v| **v == kind).count();
    let told = kinds
        .iter()
        .rev()
        .map(|k| format!("{} {}", count(*k), k.word()));
    told.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(variant: &str, seed: u64, outcome: Result<f64, &str>) -> Row {
        let figures = |x| {
            vec![
                ("pretrain-flow: loss".to_owned(), 1.0),
                ("estimate-nll: grid: NLL".to_owned(), x),
                ("estimate-nll: grid: NLL, 2.5 %".to_owned(), x - 1.0),
                (
                    "estimate-nll: peak memory of the process (MiB)".to_owned(),
                    9.0,
                ),
            ]
        };
        Row {
            variant: variant.into(),
            seed,
            run: format!("s.{variant}.seed{seed}"),
            outcome: outcome.map(figures).map_err(str::to_owned),
        }
    }

    fn table(columns: &[&str]) -> Table {
        Table {
            title: "s".into(),
            columns: columns.iter().map(|c| (*c).to_owned()).collect(),
            variants: vec![("a".into(), 2), ("b".into(), 2)],
            checks: None,
            rows: vec![
                row("a", 0, Ok(2.0)),
                row("a", 1, Ok(3.0)),
                row("b", 0, Ok(4.0)),
                row("b", 1, Err("no\nmemory")),
            ],
        }
    }

    #[test]
    fn seeds_become_a_mean_and_a_deviation_and_failures_are_told() {
        let expected = "\
| variant | trials           | estimate-nll: grid: NLL |
|---------|------------------|-------------------------|
| a       | 2                | 2.50 ± 0.71             |
| b       | 1 of 2, 1 failed | 4                       |

- s.b.seed1 failed: no memory
";
        assert_eq!(table(&[]).markdown(), expected);
    }

    #[test]
    fn a_column_that_no_trial_has_is_told_with_the_nearest() {
        let table = table(&["estimate-nll: grid: nul", "pretrain-flow: loss"]);
        let warnings = table.unknown_columns();
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0].contains("the nearest is `estimate-nll: grid: NLL`"),
            "{warnings:?}"
        );
    }

    #[test]
    fn every_trial_is_a_row_of_the_parquet_table() {
        let trials = table(&[]).trials();
        let names: Vec<&str> = trials.columns.iter().map(|c| c.0.as_str()).collect();
        assert_eq!(
            &names[..5],
            ["variant", "seed", "run", "failure", "pretrain-flow: loss"]
        );
        let context::Column::Float(losses) = &trials.columns[4].1 else {
            panic!()
        };
        assert!(losses[3].is_nan());
    }

    #[test]
    fn verdicts_are_words() {
        let column = "estimate-nll: grid: verdict (2 holds, 1 ranks only, 0 fails)";
        assert_eq!(cell(column, &[2.0, 2.0]), "holds");
        assert_eq!(cell(column, &[0.0, 2.0, 2.0]), "2 holds, 1 fails");
        assert_eq!(cell("points", &[2.0]), "2");
    }
}
