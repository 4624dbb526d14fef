//! `latent-align score RUN FILE --out FILE`

use super::applied::{Applied, ConditionArguments, tell};
use super::sequences::{Command, refuse};
use crate::console::Console;
use crate::inference::{Input, Job, Models, Output, dataset_of};
use crate::store::{Stage, Store};
use crate::tables::TableWriter;
use anyhow::Result;
use clap::{Args, ValueEnum};
use latent_align_stages::context::Summary;
use latent_align_stages::devices::check_numbers;
use latent_align_stages::inference::{Partial, Score, Space};
use latent_align_stages::likelihood::Precision;
use latent_align_stages::priors::Divergence;
use latent_align_stages::problems::Problems;
use latent_align_stages::stages::{StageConfig as _, estimate_nll};
use latent_align_stages::{Error, alignment::TRUNCATION};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Options of `score`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    applied: Applied,
    /// The HDF5 file of features; for a model of sequences, the text file with one per line
    ///
    /// Features have the width that the flow was trained on. With --latents, the file has latents.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The dataset of FILE [default: features, or the only one; with --latents: latents, means or points]
    #[arg(long)]
    dataset: Option<String>,
    /// Rows are latents of an autoencoder that is aligned with the flow: they are not normalised
    #[arg(long)]
    latents: bool,
    /// Score latents of an autoencoder that is not aligned with this flow, for comparison
    #[arg(long, requires = "latents")]
    unaligned: bool,
    #[command(flatten)]
    condition: ConditionArguments,
    /// The tolerance of an NLL in nats [default: that of the run's estimate-nll, or 1e-5]
    #[arg(long)]
    tolerance: Option<f64>,
    /// (t, noise) draws of the alignment loss [default: those of the run's estimate-nll, or 512]
    #[arg(long)]
    draws: Option<usize>,
    #[arg(long, help = format!("The largest R = t / (1 - t) of the likelihood weighting [default: that of the run's estimate-nll, or {TRUNCATION}]"))]
    truncation: Option<f64>,
    /// Estimate the divergence with this many random probes [default: as the run's estimate-nll, or
    /// exactly]
    ///
    /// Hutchinson's estimator, for points of many dimensions; NLLs then have a standard error
    #[arg(long, value_name = "N")]
    probes: Option<usize>,
    /// The precision of likelihoods and losses [default: that of the run's estimate-nll, or f32]
    #[arg(long, value_enum)]
    precision: Option<Bits>,
    /// The seed of draws and probes [default: that of the run's estimate-nll]
    #[arg(long)]
    seed: Option<u64>,
}

/// A precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Bits {
    F32,
    F64,
}

impl Arguments {
    /// The options that models of sequences do not have, and whether each was given.
    fn of_flows(&self) -> [(&str, bool); 7] {
        [
            ("--latents", self.latents),
            ("--condition", self.condition.is_given()),
            ("--tolerance", self.tolerance.is_some()),
            ("--draws", self.draws.is_some()),
            ("--truncation", self.truncation.is_some()),
            ("--probes", self.probes.is_some()),
            ("--precision", self.precision.is_some()),
        ]
    }

    /// The space of the rows, and the usual names of their dataset.
    fn space(&self) -> (Space, &[&str]) {
        match self.latents {
            true => (Space::Points, &["latents", "means", "points"]),
            false => (Space::Features, &["features"]),
        }
    }

    /// The run's configuration of `estimate-nll` with the overrides of the command line.
    fn config(&self, models: &Models) -> Result<estimate_nll::Config> {
        let own = models.config(Stage::EstimateNll).cloned();
        let own = own.and_then(|config| serde_json::from_value(config).ok());
        let mut config: estimate_nll::Config = own.unwrap_or_default();
        if let Some(tolerance) = self.tolerance {
            config.tolerance = tolerance;
        }
        if let Some(draws) = self.draws {
            config.draws = draws;
        }
        if let Some(truncation) = self.truncation {
            config.truncation = truncation;
        }
        if let Some(probes) = self.probes {
            config.divergence = Divergence::Hutchinson { probes };
        }
        if let Some(bits) = self.precision {
            config.precision = match bits {
                Bits::F32 => Precision::F32,
                Bits::F64 => Precision::F64,
            };
        }
        let mut problems = Problems::new();
        config.check(&mut problems);
        problems.into_result().map_err(|e| e.under("score"))?;
        Ok(config)
    }
}

