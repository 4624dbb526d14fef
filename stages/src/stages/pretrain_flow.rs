//! Stage 1: fit a prior to target features, by default a flow-matching model.

mod baselines;
mod conditions;
mod likelihoods;
mod own_samples;
mod rows;
mod samples;
#[cfg(test)]
mod tests;

use super::reference::{Reference, is_file_name};
use super::{Preparation, Read, Stage, StageConfig, Upstream};
use crate::context::{Context, Monitor, Summary};
use crate::data::{
    Batches, Ingest, NonFinite, NormalisationConfig, Normaliser, Part, PartConfig, RowBlock,
    SourceConfig, check_memory, check_parts, files_of_parts,
};
use crate::devices::Numbers;
use crate::error::{Error, Result};
use crate::figures::PARAMETERS;
use crate::priors::{
    Batch, Bits, Conditions, Cut, ExactMixture, Fit, Fitted, Flow, KeptPoints, Layout, ModelConfig,
    Noise, Noising, PointShape, Schedule, exact_mixture,
};
use crate::problems::Problems;
use crate::targets::{Target, read_target};
use crate::training::OptimiserConfig;
use burn::tensor::DType;
use conditions::{ConditionConfig, OfItems};
use likelihoods::TOLERANCE;
pub use rows::Rows;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Fit a prior to target features: a flow-matching model, or another kind.
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
    /// What is fitted.
    #[serde(default)]
    pub model: ModelConfig,
    /// What a point is: a token, a whole row of them, or a feature or an image that is cut into tokens.
    #[serde(default)]
    pub rows: Rows,
    /// Noise that is added to features, nothing by default: to train with, once to held-out and test features, and to
    /// features that `score` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<Noise>,
    /// What points are conditioned on; nothing by default.
    #[serde(default)]
    pub condition: Option<ConditionConfig>,
    /// Optimiser and schedule.
    #[serde(default)]
    pub optimiser: OptimiserConfig,
    /// Training steps.
    #[serde(default = "defaults::steps")]
    pub steps: u64,
    /// Training points a step.
    #[serde(default = "defaults::batch")]
    pub batch: usize,
    /// Steps between evaluations of the held-out loss.
    #[serde(default = "defaults::evaluate_every")]
    pub evaluate_every: u64,
    /// Evaluations without a lower held-out loss after which training stops, with the averaged weights of the best one;
    /// by default it takes all steps, and the last weights count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<u64>,
    /// Points in the held-out evaluation, with noise and times fixed beforehand.
    #[serde(default = "defaults::evaluation_points")]
    pub evaluation_points: usize,
    /// Samples drawn from the trained flow at the end.
    #[serde(default = "defaults::samples")]
    pub samples: usize,
    /// Test features whose NLL is computed at the end.
    #[serde(default = "defaults::nll_points")]
    pub nll_points: usize,
    /// Samples of the trained flow that are compared with as many test features, to say whether it is trained; 0 for
    /// none. Time and memory grow with the square.
    #[serde(default = "defaults::compared")]
    pub compared: usize,
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
    /// The dataset in it: features [N, D] or tokens [N, T, D], or images [N, C, H, W] or [N, H, W] with
    /// `rows: {patches: P}`; f16, f32, f64 or u8.
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
    pub fn compared() -> usize {
        1000
    }
    pub fn memory_mib() -> usize {
        512
    }
}

impl Config {
    /// How long and how fast the prior is fitted.
    fn schedule(&self) -> Schedule {
        Schedule {
            optimiser: self.optimiser.clone(),
            steps: self.steps,
            batch: self.batch,
            evaluate_every: self.evaluate_every,
            evaluation_points: self.evaluation_points,
            early_stopping: self.early_stopping,
        }
    }
}

/// The role of what the flow is fitted to, where a stage made it.
const FEATURES: &str = "features";

impl StageConfig for Config {
    fn stage(&self) -> Stage {
        Stage::PretrainFlow
    }

    fn example() -> Value {
        json!({"features": {"file": "features.h5"}})
    }

