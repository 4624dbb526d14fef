//! Samples of the flow, drawn as by the command `sample`: their cost, and their quality according to a classifier.

mod conditions;
mod judged;
mod trained_on;

use super::same_data::require_same_data;
use super::{AUTOENCODER, CLASSIFIER, FLOW, Preparation, Prepared, Read, Sections, TRANSPORT};
use super::{Stage, StageConfig, Upstream, pretrain_flow, train_autoencoder};
use crate::context::{Context, Monitor, Summary};
use crate::data::DataShape;
use crate::data::Files;
use crate::error::{Error, Result};
use crate::figures::{filled, sample as names};
use crate::inference::{Decoding, Grid, Partial, Sample, SampleConfig, Through, Work, go_on};
use crate::priors::{AwayFrom, Guidance, SampleOptions, Steps, Sweeps, Way};
use crate::problems::Problems;
use conditions::{Asked, Chosen};
use judged::{Judge, Seen};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Map;
use std::path::PathBuf;
use std::time::Instant;
use trained_on::{TrainedOn, TrainedOnConfig};

/// Draw samples of the flow and judge them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Sample")]
pub struct Config {
    /// Number of samples. A flow conditioned on classes draws each class in turn; one conditioned on embeddings
    /// uses those of test rows in turn.
    pub count: usize,
    /// For a flow conditioned on embeddings: a number of test rows, or the names of some, whose embeddings are used
    /// in turn instead of those of all. They are arranged side by side in the picture.
    pub conditions: Option<Chosen>,
    /// The rows that the flow was trained on, used for distances to the nearest training row and for names of rows.
    pub trained_on: Option<TrainedOnConfig>,
    /// Standard deviation of the noise; 1 for the flow's own distribution.
    pub temperature: f64,
    /// Absolute and relative tolerance of an ODE's solver.
    pub tolerance: f64,
    /// Number of equal ODE steps, instead of adaptive ones.
    pub steps: Option<usize>,
    /// Draw several tokens at once, for `tarflow` and `starflow`; one at a time by default.
    pub sweeps: Option<SweepsConfig>,
    /// Guidance of samples towards their condition.
    pub guidance: GuidanceConfig,
    /// Standard deviation, in the flow's space, of noise to remove from the samples: the noise that the flow was
    /// trained with.
    pub denoise: Option<f64>,
    /// Whether samples are decoded to data by the experiment's autoencoder.
    pub decode: bool,
    /// The file of another experiment, relative to this one, whose classifier judges; by default that of this
    /// experiment, if any.
    pub classifier: Option<PathBuf>,
}

/// Jacobi sweeps over tokens that are drawn together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SweepsConfig {
    /// Sweeps stop when no sample changes by more than this fraction of its own size (root mean square); 0 for as
    /// many sweeps as tokens.
    pub tolerance: f64,
    /// Tokens per group; 0 for all.
    pub tokens: usize,
}

impl Default for SweepsConfig {
    fn default() -> Self {
        Self {
            tolerance: 1e-5,
            tokens: 0,
        }
    }
}

/// Guidance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GuidanceConfig {
    /// 1 for the conditional density, more for samples that are more typical of the condition and less varied.
    pub scale: f64,
    /// Whether it grows along the tokens, for `tarflow` and `starflow`.
    pub rising: bool,
    /// Attention temperature of the reference that guidance moves away from, for `tarflow` and `starflow`; by
    /// default the reference is the condition "none".
    pub temperature: Option<f64>,
}

impl Default for GuidanceConfig {
    fn default() -> Self {
        Self {
            scale: 1.0,
            rising: false,
            temperature: None,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            count: 1000,
            conditions: None,
            trained_on: None,
            temperature: 1.0,
            tolerance: 1e-4,
            steps: None,
            sweeps: None,
            guidance: GuidanceConfig::default(),
            denoise: None,
            decode: false,
            classifier: None,
        }
    }
}

/// Images per column of the picture, and its columns if samples have no classes.
const GRID: Grid = Grid {
    rows: 8,
    columns: 10,
};

/// Samples in the picture beside their nearest training rows.
const PAIRS: usize = 16;
/// The picture of samples, if they are images.
pub const PICTURE: &str = "samples.png";
/// Names of the columns of [`PICTURE`], one per line, if known.
pub const NAMES: &str = "samples.txt";

impl Config {
    fn way(&self) -> Way {
        let steps = match (self.sweeps, self.steps) {
            (Some(SweepsConfig { tolerance, tokens }), _) => {
                Steps::Parallel(Sweeps { tolerance, tokens })
            }
            (None, Some(steps)) => Steps::Equal(steps),
            (None, None) => Steps::Adaptive(self.tolerance),
        };
        let GuidanceConfig {
            scale,
            rising,
            temperature,
        } = self.guidance;
        let away_from = temperature.map_or(AwayFrom::None, AwayFrom::Temperature);
        Way {
            steps,
            guidance: Guidance {
                scale,
                rising,
                away_from,
            },
        }
    }
}