/// Scores every row, and prints the mean figures.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    let applied = &arguments.applied;
    let output = Output::new(&applied.out, applied.force)?;
    let models = Models::find(store, &applied.run)?;
    if let Some(model) = models.of_sequences()? {
        refuse(&arguments.of_flows())?;
        let seed = arguments.seed.unwrap_or(model.manifest.seed);
        let (file, dataset) = (&arguments.file, arguments.dataset.as_deref());
        return Command::new(applied, output, model, store, console).score(file, dataset, seed);
    }
    let flow = models.flow()?;
    let config = arguments.config(&models)?;
    let own_seed = models.seed(Stage::EstimateNll);
    let seed = (arguments.seed.or(own_seed)).unwrap_or(flow.manifest.seed);
    let (space, usual) = arguments.space();
    let dataset = dataset_of(&arguments.file, arguments.dataset.as_deref(), usual)?;
    let input = Input::open(&arguments.file, &dataset, store)?;
    let (condition, of_condition) = arguments.condition.open(store)?;
    let choice = applied.device()?;
    let device = choice.open()?;
    let mut problems = Problems::new();
    let asked = Vec::from_iter(config.numbers());
    check_numbers(&device, &choice.to_string(), &asked, &mut problems);
    problems.into_result().map_err(|e| e.under("score"))?;
    let (source, scoring) = (input.source(), config.scoring());
    let condition = condition.as_ref();
    let work = Score::open(
        &flow.dir, &source, space, condition, &scoring, seed, &device,
    )?;
    if space == Space::Points && !arguments.unaligned {
        refuse_unaligned(&work, flow.fingerprint())?;
    }
    if work.lacks_condition() {
        console.note("score: without --condition, a flow that takes conditions scores under none");
    }
    let space = match space {
        Space::Features => "features, normalised to points of the flow",
        Space::Points => "points of the flow, unchanged",
    };
    let (points, own, tolerance) = (work.points(), flow.fingerprint(), config.tolerance);
    let written = format!(
        "{points} points, rows are {space} {own}; NLLs and losses of points in nats, tolerance {tolerance:e}"
    );
    let job = Job {
        name: "score",
        console,
        input: Some(&input),
        about: applied.about(
            [("flow", flow.identity()), ("space", space.into())]
                .into_iter()
                .chain(settings(&config))
                .chain([("seed", json!(seed)), ("condition", of_condition)]),
        ),
    };
    let mut figures = Summary::default();
    let is_stream = output.is_stream();
    let write = |partial: &mut Partial, file: &Path| {
        figures = work.figures(partial)?;
        let about = [
            ("space", space.to_owned()),
            ("units", "nats, of points of the flow".to_owned()),
            ("flow", flow.fingerprint().to_owned()),
            ("tolerance", config.tolerance.to_string()),
            ("figures", as_json(&figures).to_string()),
        ];
        let mut table = TableWriter::create(file, &about);
        work.tables(partial, |rows| table.append(rows))?;
        table.finish()
    };
    job.run(&work, output, write, &written)?;
    tell(figures, "all points", is_stream, console);
    Ok(())
}

/// The settings that scores depend on.
fn settings(config: &estimate_nll::Config) -> [(&'static str, Value); 5] {
    [
        ("draws", json!(config.draws)),
        ("truncation", json!(config.truncation)),
        ("tolerance", json!(config.tolerance)),
        ("divergence", json!(config.divergence)),
        ("precision", json!(config.precision)),
    ]
}

/// Refuses latents that are known not to be points of the flow `own`.
fn refuse_unaligned(work: &Score, own: &str) -> Result<()> {
    let lineage = work.lineage();
    let found = match (&lineage.flow, &lineage.autoencoder) {
        (Some(flow), _) if flow == own => return Ok(()),
        (None, None) => return Ok(()),
        (Some(flow), _) => format!("points of the flow {flow}"),
        (None, Some(autoencoder)) => {
            format!("latents of the autoencoder {autoencoder}, which is aligned with no flow")
        }
    };
    Err(Error::input(format!(
        "{}: found {found}, expected points of the flow {own}; encode the data with a run that is \
         aligned with it, or score these for comparison with --unaligned",
        work.describe()
    ))
    .into())
}

fn as_json(figures: &Summary) -> Value {
    let of = figures.figures.iter();
    of.map(|(name, value)| (name.clone(), json!(value)))
        .collect()
}
