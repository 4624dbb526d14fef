//! Stage 1: pretrain a flow-matching model on target features.

use super::reference::{Reference, is_file_name};
use crate::context::{Context, Monitor, Summary};
use crate::data::{
    Attribute, Batches, Described, Ingest, NonFinite, NormalisationConfig, Normaliser, OutData,
    Part, PartConfig, RowView, SourceConfig, check_memory, check_parts, write_described,
};
use crate::error::Result;
use crate::figures::{ITS_ERROR, PARAMETERS, of_rows, pretrain_flow as names};
use crate::flows::{
    Evaluation, FitConfig, Flow, KeptPoints, VelocityNetwork, VelocityNetworkConfig, about_points,
};
use crate::likelihood::{Solver, negative_log_likelihood, sample};
use crate::numerics::{mean, standard_error};
use crate::problems::Problems;
use crate::random::Streams;
use crate::targets::{Target, read_target};
use crate::tensors::{from_f32, to_f32};
use crate::training::{MatmulPrecision, OptimiserConfig};
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
    /// Which rows are held out, for what chooses: learning curves and sweeps.
    #[serde(default)]
    pub held_out: PartConfig,
    /// Which rows choose nothing: figures that are shown are of these.
    #[serde(default)]
    pub test: PartConfig,
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
    /// Test features whose NLL is computed at the end.
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
        check_parts(&self.held_out, &self.test, false, problems);
        if self.features.from.is_some() {
            for (key, part) in [("held_out", &self.held_out), ("test", &self.test)] {
                let file = part.file.as_ref().map(|file| file.display().to_string());
                problems.section(key, |p| {
                    p.require(
                        file.is_none(),
                        "file",
                        file.unwrap_or_default(),
                        "no file: with `features.from`, a dataset in the same file",
                    );
                });
            }
        }
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
        if self.features.from.is_some() {
            return Vec::new();
        }
        let parts = [&mut self.held_out, &mut self.test];
        let files = parts.into_iter().filter_map(|part| part.file.as_mut());
        [&mut self.features.file].into_iter().chain(files).collect()
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
    let ingest = Ingest::read_parts(
        &config.features.source(),
        RowView::Tokens,
        seed,
        [&config.held_out, &config.test],
        Normaliser::needs_covariance(&config.normalisation),
        monitor,
    )?;
    ingest.require_batch(config.batch, "pretrain_flow.batch")?;
    ingest.warn_of_no_test(monitor);
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

        let held_out = self.keep(Part::HeldOut, context)?;
        let evaluate = |kept: &KeptPoints| {
            let points = self.config.evaluation_points;
            Evaluation::new(&kept.values, width, points, streams, &context.device)
        };
        let evaluation = evaluate(&held_out);

        let network = self.train(&evaluation, context)?;
        let mut summary = Summary::default();
        let loss = evaluation.loss(&network)?;
        summary.add(of_rows(Part::HeldOut.word(), names::LOSS), loss);
        let shown = match self.ingest.reported() {
            Part::Test => {
                let test = self.keep(Part::Test, context)?;
                let evaluation = evaluate(&test);
                let loss = evaluation.loss(&network)?;
                summary.add(of_rows(Part::Test.word(), names::LOSS), loss);
                (Part::Test, test, evaluation, loss)
            }
            part => (part, held_out, evaluation, loss),
        };
        let flow = Flow {
            network,
            normaliser: self.normaliser,
            target: self.target,
        };
        flow.save(&self.config.network, &context.dir)?;
        write_samples(&flow, self.config.samples, context)?;
        summarise(&flow, shown, &self.config, &mut summary, context)?;
        Ok(summary)
    }

    /// Some features of `part` as points of the flow, kept with the artifact.
    fn keep(&self, part: Part, context: &Context) -> Result<KeptPoints> {
        let at_most = match part {
            Part::Test => self.config.test.at_most,
            _ => self.config.held_out.at_most,
        };
        let rows = self.ingest.some_whole_items(part, at_most)?;
        let kept = KeptPoints {
            values: self.normaliser.apply(&rows.rows),
            width: self.normaliser.output_width,
            items: rows.items.iter().map(|&item| item as i64).collect(),
            tokens: self.ingest.rows_per_item(),
        };
        kept.save(part, &context.dir)?;
        Ok(kept)
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
    let about_points = about_points();
    let about_features = [
        ("space", "features as in the data: point matrix^-1 + mean"),
        ("units", "those of the data"),
    ];
    let about_features = about_features.map(|(name, text)| (name, Attribute::Text(text.into())));
    let shape = [count, width];
    let dataset = |name, values, about| Described {
        name,
        shape: &shape,
        values: OutData::F32(values),
        about,
    };
    let mut datasets = vec![dataset("points", &points, &about_points)];
    if let Some(features) = &features {
        datasets.push(dataset("features", features, &about_features));
    }
    write_described(&context.dir.join("samples.h5"), &datasets, &[])
}

/// The figures of the part that is shown. Losses are summed over dimensions; likelihoods are in nats, of
/// points.
fn summarise(
    flow: &Flow,
    (part, kept, evaluation, loss): (Part, KeptPoints, Evaluation, f64),
    config: &Config,
    summary: &mut Summary,
    context: &Context,
) -> Result<()> {
    let width = flow.normaliser.output_width;
    let word = part.word();
    if let Some(exact) = flow.exact_field(DType::F32, &context.device) {
        let floor = evaluation.loss(&exact)?;
        summary.add(names::FLOOR, floor);
        summary.add(names::LOSS_OVER_FLOOR, loss / floor);
    }
    let rows = kept.some(config.nll_points);
    let count = rows.len() / width;
    if count > 0 {
        let points = from_f32(rows.clone(), [count, width], &context.device);
        let task = format!("{word} likelihood");
        let done = |share: f64| {
            let done = (share * count as f64).round() as u64;
            context.monitor.progress(&task, done, count as u64, "");
            context.check_cancelled()
        };
        let nll =
            negative_log_likelihood(&flow.network, points, &Solver::exact(TOLERANCE), done)?.nll;
        summary.add(of_rows(word, names::NLL), mean(&nll));
        summary.add(ITS_ERROR, standard_error(&nll, kept.tokens));
        if let Some(analytic) = flow.analytic_nll(&rows) {
            summary.add(names::ANALYTIC_NLL, mean(&analytic));
        }
        if let Some(log_det) = flow.normaliser.log_abs_det() {
            summary.add(of_rows(word, names::FEATURES_NLL), mean(&nll) - log_det);
        }
    }
    summary.add(PARAMETERS, flow.network.num_params() as f64);
    Ok(())
}
