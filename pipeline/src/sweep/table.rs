//! The tables of a sweep: one row per trial as Parquet, one row per variant as Markdown.

use super::halving::Dropped;
use super::race::Seeds;
use super::record::TrialRecord;
use super::results::{TrialRow, Trials};
use super::standing::TrialState;
use super::trials::Sweep;
use crate::config::nearest;
use crate::store::{RunState, write_whole};
use crate::tables::{
    TERMINAL, markdown_within, mean_and_deviation, number, short_name, with_spread, words,
    write_table,
};
use latent_align_stages::{Result, context};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;

/// The name of the Markdown file.
pub const MARKDOWN: &str = "table.md";
const PARQUET: &str = "table.parquet";

/// The trials so far.
pub struct Table {
    title: String,
    /// Keys whose values are shown because variant names do not contain them.
    drawn: Vec<String>,
    /// The metric of successive halving.
    metric: String,
    /// The trials.
    pub trials: Trials,
    /// The best variant, in a sentence.
    pub best: Option<String>,
    /// The results of the checks as a Markdown table.
    pub checks: Option<String>,
}

impl Table {
    /// The table of `trials`, which belong to `sweep`.
    pub fn new(sweep: &Sweep, trials: Trials) -> Self {
        Self {
            title: sweep.name.clone(),
            drawn: sweep.drawn.clone(),
            metric: (sweep.halving.iter())
                .map(|h| h.budget.metric.clone())
                .collect(),
            best: None,
            checks: None,
            trials,
        }
    }

    /// The table of variants, the best variant, and the table of the checks, if any.
    pub fn whole(&self) -> String {
        let best = self.best.iter().map(|best| format!("\n{best}\n"));
        let checks = self.checks.iter().map(|table| format!("\n{table}"));
        let table = std::iter::once(self.markdown());
        table.chain(best).chain(checks).collect()
    }

    /// One line for each configured column that no finished trial has, with the most similar figure.
    pub fn unknown_columns(&self) -> Vec<String> {
        let finished = || {
            self.trials
                .rows
                .iter()
                .filter(|row| row.standing.is_finished())
        };
        let Some(row) = finished().next() else {
            return Vec::new();
        };
        let unknown = self.trials.record.columns.iter();
        let unknown = unknown.filter(|c| finished().all(|row| row.standing.figure(c).is_none()));
        let told = unknown.map(|column| {
            let names = row.standing.figures.iter().map(|f| &f.0);
            let nearest = nearest(column, names);
            let nearest = nearest.map_or(String::new(), |n| format!("; the nearest is `{n}`"));
            format!(
                "warning: columns: {} has no figure `{column}`{nearest}",
                row.trial.run
            )
        });
        told.collect()
    }

