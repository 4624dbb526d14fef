//! Stage 1: fits a prior to target features, by default a flow-matching model.

mod baselines;
mod conditions;
mod config;
mod likelihoods;
mod own_samples;
mod rows;
mod samples;
mod sequences;
#[cfg(test)]
mod tests;

use super::reference::{Reference, is_file_name};
use super::{Preparation, Read, Sections, Stage, StageConfig, Upstream};
use crate::context::{Context, Monitor, Summary};
use crate::data::{
    Batches, Files, Ingest, Normaliser, Part, RowBlock, check_memory, check_parts, files_of_parts,
};
use crate::devices::{Numbers, Shared};
use crate::error::{Error, Result};
use crate::figures::PARAMETERS;
use crate::priors::{
    Batch, Bits, Conditions, Cut, ExactMixture, Fit, Fitted, Flow, KeptPoints, Layout, ModelConfig,
    Noise, Noising, PointShape, exact_mixture,
};
use crate::problems::Problems;
use crate::targets::{Target, read_target};
use burn::tensor::DType;
use conditions::OfItems;
pub use config::{Config, FeaturesConfig};
use likelihoods::TOLERANCE;
pub use rows::Rows;
use serde_json::{Value, json};
use std::path::PathBuf;

/// The largest number of training rows that are kept with the flow, for regularisers that compare latents with them.
const TRAINED: usize = 16_384;
/// The largest number of their elements.
const TRAINED_NUMBERS: usize = 16 << 20;

/// Role of the features, if another stage made them.
const FEATURES: &str = "features";

impl StageConfig for Config {
    fn stage(&self) -> Stage {
        Stage::PretrainFlow
    }

    fn example() -> Value {
        json!({"features": {"file": "features.h5"}})
    }

    fn check(&self, problems: &mut Problems) {
        let of_stage = self.features.from.is_some();
        let file = &self.features.file;
        problems.require(
            !of_stage || (is_file_name(file.first()) && !file.are_several()),
            "features.file",
            file,
            "the name of a file in the artifact that `from` names, such as latents.h5",
        );
        sequences::check(self, problems);
        let with_labels = self.condition.is_some();
        check_parts(&self.held_out, &self.test, with_labels, problems);
        let parts = [("held_out.file", &self.held_out), ("test.file", &self.test)];
        for (key, part) in parts.into_iter().filter(|_| of_stage) {
            if let Some(file) = &part.file {
                let expected = "no file: with `features.from`, a dataset in the same file";
                problems.add(key, file.display(), expected);
            }
        }
        let (kind, schedule) = (self.model.kind(), self.schedule());
        problems.section("model", |p| {
            kind.check(p);
            kind.check_with(&schedule, p);
        });
        schedule.check(problems);
        self.rows.check(problems);
        problems.section("normalisation", |p| {
            self.normalisation.check(p);
            if let Some(logit) = self.logit() {
                logit.check(p);
            }
        });
        if let Some(noise) = self.noise {
            problems.section("noise", |p| noise.check(p));
        }
        problems.require(
            self.normalisation.logit.is_none() || self.noise == Some(Noise::Uniform),
            "normalisation.logit",
            "a logit of levels without uniform noise",
            "`noise: {kind: uniform}`: the logit is of k + u, which fills the range evenly",
        );
        if let Some(condition) = &self.condition {
            condition.check_under(&self.model, problems);
        }
        problems.fits("samples", self.samples, 1);
        problems.require(
            self.compared == 0 || (8..=5000).contains(&self.compared),
            "compared",
            self.compared,
            "0, or 8 to 5000, such as 1000",
        );
        check_memory(problems, self.memory_mib);
    }

    fn check_with(&self, sections: &Sections, problems: &mut Problems) {
        sequences::check_with(self, sections, problems);
    }

    fn reads(&self) -> Vec<Read> {
        let read = |from: &Reference| {
            Read::own(FEATURES, from.stage).of("features.from", from.experiment.clone())
        };
        self.features.from.iter().map(read).collect()
    }

    fn numbers(&self) -> Option<Numbers> {
        self.model.kind().numbers()
    }

    fn shared(&self) -> Option<Shared> {
        self.model.kind().shared(&self.schedule())
    }

    fn inputs(&mut self) -> Vec<(String, &mut PathBuf)> {
        if self.features.from.is_some() {
            return Vec::new();
        }
        let features = self.features.file.inputs("features.file");
        features
            .chain(files_of_parts(&mut self.held_out, &mut self.test))
            .collect()
    }

