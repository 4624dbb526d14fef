//! `latent-align show RUN --curves`: one learning curve per column of a stage's `metrics.parquet`.

use super::chart::{self, Panel};
use crate::catalogue::{RunEntry, StageEntry};
use crate::config::{hint, list};
use crate::console::Console;
use crate::store::{METRICS, Name, Stage};
use crate::tables::{Field, Kind, Output, Query, Source};
use clap::Args;
use latent_align_stages::figures::curves::{HELD_OUT, STEP, TRAINING};
use latent_align_stages::{Error, Result};
use polars::prelude::{DataType, ParquetReader, SerReader as _};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Which learning curves of a run to show, and how.
#[derive(Debug, Args)]
pub struct CurvesArguments {
    /// For a run: its learning curves, including those of stages in progress
    #[arg(long)]
    pub curves: bool,
    /// Draw the curves in the terminal: a panel for each metric, training and held-out data together
    #[arg(long, alias = "plot")]
    chart: bool,
    /// Curves of this stage only, such as train-autoencoder; may be repeated
    #[arg(long, value_name = "STAGE")]
    stage: Vec<String>,
    /// Curves of this metric only, such as reconstruction; may be repeated
    #[arg(long, value_name = "METRIC")]
    metric: Vec<String>,
}

impl CurvesArguments {
    /// The first given option that needs learning curves.
    pub fn given(&self) -> Option<&'static str> {
        [
            ("--curves", self.curves),
            ("--chart", self.chart),
            ("--stage", !self.stage.is_empty()),
            ("--metric", !self.metric.is_empty()),
        ]
        .into_iter()
        .find_map(|(option, is_given)| is_given.then_some(option))
    }

    /// Writes the curves of `run` as a table, or draws them.
    ///
    /// # Errors
    /// [`Error::Input`] for a run without curves, and for a missing stage or metric.
    pub fn show(
        &self,
        run: &RunEntry,
        query: &Query,
        output: Output,
        console: &Console,
    ) -> anyhow::Result<()> {
        let stages = self.stage.iter().map(|name| stage(name));
        let stages: Vec<Stage> = stages.collect::<Result<_, Error>>()?;
        let (curves, damaged) = of(run, &stages);
        damaged.iter().for_each(|why| console.note(why));
        if curves.is_empty() {
            return Err(Error::input(format!(
                "{}: no learning curves; expected a run with a stage that trains{}",
                run.name,
                if stages.is_empty() {
                    ""
                } else {
                    " among those of --stage"
                }
            ))
            .into());
        }
        let curves = chosen(curves, &self.metric)?;
        if self.chart {
            output.must_be_text("charts")?;
            let drawn: Vec<String> = panels(&curves).iter().map(chart::draw).collect();
            return output.write_page(&drawn.join("\n"), console);
        }
        output.write(&mut query.run(&table(&curves))?, console)
    }
}

/// The stage called `name`.
///
/// # Errors
/// [`Error::Input`] with the valid names.
fn stage(name: &str) -> Result<Stage, Error> {
    let wanted = name.replace('_', "-");
    let found = Stage::ALL.into_iter().find(|stage| stage.name() == wanted);
    found.ok_or_else(|| {
        let names = Stage::ALL.map(Stage::name);
        let near = hint(&wanted, names);
        let names = list(&names);
        Error::input(format!("--stage: found `{name}`, expected {names}{near}"))
    })
}

/// A metric of a stage by step.
struct Curve {
    stage: Stage,
    column: String,
    /// The rows of the stage's table.
    rows: Vec<(i64, Option<f64>)>,
}

/// The curves of `run`, for these stages or for all; and what could not be read.
fn of(run: &RunEntry, stages: &[Stage]) -> (Vec<Curve>, Vec<String>) {
    let (mut curves, mut damaged) = (Vec::new(), Vec::new());
    let wanted = |s: &&StageEntry| stages.is_empty() || stages.contains(&s.stage);
    for stage in run.stages.iter().filter(wanted) {
        let Some(file) = table_of(stage) else {
            continue;
        };
        match read(stage.stage, &file) {
            Ok(read) => curves.extend(read),
            Err(why) => damaged.push(format!("{}: DAMAGED: {why}", file.display())),
        }
    }
    (curves, damaged)
}

/// The metrics table of a stage, or that of the process computing it now.
fn table_of(stage: &StageEntry) -> Option<PathBuf> {
    let done = stage.dir.join(METRICS);
    if done.exists() {
        return Some(done);
    }
    let draft = Some(Name::Draft(&stage.fingerprint));
    let entries = stage.dir.parent()?.read_dir().ok()?.flatten();
    let mut places = entries.filter(|e| e.file_name().to_str().and_then(Name::of) == draft);
    places.find_map(|e| Some(e.path().join(METRICS)).filter(|file| file.exists()))
}

