//! Stage 1: pretrain a flow-matching model on target features.

use crate::context::{Context, Monitor, Summary};
use crate::error::Result;
use crate::features::{
    Attribute, Batches, Ingest, NonFinite, NormalisationConfig, Normaliser, OutData, Part, RowView,
    SourceConfig, Split, SplitConfig, Target, check_memory, read_target, write_datasets,
};
use crate::flows::{Evaluation, FitConfig, Flow, VelocityNetwork, VelocityNetworkConfig};
use crate::likelihood::{Solver, mean, negative_log_likelihood, sample};
use crate::problems::Problems;
use crate::reference::{Reference, is_file_name};
use crate::tensors::{from_f32, spread, to_f32};
use crate::training::{MatmulPrecision, OptimiserConfig, Streams};
use burn::module::Module;
use burn::tensor::DType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Pretrain a flow-matching model on target features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PretrainFlow")]
pub struct Config {
    /// The target features.
    pub features: FeaturesConfig,
    /// Which rows are held out.
    #[serde(default)]
    pub held_out: SplitConfig,
    /// How features become training points.
    #[serde(default)]
    pub normalisation: NormalisationConfig,
    /// The size of the velocity network.
    #[serde(default)]
    pub network: VelocityNetworkConfig,
    /// Optimiser and schedule.
    #[serde(default)]
    pub optimiser: OptimiserConfig,
    /// Training steps.
    #[serde(default = "defaults::steps")]
    pub steps: u64,
    /// Training points a step.
    #[serde(default = "defaults::batch")]
    pub batch: usize,
    /// Stratified times a step, each shared by batch / times points; the time embedding and its
    /// modulations are computed once for each.
    #[serde(default = "defaults::times")]
    pub times: usize,
    /// What the matrix products of training are taken in.
    #[serde(default)]
    pub precision: MatmulPrecision,
    /// Steps between evaluations of the held-out loss.
    #[serde(default = "defaults::evaluate_every")]
    pub evaluate_every: u64,
    /// Points in the held-out evaluation, with noise and times fixed beforehand.
    #[serde(default = "defaults::evaluation_points")]
    pub evaluation_points: usize,
    /// Samples drawn from the trained flow at the end.
    #[serde(default = "defaults::samples")]
    pub samples: usize,
    /// Held-out features whose NLL is computed at the end.
    #[serde(default = "defaults::nll_points")]
    pub nll_points: usize,
    /// Features are kept in memory below this size (after normalisation), and streamed above it.
    #[serde(default = "defaults::memory_mib")]
    pub memory_mib: usize,
}

/// The features of a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeaturesConfig {
    /// Read an artifact of another stage, such as the latents of another experiment's autoencoder:
    /// `{experiment: other.yaml, stage: train_autoencoder}`. What it needs runs first.
    #[serde(default)]
    pub from: Option<Reference>,
    /// The HDF5 file, relative to the configuration file; with `from`, the name of a file in that
    /// artifact, such as latents.h5.
    pub file: PathBuf,
    /// The dataset in it: features [N, D] or tokens [N, T, D]; f16, f32, f64 or u8.
    #[serde(default = "defaults::dataset")]
    pub dataset: String,
    /// What to do with rows that hold NaN or an infinity.
    #[serde(default)]
    pub non_finite: NonFinite,
}

impl FeaturesConfig {
    /// Where the features are.
    fn source(&self) -> SourceConfig {
        SourceConfig {
            file: self.file.clone(),
            dataset: self.dataset.clone(),
            non_finite: self.non_finite,
        }
    }
}

mod defaults {
    pub fn dataset() -> String {
        "features".into()
    }
    pub fn steps() -> u64 {
        3000
    }
    pub fn batch() -> usize {
        256
    }
    pub fn times() -> usize {
        64
    }
    pub fn evaluate_every() -> u64 {
        250
    }
    pub fn evaluation_points() -> usize {
        8192
    }
    pub fn samples() -> usize {
        1000
    }
    pub fn nll_points() -> usize {
        256
    }
    pub fn memory_mib() -> usize {
        512
    }
}

impl Config {
    /// How the flow is fitted.
    fn fit(&self) -> FitConfig {
        FitConfig {
            network: self.network.clone(),
            optimiser: self.optimiser.clone(),
            steps: self.steps,
            batch: self.batch,
            times: self.times,
            precision: self.precision,
        }
    }

    /// Notes every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        problems.section("features", |p| {
            p.require(
                self.features.from.is_none() || is_file_name(&self.features.file),
                "file",
                self.features.file.display(),
                "the name of a file in the artifact that `from` names, such as latents.h5",
            )
        });
        problems.section("held_out", |p| self.held_out.check(p));
        self.fit().check(problems);
        problems.require(
            self.evaluate_every >= 1,
            "evaluate_every",
            self.evaluate_every,
            "at least 1",
        );
        problems.require(
            self.evaluation_points >= 1,
            "evaluation_points",
            self.evaluation_points,
            "at least 1",
        );
        check_memory(problems, self.memory_mib);
    }

    /// The files this stage reads that no stage made.
    pub fn inputs_mut(&mut self) -> Vec<&mut PathBuf> {
        match self.features.from {
            None => vec![&mut self.features.file],
            Some(_) => Vec::new(),
        }
    }

    /// The files of the experiments whose artifacts it may read; none where it is its own.
    pub fn experiments_mut(&mut self) -> Vec<&mut Option<PathBuf>> {
        let from = self.features.from.iter_mut();
        from.map(|from| &mut from.experiment).collect()
    }
}

