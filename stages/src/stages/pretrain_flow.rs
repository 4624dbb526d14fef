//! Stage 1: fit a prior to target features, by default a flow-matching model.

mod conditions;
mod own_samples;

use super::reference::{Reference, is_file_name};
use super::{Preparation, Read, Stage, StageConfig, Upstream};
use crate::autoencoders::write_images;
use crate::context::{Context, Monitor, Summary};
use crate::data::{
    Attribute, Batches, Described, Ingest, NonFinite, NormalisationConfig, Normaliser, OutData,
    Part, PartConfig, RowView, SourceConfig, check_memory, check_parts, files_of_parts,
    write_described,
};
use crate::devices::Numbers;
use crate::error::{Error, Result};
use crate::figures::{ITS_ERROR, PARAMETERS, of_rows, pretrain_flow as names};
use crate::numerics::{mean, standard_error};
use crate::priors::{
    Batch, Conditions, Cut, ExactMixture, Fit, Fitted, Flow, KeptPoints, Layout, ModelConfig,
    NllOptions, PointShape, SampleOptions, Schedule, Steps, about_points, exact_mixture,
};
use crate::problems::Problems;
use crate::targets::{Target, read_target};
use crate::tensors::to_f32;
use crate::training::OptimiserConfig;
use burn::tensor::DType;
use conditions::{ConditionConfig, OfItems};
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

/// What a point of the prior is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rows {
    /// Each token of features [N, T, D] on its own, or each feature [N, D]: points of width d.
    #[default]
    Tokens,
    /// A whole row of features [N, T, D]: N points of T tokens of width d.
    Sequences,
    /// `{split: T}`: a feature [N, D], normalised and then cut into T tokens of d / T numbers.
    Split(usize),
    /// `{patches: P}`: an image [N, C, H, W] or [N, H, W], cut into patches of P x P pixels, row by row: H W / P^2
    /// tokens of C P^2 numbers. Each token is normalised.
    Patches(usize),
}

impl Rows {
    /// How a dataset's items become rows to be normalised.
    fn view(self) -> RowView {
        match self {
            Self::Patches(side) => RowView::Patches(side),
            _ => RowView::Tokens,
        }
    }

    /// Whether all rows of an item are one point.
    fn of_items(self) -> bool {
        matches!(self, Self::Sequences | Self::Patches(_))
    }