impl StageConfig for Config {
    fn stage(&self) -> Stage {
        Stage::Sample
    }

    fn check(&self, problems: &mut Problems) {
        problems.at_least("count", self.count, 2);
        problems.fits("count", self.count, 1);
        if let Some(chosen) = &self.conditions {
            let named = self
                .trained_on
                .as_ref()
                .is_some_and(|rows| rows.names.is_some());
            chosen.check(named, problems);
        }
        problems.require(
            !(self.decode && self.trained_on.is_some()),
            "trained_on",
            "rows of the flow, and `decode: true`",
            "one of them: decoded samples are not in the space of the flow's training rows",
        );
        problems.not_negative("temperature", self.temperature, "1");
        problems.require(
            (1e-7..=0.1).contains(&self.tolerance),
            "tolerance",
            self.tolerance,
            "a number in [1e-7, 0.1], such as 1e-4",
        );
        if let Some(steps) = self.steps {
            problems.within("steps", steps, 1..=100_000);
            problems.require(
                self.sweeps.is_none(),
                "steps",
                "steps of an ODE, and sweeps",
                "one of them",
            );
        }
        if let Some(sweeps) = self.sweeps {
            problems.section("sweeps", |p| {
                p.require(
                    (0.0..=0.1).contains(&sweeps.tolerance),
                    "tolerance",
                    sweeps.tolerance,
                    "a number in [0, 0.1], such as 1e-5",
                );
            });
        }
        problems.section("guidance", |p| {
            let GuidanceConfig {
                scale, temperature, ..
            } = self.guidance;
            p.require(scale.is_finite(), "scale", scale, "a number, such as 2");
            let positive = temperature.is_none_or(|t| t > 0.0 && t.is_finite());
            let found = temperature.unwrap_or_default();
            p.require(
                positive,
                "temperature",
                found,
                "a positive number, such as 2",
            );
        });
        let positive = self.denoise.is_none_or(|s| s > 0.0 && s.is_finite());
        let found = self.denoise.unwrap_or_default();
        problems.require(positive, "denoise", found, "a positive number, such as 0.1");
    }

    fn check_with(&self, sections: &Sections, problems: &mut Problems) {
        let autoencoder = sections.get::<train_autoencoder::Config>();
        problems.require(
            !self.decode || autoencoder.is_some_and(|stage| stage.data.is_some()),
            "sample.decode",
            "no autoencoder of data in this experiment",
            "a `train_autoencoder` section with data, or `decode: false`",
        );
        let Some(flow) = sections.get::<pretrain_flow::Config>() else {
            return;
        };
        let leans = flow.condition.is_some() || self.guidance.temperature.is_some();
        problems.require(
            self.guidance.scale == 1.0 || leans,
            "sample.guidance.scale",
            format!("{} with a flow without conditions", self.guidance.scale),
            "1, a `pretrain_flow.condition`, or `guidance: {temperature: 2}`",
        );
        if let Err(error) = flow.model.kind().ways().refuse(&self.way()) {
            problems.add(
                "sample",
                error,
                "a setting that pretrain_flow.model supports",
            );
        }
    }

    fn reads(&self) -> Vec<Read> {
        let classifier = match &self.classifier {
            None => Read::optional(CLASSIFIER, Stage::TrainClassifier),
            Some(_) => Read::own(CLASSIFIER, Stage::TrainClassifier),
        };
        let classifier = classifier.of("classifier", self.classifier.clone());
        let mut reads = vec![Read::own(FLOW, Stage::PretrainFlow), classifier];
        if self.decode {
            reads.push(Read::own(AUTOENCODER, Stage::TrainAutoencoder));
            reads.push(Read::optional(TRANSPORT, Stage::Transport));
        }
        reads
    }

    fn inputs(&mut self) -> Vec<(String, &mut PathBuf)> {
        let rows = self.trained_on.iter_mut();
        rows.flat_map(|rows| rows.file.inputs("trained_on.file"))
            .collect()
    }

    fn data_files(&mut self) -> Vec<(&'static str, &mut Files)> {
        let rows = self.trained_on.iter_mut();
        rows.map(|rows| ("trained_on.file", &mut rows.file))
            .collect()
    }

    fn experiments(&mut self) -> Vec<&mut Option<PathBuf>> {
        vec![&mut self.classifier]
    }

    fn prepare(&self, _: &Upstream, _: u64, _: &dyn Monitor) -> Result<Preparation> {
        if let Some(rows) = &self.trained_on {
            rows.read()?;
        }
        Ok(Preparation::Ready(Box::new(self.clone())))
    }
}