    fn check(&self, problems: &mut Problems) {
        problems.section("features", |p| {
            p.require(
                self.features.from.is_none() || is_file_name(&self.features.file),
                "file",
                self.features.file.display(),
                "the name of a file in the artifact that `from` names, such as latents.h5",
            )
        });
        let with_labels = self.condition.is_some();
        check_parts(&self.held_out, &self.test, with_labels, problems);
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
        let (kind, schedule) = (self.model.kind(), self.schedule());
        problems.section("model", |p| {
            kind.check(p);
            kind.check_with(&schedule, p);
        });
        schedule.check(problems);
        self.rows.check(problems);
        problems.section("normalisation", |p| self.normalisation.check(p));
        if let Some(noise) = self.noise {
            problems.section("noise", |p| noise.check(p));
        }
        if let Some(condition) = &self.condition {
            problems.section("condition", |p| condition.check(p));
            problems.require(
                kind.conditional(),
                "condition",
                format!("a condition with `model: {{kind: {}}}`", self.model.name()),
                "none (remove `condition`), or a kind that takes one: `flow_matching`, `coupling`, `tarflow` or `starflow`",
            );
            let guided = condition.guidance == 1.0 || kind.ways().guided;
            problems.require(
                guided,
                "condition.guidance",
                format!(
                    "{} with `model: {{kind: {}}}`",
                    condition.guidance,
                    self.model.name()
                ),
                "1, or a kind that has guidance: `flow_matching`, `tarflow` or `starflow`",
            );
        }
        problems.require(
            self.compared == 0 || (8..=5000).contains(&self.compared),
            "compared",
            self.compared,
            "0, or 8 to 5000, such as 1000",
        );
        check_memory(problems, self.memory_mib);
    }

    fn reads(&self) -> Vec<Read> {
        (self.features.from.iter())
            .map(|from| Read {
                experiment: from.experiment.clone(),
                key: "features.from",
                ..Read::own(FEATURES, from.stage)
            })
            .collect()
    }

    fn numbers(&self) -> Option<Numbers> {
        self.model.kind().numbers()
    }

    fn inputs(&mut self) -> Vec<(&'static str, &mut PathBuf)> {
        if self.features.from.is_some() {
            return Vec::new();
        }
        let features = [("features.file", &mut self.features.file)];
        (features.into_iter())
            .chain(files_of_parts(&mut self.held_out, &mut self.test))
            .collect()
    }

    fn experiments(&mut self) -> Vec<&mut Option<PathBuf>> {
        let from = self.features.from.iter_mut();
        from.map(|from| &mut from.experiment).collect()
    }

    fn prepare(
        &self,
        upstream: &Upstream,
        seed: u64,
        monitor: &dyn Monitor,
    ) -> Result<Preparation> {
        let mut located = self.clone();
        if self.features.from.is_some() {
            let key = "pretrain_flow.features.file";
            match upstream.file(FEATURES, key, &self.features.file)? {
                Some(file) => located.features.file = file,
                None => return Ok(Preparation::Wait),
            }
        }
        let prepared = prepare(&located, seed, monitor)?;
        Ok(Preparation::Ready(Box::new(prepared)))
    }
}

impl super::Prepared for Prepared {
    fn makes(&self) -> Option<PointShape> {
        Some(self.shape())
    }

    fn run(self: Box<Self>, _: &Upstream, context: &Context) -> Result<Summary> {
        (*self).run(context)
    }
}

/// The stage with its input opened, scanned and found good.
pub struct Prepared {
    config: Config,
    ingest: Ingest,
    conditions: Option<OfItems>,
    normaliser: Normaliser,
    target: Option<Target>,
}