    fn check(self, problems: &mut Problems) {
        match self {
            Self::Split(tokens) => problems.at_least("rows.split", tokens, 1),
            Self::Patches(side) => problems.at_least("rows.patches", side, 1),
            _ => {}
        }
    }
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
        if let Some(condition) = &self.condition {
            problems.section("condition", |p| condition.check(p));
            problems.require(
                kind.conditional(),
                "condition",
                format!("a condition with `model: {{kind: {}}}`", self.model.name()),
                "none (remove `condition`), or a kind that takes one: `flow_matching`, `coupling`, `tarflow` or `starflow`",
            );
            let guided = condition.guidance == 1.0 || kind.guided();
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
    // normalisation is of tokens, or of features that are cut into tokens after it
    let normaliser = Normaliser::fit(&config.normalisation, &tokens.moments, seed)?;
    if let Rows::Split(count) = config.rows
        && !normaliser.output_width.is_multiple_of(count)
    {
        let width = normaliser.output_width;
        let known: Vec<_> = (1..=width).filter(|&n| width.is_multiple_of(n)).collect();
        let known: Vec<_> = known.iter().map(usize::to_string).collect();
        return Err(Error::input(format!(
            "pretrain_flow.rows: found `{{split: {count}}}` for {}, whose features are {width} numbers after the \
             normalisation, expected one of {}; `normalisation.projection` leads to another width",
            tokens.dataset.describe(),
            known.join(", ")
        )));
    }
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
    ingest.warn_of_lattice(monitor);
    let parts = [&config.held_out, &config.test];
    let conditions = (config.condition.as_ref())
        .map(|condition| OfItems::read(condition, &ingest, parts))
        .transpose()?;
    let prepared = Prepared {
        target: read_target(&ingest.dataset)?,
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

/// Tolerance of the ODE solver for the samples and likelihoods at the end.
const TOLERANCE: f64 = 1e-4;

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
        let range = self.ingest.patches().map(|_| self.ingest.scan.range());
        Layout { cut, range }
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
        let flow = Flow {
            prior,
            layout: self.layout(),
            normaliser: self.normaliser,
            target: self.target,
        };
        flow.save(&self.config.model, &context.dir)?;
        let shown = match test {
            Some(test) => (Part::Test, test),
            None => (Part::HeldOut, held_out),
        };
        write_samples(&flow, &shown.1, &self.config, context)?;
        summarise(
            &flow,
            (shown.0, &shown.1),
            &self.config,
            &mut summary,
            context,
        )?;
        if self.config.compared > 0 {
            let (part, kept) = &shown;
            let count = self.config.compared;
            own_samples::compare(
                &flow,
                (*part, kept),
                count,
                TOLERANCE,
                &mut summary,
                context,
            )?;
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
        let at_most = match part {
            Part::Test => self.config.test.at_most,
            _ => self.config.held_out.at_most,
        };
        let PointShape { tokens, width } = self.shape();
        let at_most = match self.config.rows {
            // rows are counted as in the file, where each token is one
            Rows::Sequences => at_most.div_ceil(tokens),
            _ => at_most,
        };
        let rows = self.ingest.some_whole_items(part, at_most)?;
        let kept = KeptPoints {
            points: Batch {
                values: self.normaliser.apply(&rows.rows),
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
        let mut next = |_| {
            let block = batches.next_of_items()?;
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
            streams: context.streams,
        };
        let fitted = kind.fit(fit, context);
        batches.explain(fitted, context)
    }
}

/// Draws samples of the trained flow into `samples.h5`: as points, and as features where the
/// normalisation can be undone; with the conditions of `kept` in turn, where the flow takes some.
fn write_samples(flow: &Flow, kept: &KeptPoints, config: &Config, context: &Context) -> Result<()> {
    let count = config.samples;
    let guidance = (config.condition.as_ref()).map_or(1.0, |condition| condition.guidance);
    if count == 0 {
        return Ok(());
    }
    let shape = flow.prior.shape();
    let options = SampleOptions {
        streams: context.streams,
        temperature: 1.0,
        guidance,
        steps: Steps::Adaptive(TOLERANCE),
    };
    let conditions = (kept.points.conditions.as_ref())
        .map(|conditions| conditions.select((0..count).map(|i| i % conditions.len())));
    let encoded = (flow.prior.condition().zip(conditions.as_ref()))
        .map(|(kind, conditions)| kind.encode(Some(conditions), count, &context.device));
    let samples = flow
        .prior
        .sample(count, encoded, &options, &mut |_| context.check_cancelled())?;
    let points = to_f32(samples)?;
    let features = flow.features_of().map(|of| of(&points));
    let about_points = about_points();
    let about_features = [
        ("space", "features as in the data: point matrix^-1 + mean"),
        ("units", "those of the data"),
    ];
    let about_features = about_features.map(|(name, text)| (name, Attribute::Text(text.into())));
    let dims = match shape.tokens {
        1 => vec![count, shape.width],
        tokens => vec![count, tokens, shape.width],
    };
    let features_dims = [&[count], &flow.feature_shape()[..]].concat();
    let mut datasets = vec![Described {
        name: "points",
        shape: &dims,
        values: OutData::F32(&points),
        about: &about_points,
    }];
    if let Some(features) = &features {
        datasets.push(Described {
            name: "features",
            shape: &features_dims,
            values: OutData::F32(features),
            about: &about_features,
        });
    }
    let about_labels = [("meaning", Attribute::Text("the class of each".into()))];
    let labels: Vec<i64> = match &conditions {
        Some(Conditions::Labels(labels)) => labels.iter().map(|&l| i64::from(l)).collect(),
        _ => Vec::new(),
    };
    if !labels.is_empty() {
        datasets.push(Described {
            name: "labels",
            shape: &dims[..1],
            values: OutData::I64(&labels),
            about: &about_labels,
        });
    }
    write_described(&context.dir.join("samples.h5"), &datasets, &[])?;
    match features {
        Some(features) => paint(flow, &features, context),
        None => Ok(()),
    }
}

/// Writes the first of `features` as `samples.png`, where they are images.
fn paint(flow: &Flow, features: &[f32], context: &Context) -> Result<()> {
    let (Cut::Patches(patches), Some([low, high])) = (flow.layout.cut, flow.layout.range) else {
        return Ok(());
    };
    let shown = (PAINTED * patches.image.elements()).min(features.len());
    let (low, high) = (low as f32, high as f32);
    let grey = features[..shown].iter().map(|v| (v - low) / (high - low));
    let images: Vec<f32> = grey.collect();
    write_images(&context.dir.join("samples.png"), &images, patches.image).map(drop)
}

/// Samples in the picture of them.
const PAINTED: usize = 64;

/// The figures of the part that is shown. Likelihoods are in nats, of points.
fn summarise(
    flow: &Flow,
    (part, kept): (Part, &KeptPoints),
    config: &Config,
    summary: &mut Summary,
    context: &Context,
) -> Result<()> {
    let shape = flow.prior.shape();
    let word = part.word();
    let chosen = kept.some(config.nll_points * shape.tokens);
    let count = chosen.values.len() / shape.elements();
    if count > 0 {
        let points = chosen.points(shape, flow.prior.condition(), &context.device);
        let task = format!("{word} likelihood");
        let mut done = |share: f64| {
            let done = (share * count as f64).round() as u64;
            context.monitor.progress(&task, done, count as u64, "");
            context.check_cancelled()
        };
        let options = NllOptions::exact(TOLERANCE);
        let nll = flow.prior.nll(&points, &options, &mut done)?.values;
        // points of an item that are not one point together
        let group = kept.tokens / shape.tokens;
        summary.add(of_rows(word, names::NLL), mean(&nll));
        summary.add(ITS_ERROR, standard_error(&nll, group));
        if let Some(analytic) = flow.analytic_nll(&chosen.values) {
            summary.add(names::ANALYTIC_NLL, mean(&analytic));
        }
        if let Some(log_det) = flow.log_abs_det() {
            summary.add(of_rows(word, names::FEATURES_NLL), mean(&nll) - log_det);
        }
    }
    summary.add(PARAMETERS, flow.prior.parameters() as f64);
    Ok(())
}