    /// Writes both tables into `folder`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let text = format!("# {}\n\n{}", self.title, self.whole());
        write_whole(folder, MARKDOWN, &text)?;
        write_table(&folder.join(PARQUET), &self.by_trial())
    }

    /// One row per variant (or one column, if rows are wider than a terminal): mean and standard deviation over
    /// seeds. Below it, failed and dropped variants.
    pub fn markdown(&self) -> String {
        let columns = self.trials.columns();
        let header = ["variant", "trials"].map(str::to_owned).into_iter();
        let drawn = self.drawn.iter().cloned();
        let names = columns.iter().map(|c| short_name(c).to_owned());
        let mut rows = vec![header.chain(drawn).chain(names).collect()];
        for variant in self.trials.variants() {
            let trials = self.trials.of_variant(variant);
            let mut row = vec![variant.to_owned(), progress(&trials)];
            for key in &self.drawn {
                let value = trials.first().and_then(|t| t.trial.settings.get(key));
                row.push(value.map_or(String::new(), setting));
            }
            for column in &columns {
                row.push(cell(column, &trials));
            }
            rows.push(row);
        }
        let mut out = markdown_within(&rows, TERMINAL);
        let failures = self
            .trials
            .rows
            .iter()
            .filter(|row| row.standing.is_failed());
        let failures = failures.map(|row| {
            let why = row.standing.failure.as_deref().unwrap_or("no reason known");
            format!("- {} failed: {}", row.trial.run, why.replace('\n', " "))
        });
        let first = self
            .trials
            .rows
            .chunk_by(|a, b| a.trial.variant == b.trial.variant);
        let dropped = first.filter_map(|rows| self.dropped(&rows[0].trial));
        for (i, line) in failures.chain(dropped).enumerate() {
            let lead = if i == 0 { "\n" } else { "" };
            let _ = writeln!(out, "{lead}{line}");
        }
        out
    }

    /// A line on where a variant was dropped, if it was.
    fn dropped(&self, trial: &TrialRecord) -> Option<String> {
        let Dropped { rung, value } = trial.dropped.as_ref()?;
        let value = value.map_or("not every seed gave a number".into(), |v| {
            format!("{} {}", self.metric, number(v))
        });
        Some(format!("- {} dropped at {rung}: {value}", trial.variant))
    }

    /// One row per trial; every key that is set and every figure is a column.
    fn by_trial(&self) -> context::Table {
        let mut keys: Vec<&String> = Vec::new();
        for row in &self.trials.rows {
            let settings = row.trial.settings.keys();
            keys.extend(settings.filter(|k| !keys.contains(k)).collect::<Vec<_>>());
        }
        let text = |of: &dyn Fn(&TrialRow) -> String| -> Vec<String> {
            self.trials.rows.iter().map(of).collect()
        };
        let seeds = self.trials.rows.iter().map(|r| r.trial.seed);
        let seeds = seeds.map(|seed| i64::try_from(seed).unwrap_or(i64::MAX));
        let mut table = context::Table::default();
        table
            .text("variant", text(&|r| r.trial.variant.clone()))
            .int("seed", seeds.collect())
            .text("run", text(&|r| r.trial.run.clone()))
            .text("state", text(&|r| r.standing.state.word().to_owned()))
            .text(
                "failure",
                text(&|r| r.standing.failure.clone().unwrap_or_default()),
            );
        for key in keys {
            let values: Vec<Option<&Value>> = (self.trials.rows.iter())
                .map(|r| r.trial.settings.get(key))
                .collect();
            let numbers: Option<Vec<f64>> = (values.iter())
                .map(|v| v.map_or(Some(f64::NAN), Value::as_f64))
                .collect();
            match numbers {
                Some(numbers) => table.float(key, numbers),
                None => table.text(
                    key,
                    values
                        .iter()
                        .map(|v| v.map_or(String::new(), setting))
                        .collect(),
                ),
            };
        }
        for name in self.trials.figures() {
            let values = self
                .trials
                .rows
                .iter()
                .map(|r| r.standing.figure(name).unwrap_or(f64::NAN));
            table.float(name, values.collect());
        }
        table
    }
}