fn read(stage: Stage, file: &Path) -> anyhow::Result<Vec<Curve>> {
    let frame = ParquetReader::new(File::open(file)?).finish()?;
    let steps = frame.column(STEP)?.cast(&DataType::Int64)?;
    let steps: Vec<i64> = steps.i64()?.iter().map(|s| s.unwrap_or(0)).collect();
    let mut curves = Vec::new();
    for column in frame.columns().iter().filter(|c| c.name() != STEP) {
        let values = column.cast(&DataType::Float64)?;
        curves.push(Curve {
            stage,
            column: column.name().to_string(),
            rows: steps.iter().copied().zip(values.f64()?.iter()).collect(),
        });
    }
    Ok(curves)
}

/// The metric of a column, without the data it is measured on.
fn metric(column: &str) -> &str {
    let of_data = column
        .strip_prefix(HELD_OUT)
        .or(column.strip_prefix(TRAINING));
    of_data.unwrap_or(column)
}

/// The curves of the metrics in `wanted`, each given by the column's name or without the data it is
/// measured on; all curves if `wanted` is empty.
///
/// # Errors
/// [`Error::Input`] for an unknown metric.
fn chosen(curves: Vec<Curve>, wanted: &[String]) -> Result<Vec<Curve>> {
    if wanted.is_empty() {
        return Ok(curves);
    }
    let is = |curve: &Curve, wanted: &str| {
        let wanted = wanted.replace(' ', "_");
        curve.column == wanted || metric(&curve.column) == wanted
    };
    for name in wanted {
        if !curves.iter().any(|curve| is(curve, name)) {
            let mut names: Vec<&str> = curves.iter().map(|c| metric(&c.column)).collect();
            names.sort_unstable();
            names.dedup();
            let near = hint(name, &names);
            let names = list(&names);
            return Err(Error::input(format!(
                "--metric: found `{name}`, expected {names}{near}"
            )));
        }
    }
    let named = curves.into_iter();
    Ok(named
        .filter(|curve| wanted.iter().any(|w| is(curve, w)))
        .collect())
}

/// The table of `curves`, one row per step of a stage.
fn table(curves: &[Curve]) -> Source<'static> {
    let parts: Vec<&[Curve]> = curves.chunk_by(|a, b| a.stage == b.stage).collect();
    let height = parts.iter().map(|part| part[0].rows.len()).sum();
    let steps = parts
        .iter()
        .flat_map(|part| part[0].rows.iter().map(|row| Some(row.0)));
    let stages = parts
        .iter()
        .flat_map(|part| part[0].rows.iter().map(|_| part[0].stage.name()));
    let mut fields = vec![Field::text("stage", stages), Field::ints(STEP, steps)];
    let mut names: Vec<&str> = Vec::new();
    for curve in curves {
        if !names.contains(&curve.column.as_str()) {
            names.push(&curve.column);
        }
    }
    for name in names {
        let values = parts.iter().flat_map(|part| {
            let curve = part.iter().find(|curve| curve.column == name);
            (0..part[0].rows.len()).map(move |row| curve.and_then(|c| c.rows[row].1))
        });
        fields.push(Field::floats(name, values).of(Kind::Figure));
    }
    Source::new(height, fields)
}

/// Groups curves by metric. A term that is zero throughout, which the run does not have, is left out.
fn panels(curves: &[Curve]) -> Vec<Panel> {
    let mut panels: Vec<Panel> = Vec::new();
    for curve in curves {
        let points = curve
            .rows
            .iter()
            .filter_map(|(step, v)| Some((*step as f64, (*v)?)));
        let points: Vec<(f64, f64)> = points.filter(|p| p.1.is_finite()).collect();
        if points.iter().all(|p| p.1 == 0.0) {
            continue;
        }
        let title = format!(
            "{}: {}",
            curve.stage,
            metric(&curve.column).replace('_', " ")
        );
        let at = panels.iter().position(|panel| panel.title == title);
        let at = at.unwrap_or_else(|| {
            let (training, held_out) = (Vec::new(), Vec::new());
            panels.push(Panel {
                title,
                training,
                held_out,
            });
            panels.len() - 1
        });
        if curve.column.starts_with(HELD_OUT) {
            panels[at].held_out = points;
        } else {
            panels[at].training = points;
        }
    }
    panels
}