    fn data_files(&mut self) -> Vec<(&'static str, &mut Files)> {
        match self.features.from {
            Some(_) => Vec::new(),
            None => vec![("features.file", &mut self.features.file)],
        }
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
            match upstream.file(FEATURES, key, self.features.file.first())? {
                Some(file) => located.features.file = file.into(),
                None => return Ok(Preparation::Wait),
            }
        }
        Ok(Preparation::Ready(match &self.features.tokeniser {
            Some(tokeniser) => Box::new(sequences::prepare(self, tokeniser, seed, monitor)?),
            None => Box::new(prepare(&located, seed, monitor)?),
        }))
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

/// The stage with its input opened, scanned and validated.
pub struct Prepared {
    config: Config,
    ingest: Ingest,
    conditions: Option<OfItems>,
    normaliser: Normaliser,
    target: Option<Target>,
}

/// Opens and scans the features; problems are found here, before any training.
///
/// # Errors
/// File errors; input errors for features, labels or embeddings that do not match the
/// configuration.
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
    // normalisation applies to tokens, or to features that are cut into tokens afterwards
    let normaliser = Normaliser::fit(&config.normalisation, &tokens.moments, seed)?;
    config
        .rows
        .require_width(normaliser.output_width, &tokens.dataset)?;
    let ingest = by_items(config, tokens)?;
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
        // the known density is not that of noisy features
        Some(_) => None,
    };
    let prepared = Prepared {
        target,
        config: config.clone(),
        ingest,
        conditions,
        normaliser,
    };
    check_shape(config, prepared.shape())?;
    Ok(prepared)
}

/// The items of `tokens`, if the flow is over whole items.
fn by_items(config: &Config, tokens: Ingest) -> Result<Ingest> {
    if config.rows.of_items() {
        return tokens.by_items();
    }
    match (&config.condition, tokens.rows_per_item()) {
        (None, _) => Ok(tokens),
        (Some(_), 1) => tokens.by_items(),
        (Some(_), several) => Err(Error::input(format!(
            "{}: found {several} tokens per item, expected one, or `rows: sequences`: a condition applies to a whole item",
            tokens.dataset.describe(),
        ))),
    }
}

/// Refuses points of a `shape` that do not fit into memory, or that the kind of flow does not support.
fn check_shape(config: &Config, shape: PointShape) -> Result<()> {
    let mut problems = Problems::new();
    problems.section("pretrain_flow", |p| {
        let elements = shape.elements();
        if matches!(config.model, ModelConfig::FlowMatching(_)) {
            p.fits("evaluation_points", config.evaluation_points, elements);
        }
        p.fits("samples", config.samples, elements);
    });
    problems.into_result()?;
    (config.model.kind().check_shape(shape)).map_err(|expected| {
        Error::input(format!(
            "pretrain_flow.model: found `kind: {}` over points [{}, {}], expected {expected}",
            config.model.name(),
            shape.tokens,
            shape.width
        ))
    })
}

impl Prepared {
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

    /// The layout of features as points.
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
        Layout {
            cut,
            noise,
            logit: self.config.logit(),
            range,
        }
    }

    /// Adds noise to points.
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
        self.keep(Part::Train, context)?;
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

    /// The conditions of `items`, if the prior is conditional.
    fn conditions_of(&self, items: &[usize]) -> Option<Conditions> {
        let conditions = self.conditions.as_ref()?;
        Some(conditions.of(items.iter().copied()))
    }

    /// Some features of `part` as points of the flow, to store with the artifact.
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

    /// Fits the prior to the normalised training rows.
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
        let logit = self.config.logit();
        let mut next = |step| {
            let mut block = batches.next_of_items()?;
            if let Some(noising) = &noising {
                let mut rng = context.streams.at("noise of features", step);
                noising.add(&mut block.rows, &mut rng);
            }
            if let Some(logit) = logit {
                logit.apply(&mut block.rows);
            }
            Ok(Batch {
                conditions: self.conditions_of(&block.items),
                values: block.rows,
            })
        };
        let mixture = exact_mixture(self.target.as_ref(), &self.normaliser, self.shape());
        let exact = mixture.map(|m| ExactMixture::new(&m, DType::F32, &context.device));
        let logits = |kept: &KeptPoints| {
            let mut points = kept.points.clone();
            if let Some(logit) = logit {
                logit.apply(&mut points.values);
            }
            points
        };
        let (held_out, test) = (logits(held_out), test.map(logits));
        let fit = Fit {
            shape: self.shape(),
            condition: self.conditions.as_ref().map(|conditions| conditions.kind),
            dropout: self.config.condition.as_ref().map_or(0.0, |c| c.dropout),
            schedule: &self.config.schedule(),
            next: &mut next,
            held_out: &held_out,
            test: test.as_ref(),
            exact: exact.as_ref(),
            bits: Bits::new(&self.layout(), &self.normaliser, self.shape()),
            logit,
            streams: context.streams,
        };
        let fitted = kind.fit(fit, context).map(|fitted| fitted.of_points(logit));
        batches.explain(fitted, context)
    }
}

/// Some raw rows of `part`, in whole items; each point has `tokens` tokens.
fn some_rows(config: &Config, ingest: &Ingest, part: Part, tokens: usize) -> Result<RowBlock> {
    let at_most = match part {
        Part::Train => TRAINED.min(TRAINED_NUMBERS / ingest.width()).max(1),
        Part::HeldOut => config.held_out.at_most,
        Part::Test => config.test.at_most,
    };
    let at_most = match config.rows {
        // rows are counted as in the file, where each token is a row
        Rows::Sequences => at_most.div_ceil(tokens),
        _ => at_most,
    };
    ingest.some_whole_items(part, at_most)
}