/// A value as written in a file, a text without its quotes.
fn setting(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// The number of a variant's finished trials, such as `3` or `1 of 3, 1 failed`.
fn progress(trials: &[&TrialRow]) -> String {
    let count = trials.len();
    let is = |state| move |row: &&&TrialRow| row.standing.state == state;
    if trials
        .iter()
        .any(|row| row.standing.state == TrialState::Dropped)
    {
        return "dropped".into();
    }
    let failed = trials.iter().filter(|row| row.standing.is_failed()).count();
    let running = TrialState::Run(RunState::Running);
    let running = trials.iter().filter(is(running)).count();
    let done = trials
        .iter()
        .filter(|row| row.standing.is_finished())
        .count();
    if done == count {
        return count.to_string();
    }
    let mut text = format!("{done} of {count}");
    for (number, word) in [(failed, "failed"), (running, "running")] {
        if number > 0 {
            let _ = write!(text, ", {number} {word}");
        }
    }
    text
}

/// A figure over the finished trials of a variant, and in how many of them it is finite, if not in all.
fn cell(column: &str, trials: &[&TrialRow]) -> String {
    let finished = trials.iter().filter(|row| row.standing.is_finished());
    let seeds: Seeds = finished.map(|row| row.standing.figure(column)).collect();
    let told = summarised(column, &seeds.finite);
    match seeds.lacking() {
        Some(some) => format!("{told} ({some})"),
        None if seeds.finite.is_empty()
            && trials
                .iter()
                .any(|row| row.standing.figure(column).is_some()) =>
        {
            "NaN".into()
        }
        None => told,
    }
}

fn summarised(column: &str, values: &[f64]) -> String {
    match (values, words(column, values)) {
        ([], _) => String::new(),
        (_, Some(words)) => words,
        ([one], _) => number(*one),
        (many, _) => {
            let (mean, deviation) = mean_and_deviation(many);
            with_spread(mean, deviation)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::SweepRecord;
    use super::super::standing::Standing;
    use super::*;

    fn row(variant: &str, seed: u64, outcome: Result<f64, &str>) -> (TrialRecord, Standing) {
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
        let standing = match outcome {
            Ok(x) => Standing {
                state: TrialState::Run(RunState::Finished),
                figures: figures(x),
                ..Standing::waiting()
            },
            Err(why) => Standing::failed(why.to_owned()),
        };
        let settings = serde_json::json!({"a.weight": 0.5, "a.kind": "kl"});
        let trial = TrialRecord {
            run: format!("s.{variant}.seed{seed}"),
            variant: variant.into(),
            seed,
            identity: String::new(),
            settings: settings.as_object().unwrap().clone(),
            dropped: None,
        };
        (trial, standing)
    }

    fn trials(rows: Vec<(TrialRecord, Standing)>) -> Trials {
        let (trials, standings) = rows.into_iter().unzip();
        let record = SweepRecord {
            format: 1,
            name: "s".into(),
            file: "s.yaml".into(),
            axes: Vec::new(),
            objective: None,
            constraints: Vec::new(),
            columns: Vec::new(),
            trials,
        };
        Trials::of(record, standings)
    }

    fn table(columns: &[&str]) -> Table {
        let all = trials(vec![
            row("a", 0, Ok(2.0)),
            row("a", 1, Ok(3.0)),
            row("b", 0, Ok(4.0)),
            row("b", 1, Err("no\nmemory")),
        ]);
        Table {
            title: "s".into(),
            drawn: Vec::new(),
            metric: "loss".into(),
            best: None,
            checks: None,
            trials: Trials {
                record: SweepRecord {
                    columns: columns.iter().map(|c| (*c).to_owned()).collect(),
                    ..all.record
                },
                rows: all.rows,
            },
        }
    }

    #[test]
    fn what_was_drawn_and_what_was_dropped_is_told() {
        let mut table = table(&["estimate-nll: grid: NLL"]);
        table.drawn = vec!["a.weight".into()];
        for row in &mut table.trials.rows[2..] {
            row.trial.dropped = Some(Dropped {
                rung: 10,
                value: Some(0.25),
            });
            row.standing = Standing {
                state: TrialState::Dropped,
                ..Standing::waiting()
            };
        }
        let expected = "\
| variant | trials  | a.weight | estimate-nll: grid: NLL |
|---------|---------|----------|-------------------------|
| a       | 2       | 0.5      | 2.50 ± 0.71             |
| b       | dropped | 0.5      |                         |

- b dropped at 10: loss 0.25000
";
        assert_eq!(table.markdown(), expected);
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
        let mut table = table(&["estimate-nll: grid: nul", "pretrain-flow: loss", "of b"]);
        let of_b = ("of b".to_owned(), 1.0);
        table.trials.rows[2].standing.figures.push(of_b);
        let warnings = table.unknown_columns();
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0].contains("the nearest is `estimate-nll: grid: NLL`"),
            "{warnings:?}"
        );
    }

    #[test]
    fn every_trial_is_a_row_of_the_parquet_table() {
        let trials = table(&[]).by_trial();
        let names: Vec<&str> = trials.columns.iter().map(|c| c.0.as_str()).collect();
        assert_eq!(
            &names[..8],
            [
                "variant",
                "seed",
                "run",
                "state",
                "failure",
                "a.weight",
                "a.kind",
                "pretrain-flow: loss"
            ]
        );
        let context::Column::Float(losses) = &trials.columns[7].1 else {
            panic!()
        };
        assert!(losses[3].is_nan());
    }

    #[test]
    fn verdicts_are_words() {
        let column = "estimate-nll: grid: verdict (2 holds, 1 ranks only, 0 fails)";
        assert_eq!(summarised(column, &[2.0, 2.0]), "holds");
        assert_eq!(summarised(column, &[0.0, 2.0, 2.0]), "2 holds, 1 fails");
        assert_eq!(summarised("points", &[2.0]), "2");
    }

    #[test]
    fn a_figure_that_is_no_number_for_every_seed_says_for_how_many_it_is() {
        let column = "estimate-nll: grid: NLL";
        let all = trials([2.0, f64::NAN, 3.0].map(|x| row("a", 0, Ok(x))).into());
        let rows = all.of_variant("a");
        assert_eq!(cell(column, &rows), "2.50 ± 0.71 (2 of 3)");
        assert_eq!(cell(column, &rows[1..2]), "NaN");
    }
}