/// Opens and scans the features; whatever is wrong with them is found here, before any training.
///
/// # Errors
/// File errors; input errors for features, labels or embeddings that do not fit the configuration.
fn prepare(config: &Config, seed: u64, monitor: &dyn Monitor) -> Result<Prepared> {
    let tokens = Ingest::read_parts(
        &config.features.source(),
        config.rows.view(),
        seed,
        [&config.held_out, &config.test],
        Normaliser::needs_covariance(&config.normalisation),
        monitor,
    )?;
    if let Some(levels) = config.normalisation.levels {
        tokens.require_range(levels, "pretrain_flow.normalisation.levels")?;
    }
    if config.noise == Some(Noise::Uniform) {
        tokens.require_levels("pretrain_flow.noise.kind: uniform")?;
    }
    // normalisation is of tokens, or of features that are cut into tokens after it
    let normaliser = Normaliser::fit(&config.normalisation, &tokens.moments, seed)?;
    config
        .rows
        .require_width(normaliser.output_width, &tokens.dataset)?;
    let whole = config.rows.of_items() || tokens.rows_per_item() == 1;
    if config.condition.is_some() && !whole {
        return Err(Error::input(format!(
            "{}: found {} tokens an item, expected one, or `rows: sequences`: a condition is of a whole item",
            tokens.dataset.describe(),
            tokens.rows_per_item()
        )));
    }
    let by_items = config.condition.is_some() || config.rows.of_items();
    let ingest = match by_items {
        true => tokens.by_items()?,
        false => tokens,
    };
    ingest.require_batch(config.batch, "pretrain_flow.batch")?;
    ingest.warn_of_no_test(monitor);
    if config.noise.is_none() {
        ingest.warn_of_lattice(monitor);
    }
    let parts = [&config.held_out, &config.test];
    let conditions = (config.condition.as_ref())
        .map(|condition| OfItems::read(condition, &ingest, parts))
        .transpose()?;
    let target = match config.noise {
        None => read_target(&ingest.dataset)?,
        // the density is not that of noisy features
        Some(_) => None,
    };
    let prepared = Prepared {
        target,
        config: config.clone(),
        ingest,
        conditions,
        normaliser,
    };
    let shape = prepared.shape();
    (config.model.kind().check_shape(shape)).map_err(|expected| {
        Error::input(format!(
            "pretrain_flow.model: found `kind: {}` over points [{}, {}], expected {expected}",
            config.model.name(),
            shape.tokens,
            shape.width
        ))
    })?;
    Ok(prepared)
}

impl Prepared {
    /// The shape of a point.
    pub fn shape(&self) -> PointShape {
        let rows = self.ingest.width() / self.normaliser.input_width;
        let tokens = match self.config.rows {
            Rows::Split(tokens) => tokens,
            _ => rows,
        };
        PointShape {
            tokens,
            width: rows * self.normaliser.output_width / tokens,
        }
    }

    /// How features stand as points.
    fn layout(&self) -> Layout {
        let cut = match (self.config.rows, self.ingest.patches()) {
            (_, Some(patches)) => Cut::Patches(patches),
            (Rows::Split(_), _) => Cut::Split,
            _ => Cut::None,
        };
        let noise = self.config.noise;
        let known = noise == Some(Noise::Uniform) || matches!(cut, Cut::Patches(_));
        let range = known.then(|| match self.config.normalisation.levels {
            Some(levels) => [0.0, levels as f64 - 1.0],
            None => self.ingest.scan.range(),
        });
        Layout { cut, noise, range }
    }

    /// What adds noise to points.
    fn noising(&self) -> Option<Noising> {
        let noise = self.config.noise?;
        Some(Noising::new(noise, &self.normaliser))
    }

    /// Fits the prior and fills the directory of `context`.
    ///
    /// # Errors
    /// Errors of reading and writing; [`Error::Diverged`]; [`Error::Cancelled`].
    pub fn run(self, context: &Context) -> Result<Summary> {
        self.ingest.write_scan(&context.dir)?;
        let held_out = self.keep(Part::HeldOut, context)?;
        let test = match self.ingest.reported() {
            Part::Test => Some(self.keep(Part::Test, context)?),
            _ => None,
        };
        let Fitted { prior, figures } = self.fit(&held_out, test.as_ref(), context)?;
        let mut summary = figures;
        let layout = self.layout();
        let (shown, chooses) = match test {
            Some(test) => ((Part::Test, test), Some(held_out)),
            None => ((Part::HeldOut, held_out), None),
        };
        let flow = Flow {
            prior,
            layout,
            normaliser: self.normaliser,
            target: self.target,
        };
        flow.save(&self.config.model, &context.dir)?;
        let guidance = (self.config.condition.as_ref()).map_or(1.0, |condition| condition.guidance);
        let count = (self.config.samples, guidance);
        samples::write(&flow, &shown.1, count, TOLERANCE, context)?;
        let (part, kept) = (shown.0, &shown.1);
        let scored = self.config.nll_points;
        let exact = likelihoods::of_shown(&flow, (part, kept), scored, &mut summary, context)?;
        if flow.bits().is_some() {
            let rows = some_rows(&self.config, &self.ingest, part, flow.prior.shape().tokens)?;
            baselines::add(
                &self.ingest,
                &flow,
                part,
                (kept, &rows.rows),
                scored,
                &mut summary,
            )?;
        }
        if let (true, Some(kept)) = (exact, chooses) {
            likelihoods::of_held_out(&flow, &kept, scored, &mut summary, context)?;
        }
        summary.add(PARAMETERS, flow.prior.parameters() as f64);
        if self.config.compared > 0 {
            let count = self.config.compared;
            own_samples::compare(&flow, (part, kept), count, TOLERANCE, &mut summary, context)?;
        }
        Ok(summary)
    }