impl Prepared for Config {
    fn run(self: Box<Self>, upstream: &Upstream, context: &Context) -> Result<Summary> {
        let flow = upstream.dir(FLOW)?;
        let autoencoder = (self.decode)
            .then(|| upstream.dir(AUTOENCODER))
            .transpose()?;
        let transport = upstream.dir_if_any(TRANSPORT).filter(|_| self.decode);
        let decoding = autoencoder.map(|dir| Decoding {
            dir,
            through: transport.map(|dir| Through { dir, flow }),
            name: "images",
        });
        let trained_on = (self.trained_on.as_ref())
            .map(|rows| TrainedOn::open(rows, flow, context.monitor))
            .transpose()?;
        let mut asked = Asked::of(
            flow,
            self.count,
            self.conditions.as_ref(),
            trained_on.as_ref(),
        )?;
        let config = SampleConfig {
            count: self.count,
            condition: asked.condition.take(),
            options: SampleOptions {
                streams: context.streams,
                temperature: self.temperature,
                way: self.way(),
            },
            denoise: self.denoise,
        };
        let name = flow.file_name().unwrap_or_default().to_string_lossy();
        let work = Sample::open(flow, &name, decoding.as_ref(), config, &context.device)?;
        let judge = match (upstream.dir_if_any(CLASSIFIER), work.data_shape()) {
            (Some(classifier), Some(shape)) => {
                let (of, key) = match autoencoder {
                    Some(dir) => (("an autoencoder", dir), "train_autoencoder.data"),
                    None => (("a flow", flow), "pretrain_flow.features"),
                };
                require_same_data(of, key, classifier)?;
                Some(Judge::load(classifier, shape, &context.device)?)
            }
            (Some(classifier), None) => {
                return Err(Error::input(format!(
                    "{}: found a classifier for data that samples are not converted to, expected \
                     `sample.decode: true`, or a flow of that data with an invertible \
                     normalisation",
                    classifier.display()
                )));
            }
            (None, _) => None,
        };
        if let Some(rows) = &trained_on {
            rows.require_width(work.data_shape().map_or(0, DataShape::elements))?;
        }
        self.draw(&work, judge.as_ref(), trained_on.as_ref(), &asked, context)
    }
}

impl Config {
    fn draw(
        &self,
        work: &Sample,
        judge: Option<&Judge>,
        trained_on: Option<&TrainedOn>,
        asked: &Asked,
        context: &Context,
    ) -> Result<Summary> {
        let mut partial = Partial::unnamed(&Map::new(), work.row_bytes())?;
        let started = Instant::now();
        go_on(work, &mut partial, context.monitor)?;
        let seconds = started.elapsed().as_secs_f64();
        let mut summary = Summary::default();
        summary.add(names::SECONDS, seconds / self.count as f64);
        self.note_drawing(work, &mut summary, context);
        if let Some(judge) = judge {
            let mut seen = Seen::default();
            partial.each(|rows| {
                context.check_cancelled()?;
                judge.look(&work.data(rows), &mut seen)
            })?;
            let classes = asked.classes;
            let classes = classes.map(|k| (0..self.count).map(|i| i % k).collect::<Vec<_>>());
            judge.judge(&seen, classes.as_deref(), &mut summary)?;
        }
        if let Some(rows) = trained_on {
            let mut samples = Vec::new();
            partial.each(|rows| {
                samples.extend(work.data(rows));
                Ok(())
            })?;
            let nearest = rows.compare(&samples, context, &mut summary)?;
            let pairs = [&*nearest.samples, &*nearest.rows];
            work.write_pairs(pairs, PAIRS, &context.dir.join("nearest.png"))?;
        }
        work.write(&mut partial, &context.dir.join("samples.h5"))?;
        if work.require_images().is_ok() {
            let grid = Grid {
                columns: asked.columns.unwrap_or(GRID.columns),
                ..GRID
            };
            work.write_grid(&mut partial, grid, &context.dir.join(PICTURE))?;
            if !asked.names.is_empty() {
                let path = context.dir.join(NAMES);
                let names = asked.names.join("\n") + "\n";
                std::fs::write(&path, names).map_err(|e| Error::file(&path, e))?;
            }
        }
        Ok(summary)
    }

    /// Figures of how the samples were drawn, with a warning if some were drawn again.
    fn note_drawing(&self, work: &Sample, summary: &mut Summary, context: &Context) {
        let again = work.drawn_again();
        summary.add(names::AGAIN, again as f64);
        if again > 0 {
            context.monitor.warn(&format!(
                "samples were drawn again {again} times, of {}: they were not finite; the drawn \
                 distribution excludes such samples",
                self.count
            ));
        }
        let evaluations = work.evaluations();
        // an empty sum is -0
        let all = evaluations.iter().fold(0.0, |sum, e| sum + e);
        summary.add(names::EVALUATIONS, all);
        if self.sweeps.is_some() {
            for (block, passes) in evaluations.iter().enumerate() {
                let name = filled(names::BLOCK_EVALUATIONS, &[&block]);
                summary.add(name, *passes);
            }
        }
    }
}