/// The stage with its input opened, scanned and found good.
pub struct Prepared {
    config: Config,
    ingest: Ingest,
    normaliser: Normaliser,
    target: Option<Target>,
}

/// Opens and scans the features; whatever is wrong with them is found here, before any training.
pub fn prepare(config: &Config, seed: u64, monitor: &dyn Monitor) -> Result<Prepared> {
    let ingest = Ingest::read(
        &config.features.source(),
        RowView::Tokens,
        Split::new(seed, config.held_out.fraction),
        Normaliser::needs_covariance(&config.normalisation),
        monitor,
    )?;
    ingest.require_batch(config.batch, "pretrain_flow.batch")?;
    Ok(Prepared {
        normaliser: Normaliser::fit(&config.normalisation, &ingest.moments, seed)?,
        target: read_target(&ingest.dataset)?,
        config: config.clone(),
        ingest,
    })
}

/// Tolerance of the ODE solver for the samples and likelihoods at the end.
const TOLERANCE: f64 = 1e-4;

impl Prepared {
    /// The width of the flow's points.
    pub fn latent_width(&self) -> usize {
        self.normaliser.output_width
    }

    /// Trains the flow and fills the directory of `context`.
    pub fn run(self, context: &Context) -> Result<Summary> {
        let width = self.latent_width();
        let streams = Streams::of_stage("pretrain-flow", context.seed);
        self.ingest.write_scan(&context.dir)?;

        let rows = self.ingest.held_out_rows(self.config.held_out.at_most)?;
        let held_out = self.normaliser.apply(&rows);
        write_datasets(
            &context.dir.join("held_out.h5"),
            &[(
                "features",
                &[held_out.len() / width, width],
                OutData::F32(&held_out),
            )],
            &[(
                "space",
                Attribute::Text("points of the flow: (feature - mean) matrix".into()),
            )],
        )?;
        let points = self.config.evaluation_points;
        let evaluation = Evaluation::new(&held_out, width, points, streams, &context.device);

        let network = self.train(&evaluation, context)?;
        let flow = Flow {
            network,
            normaliser: self.normaliser,
            target: self.target,
        };
        flow.save(&self.config.network, &context.dir)?;
        write_samples(&flow, self.config.samples, context)?;
        summarise(&flow, &evaluation, &held_out, &self.config, context)
    }

    /// The network fitted to the training rows, normalised.
    fn train(&self, evaluation: &Evaluation, context: &Context) -> Result<VelocityNetwork> {
        let mut batches = Batches::start(
            &self.ingest,
            Part::Train,
            self.normaliser.clone(),
            self.config.batch,
            context.seed,
            self.config.memory_mib << 20,
            context.first_step(),
        )?;
        let network = self.config.fit().fit(
            self.latent_width(),
            |_| batches.next(),
            evaluation,
            self.config.evaluate_every,
            Streams::of_stage("pretrain-flow", context.seed),
            context,
        );
        batches.explain(network, context)
    }
}

/// Draws samples of the trained flow into `samples.h5`: as points, and as features where the
/// normalisation can be undone.
fn write_samples(flow: &Flow, count: usize, context: &Context) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    let width = flow.normaliser.output_width;
    let noise =
        Streams::of_stage("pretrain-flow", context.seed).normal("samples", 0, count * width);
    let noise = from_f32(noise, [count, width], &context.device);
    let points = to_f32(sample(&flow.network, noise, TOLERANCE, || {
        context.check_cancelled()
    })?)?;
    let features = flow.normaliser.inverse(&points);
    let shape = [count, width];
    let mut datasets = vec![("points", &shape[..], OutData::F32(&points))];
    if let Some(features) = &features {
        datasets.push(("features", &shape[..], OutData::F32(features)));
    }
    write_datasets(&context.dir.join("samples.h5"), &datasets, &[])
}

/// The final figures. Losses are summed over dimensions; likelihoods are in nats, of points.
fn summarise(
    flow: &Flow,
    evaluation: &Evaluation,
    held_out: &[f32],
    config: &Config,
    context: &Context,
) -> Result<Summary> {
    let mut summary = Summary::default();
    let width = flow.normaliser.output_width;
    let loss = evaluation.loss(&flow.network)?;
    summary.add("held-out flow-matching loss", loss);
    if let Some(exact) = flow.exact_field(DType::F32, &context.device) {
        let floor = evaluation.loss(&exact)?;
        summary.add("its floor (exact velocity, same points)", floor);
        summary.add("loss over floor", loss / floor);
    }
    let rows = spread(held_out, width, config.nll_points);
    let count = rows.len() / width;
    if count > 0 {
        let points = from_f32(rows.clone(), [count, width], &context.device);
        let task = "held-out likelihood";
        let done = |share: f64| {
            let done = (share * count as f64).round() as u64;
            context.monitor.progress(task, done, count as u64, "");
            context.check_cancelled()
        };
        let nll =
            negative_log_likelihood(&flow.network, points, &Solver::exact(TOLERANCE), done)?.nll;
        summary.add("held-out NLL (nats)", mean(&nll));
        if let Some(analytic) = flow.analytic_nll(&rows) {
            summary.add("analytic NLL of the same points (nats)", mean(&analytic));
        }
        if let Some(log_det) = flow.normaliser.log_abs_det() {
            summary.add("held-out NLL in feature space (nats)", mean(&nll) - log_det);
        }
    }
    summary.add("parameters", flow.network.num_params() as f64);
    Ok(summary)
}