    /// What each of `items` is conditioned on, if the prior is.
    fn conditions_of(&self, items: &[usize]) -> Option<Conditions> {
        let conditions = self.conditions.as_ref()?;
        Some(conditions.of(items.iter().copied()))
    }

    /// Some features of `part` as points of the flow, kept with the artifact.
    fn keep(&self, part: Part, context: &Context) -> Result<KeptPoints> {
        let PointShape { tokens, width } = self.shape();
        let rows = some_rows(&self.config, &self.ingest, part, tokens)?;
        let mut values = self.normaliser.apply(&rows.rows);
        if let Some(noising) = self.noising() {
            let stream = format!("noise of {} features", part.word());
            noising.add(&mut values, &mut context.streams.at(&stream, 0));
        }
        let kept = KeptPoints {
            points: Batch {
                values,
                conditions: self.conditions_of(&rows.items),
            },
            width,
            items: (rows.items.iter())
                .flat_map(|&item| std::iter::repeat_n(item as i64, tokens))
                .collect(),
            tokens: self.ingest.rows_per_item() * tokens,
        };
        kept.save(part, &context.dir)?;
        Ok(kept)
    }

    /// The prior fitted to the training rows, normalised.
    fn fit(
        &self,
        held_out: &KeptPoints,
        test: Option<&KeptPoints>,
        context: &Context,
    ) -> Result<Fitted> {
        let kind = self.config.model.kind();
        let mut batches = Batches::start(
            &self.ingest,
            Part::Train,
            self.normaliser.clone(),
            self.config.batch,
            context.streams.seed(),
            self.config.memory_mib << 20,
            context.first_step(),
        )?;
        let noising = self.noising();
        let mut next = |step| {
            let mut block = batches.next_of_items()?;
            if let Some(noising) = &noising {
                let mut rng = context.streams.at("noise of features", step);
                noising.add(&mut block.rows, &mut rng);
            }
            Ok(Batch {
                conditions: self.conditions_of(&block.items),
                values: block.rows,
            })
        };
        let mixture = exact_mixture(self.target.as_ref(), &self.normaliser, self.shape());
        let exact = mixture.map(|m| ExactMixture::new(&m, DType::F32, &context.device));
        let fit = Fit {
            shape: self.shape(),
            condition: self.conditions.as_ref().map(|conditions| conditions.kind),
            dropout: self.config.condition.as_ref().map_or(0.0, |c| c.dropout),
            schedule: &self.config.schedule(),
            next: &mut next,
            held_out: &held_out.points,
            test: test.map(|test| &test.points),
            exact: exact.as_ref(),
            bits: Bits::new(&self.layout(), &self.normaliser, self.shape()),
            streams: context.streams,
        };
        let fitted = kind.fit(fit, context);
        batches.explain(fitted, context)
    }
}

/// Some rows of `part`, raw, as whole items; each is `tokens` tokens of a point.
fn some_rows(config: &Config, ingest: &Ingest, part: Part, tokens: usize) -> Result<RowBlock> {
    let at_most = match part {
        Part::Test => config.test.at_most,
        _ => config.held_out.at_most,
    };
    let at_most = match config.rows {
        // rows are counted as in the file, where each token is one
        Rows::Sequences => at_most.div_ceil(tokens),
        _ => at_most,
    };
    ingest.some_whole_items(part, at_most)
}
