//! Stage 2: train an autoencoder whose latents follow the frozen flow.

use crate::alignment::{RegulariserConfig, compare, penalty, spectrum};
use crate::autoencoders::{
    ArchitectureConfig, Autoencoder, AutoencoderHeader, Data, DataConfig, DataShape, Demands,
    LatentConfig, Points, Posterior, Reconstruction, write_image_grid,
};
use crate::context::{Context, Monitor, Summary};
use crate::error::{Error, Result};
use crate::features::{
    Attribute, Batches, OutData, Part, SplitConfig, check_memory, write_datasets,
};
use crate::flows::{Flow, VelocityNetwork, held_out_points};
use crate::problems::Problems;
use crate::tensors::{scalar, spread, to_f32};
use crate::training::{OptimiserConfig, RunningMean, Streams, Trainer};
use burn::module::Module;
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Train an autoencoder whose latents follow the frozen flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TrainAutoencoder")]
pub struct Config {
    /// The images or vectors to encode; absent for `architecture: {kind: points}`.
    #[serde(default)]
    pub data: Option<DataConfig>,
    /// Which rows are held out.
    #[serde(default)]
    pub held_out: SplitConfig,
    /// Encoder and decoder.
    #[serde(default)]
    pub architecture: ArchitectureConfig,
    /// The shape of a latent.
    pub latent: LatentConfig,
    /// What the encoder outputs.
    #[serde(default)]
    pub posterior: Posterior,
    /// How a reconstruction is compared with its input.
    #[serde(default)]
    pub reconstruction: Reconstruction,
    /// What holds the latents to the prior.
    #[serde(default)]
    pub regulariser: RegulariserConfig,
    /// Optimiser and schedule.
    #[serde(default)]
    pub optimiser: OptimiserConfig,
    /// Training steps.
    #[serde(default = "defaults::steps")]
    pub steps: u64,
    /// Rows a step.
    #[serde(default = "defaults::batch")]
    pub batch: usize,
    /// Steps between evaluations on the held-out rows.
    #[serde(default = "defaults::evaluate_every")]
    pub evaluate_every: u64,
    /// Data is kept in memory below this size, and streamed above it.
    #[serde(default = "defaults::memory_mib")]
    pub memory_mib: usize,
}

mod defaults {
    pub fn steps() -> u64 {
        2000
    }
    pub fn batch() -> usize {
        128
    }
    pub fn evaluate_every() -> u64 {
        100
    }
    pub fn memory_mib() -> usize {
        512
    }
}

impl Config {
    /// Notes every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        let points = matches!(self.architecture, ArchitectureConfig::Points { .. });
        problems.require(
            self.data.is_some() != points,
            "data",
            if points { "data" } else { "nothing" },
            if points {
                "no data, since free points encode none (remove `data`)"
            } else {
                "`data: {file: ..., dataset: ...}` naming what to encode"
            },
        );
        if let Some(data) = &self.data {
            problems.section("data", |p| data.check(p));
        }
        problems.section("held_out", |p| self.held_out.check(p));
        problems.section("architecture", |p| self.architecture.check(p));
        problems.section("latent", |p| self.latent.check(p));
        problems.section("regulariser", |p| self.regulariser.check(p));
        problems.section("optimiser", |p| self.optimiser.check(p));
        if matches!(self.regulariser, RegulariserConfig::Kl { .. }) {
            problems.require(
                self.posterior == Posterior::Gaussian,
                "posterior",
                "deterministic",
                "`gaussian`, which the `kl` regulariser needs",
            );
        }
        if points {
            let aligned = matches!(self.regulariser, RegulariserConfig::Alignment { .. });
            problems.require(
                aligned,
                "regulariser.kind",
                "another kind",
                "`alignment`, the only thing that moves free points",
            );
            problems.require(
                self.posterior == Posterior::Deterministic,
                "posterior",
                "gaussian",
                "`deterministic`, since free points have no encoder",
            );
            problems.require(
                self.latent.tokens == 1,
                "latent.tokens",
                self.latent.tokens,
                "1 token for each free point",
            );
        }
        problems.require(self.steps >= 1, "steps", self.steps, "at least 1");
        problems.require(self.batch >= 1, "batch", self.batch, "at least 1");
        problems.require(
            self.evaluate_every >= 1,
            "evaluate_every",
            self.evaluate_every,
            "at least 1",
        );
        check_memory(problems, self.memory_mib);
    }

    /// The files this stage reads.
    pub fn inputs_mut(&mut self) -> Vec<&mut PathBuf> {
        self.data.iter_mut().map(|d| &mut d.file).collect()
    }
}

/// The stage with its input opened, scanned and found good.
pub struct Prepared {
    config: Config,
    data: Option<Data>,
}

/// Opens and scans the data; whatever is wrong with it, or does not fit a flow over points of width
/// `flow_width`, is found here, before any training.
pub fn prepare(
    config: &Config,
    seed: u64,
    flow_width: usize,
    monitor: &dyn Monitor,
) -> Result<Prepared> {
    if config.latent.width != flow_width {
        return Err(Error::input(format!(
            "train_autoencoder.latent.width: found {}, expected {flow_width}, the width of the \
             flow's points; set it to {flow_width}, or change pretrain_flow.normalisation.projection",
            config.latent.width
        )));
    }
    let demands = Demands {
        stage: "train_autoencoder",
        held_out: &config.held_out,
        architecture: &config.architecture,
        batch: config.batch,
        bounded: config.reconstruction == Reconstruction::Bernoulli,
    };
    let data = (config.data.as_ref())
        .map(|data| Data::read(data, demands, seed, monitor))
        .transpose()?;
    Ok(Prepared {
        config: config.clone(),
        data,
    })
}

/// Steps between two rows of the learning curve.
const LOG_EVERY: u64 = 25;
/// Rows encoded at a time.
const CHUNK: usize = 512;
/// Reconstructions kept with the artifact.
const RECONSTRUCTIONS: usize = 64;
/// Latents and features compared by the collapse diagnostics.
const COMPARED: usize = 2000;

impl Prepared {
    /// Trains the autoencoder against the flow in the directory `flow` and fills the directory of
    /// `context`.
    pub fn run(self, flow: &Path, context: &Context) -> Result<Summary> {
        let device = context.device.clone().autodiff();
        let prior = Flow::load(flow, &device)?.network;
        let features = held_out_points(flow)?;
        match &self.data {
            Some(data) => self.train_autoencoder(data, &prior, features, context),
            None => self.move_points(&prior, features, context),
        }
    }

    /// Trains encoder and decoder, then writes latents, reconstructions and diagnostics.
    fn train_autoencoder(
        &self,
        data: &Data,
        prior: &VelocityNetwork,
        features: Option<Vec<f32>>,
        context: &Context,
    ) -> Result<Summary> {
        let config = &self.config;
        let streams = Streams::of_stage("train-autoencoder", context.seed);
        let device = context.device.clone().autodiff();
        let autoencoder = Autoencoder::new(
            &config.architecture,
            &config.latent,
            config.posterior,
            data.shape,
            streams,
            &device,
        )
        .expect("free points have no data");
        let mut batches = Batches::start(
            &data.ingest,
            Part::Train,
            data.scale.clone(),
            config.batch,
            context.seed,
            config.memory_mib << 20,
            0,
        )?;
        let held_out = data.scale.apply(
            &data
                .ingest
                .held_out_rows(config.held_out.at_most.min(CHUNK))?,
        );

        data.ingest.write_scan(&context.dir)?;

        let trainer = Trainer::new(autoencoder, &config.optimiser, config.steps);
        let objective = |model: &Autoencoder, step: u64, rows: Tensor<4>| {
            let mut rng = streams.at("autoencoder", step);
            let encoding = model.encode(rows.clone());
            let latents = encoding.draw(&mut rng);
            let reconstruction = config
                .reconstruction
                .loss(model.decode(latents.clone()), rows);
            let term = penalty(
                &config.regulariser,
                prior,
                latents,
                Some(&encoding),
                &mut rng,
            );
            (reconstruction, term)
        };
        let trained = self.train(
            trainer,
            context,
            |model, step| {
                Ok(objective(
                    model,
                    step,
                    data.tensor(batches.next()?, &device),
                ))
            },
            |model| {
                // the same noise every time
                let rows = data.tensor(held_out.clone(), &context.device);
                let (reconstruction, term) = objective(model, u64::MAX, rows);
                Ok((scalar(reconstruction)?, term.map_or(Ok(f64::NAN), scalar)?))
            },
        )?;

        let header = AutoencoderHeader {
            architecture: config.architecture.clone(),
            latent: config.latent.clone(),
            posterior: config.posterior,
            reconstruction: config.reconstruction,
            shape: data.shape,
            maximum: data.maximum,
        };
        trained.save(&header, &context.dir)?;
        let mut summary = Summary::default();
        self.write_reconstructions(&trained, data, &mut summary, context)?;
        let latents = self.write_latents(&trained, data, context)?;
        self.diagnose(&latents, features.as_deref(), &mut summary, context);
        summary.add("parameters", trained.num_params() as f64);
        Ok(summary)
    }

    /// Moves free points down the regulariser alone.
    fn move_points(
        &self,
        prior: &VelocityNetwork,
        features: Option<Vec<f32>>,
        context: &Context,
    ) -> Result<Summary> {
        let config = &self.config;
        let ArchitectureConfig::Points { count } = config.architecture else {
            unreachable!("a configuration without data is checked to have free points");
        };
        let streams = Streams::of_stage("train-autoencoder", context.seed);
        let device = context.device.clone().autodiff();
        let width = config.latent.width;
        let points = Points::new(count, width, streams, &device);
        let start = to_f32(points.latents.val())?;

        let trainer = Trainer::new(points, &config.optimiser, config.steps);
        let trained = self.train(
            trainer,
            context,
            |points, step| {
                let mut rng = streams.at("points", step);
                let latents = points.latents.val();
                let zero = latents.clone().sum().mul_scalar(0.0);
                Ok((
                    zero,
                    penalty(&config.regulariser, prior, latents, None, &mut rng),
                ))
            },
            |_| Ok((f64::NAN, f64::NAN)),
        )?;

        let latents = to_f32(trained.latents.val())?;
        let shape = [count, 1, width];
        write_datasets(
            &context.dir.join("latents.h5"),
            &[
                ("held_out_latents", &shape, OutData::F32(&latents)),
                ("initial_latents", &shape, OutData::F32(&start)),
            ],
            &[("space", Attribute::Text("points of the flow".into()))],
        )?;
        let mut summary = Summary::default();
        self.diagnose(&latents, features.as_deref(), &mut summary, context);
        Ok(summary)
    }

    /// The loop: `terms` gives reconstruction and regulariser of a step, `evaluate` the same on held-out
    /// rows, with fixed noise.
    fn train<M: Module>(
        &self,
        mut trainer: Trainer<M>,
        context: &Context,
        mut terms: impl FnMut(&M, u64) -> Result<(Tensor<1>, Option<Tensor<1>>)>,
        evaluate: impl Fn(&M) -> Result<(f64, f64)>,
    ) -> Result<M> {
        let steps = self.config.steps;
        let weight = self.config.regulariser.weight();
        let (mut reconstructions, mut regularisers) =
            (RunningMean::default(), RunningMean::default());
        let mut note = String::new();
        for step in 0..steps {
            context.check_cancelled()?;
            let (reconstruction, regulariser) = terms(&trainer.module, step)?;
            reconstructions.add(reconstruction.clone().inner());
            let loss = match regulariser {
                None => reconstruction,
                Some(term) => {
                    regularisers.add(term.clone().inner());
                    reconstruction + term.mul_scalar(weight)
                }
            };
            let rate = trainer.learning_rate();
            trainer = trainer.step(loss.backward());

            let done = step + 1;
            let evaluation = done % self.config.evaluate_every == 0 || done == steps;
            if evaluation || done % LOG_EVERY == 0 {
                let reconstruction = reconstructions.take(step, context.seed)?;
                let regulariser = regularisers.take(step, context.seed)?;
                let (held_out_reconstruction, held_out_regulariser) = if evaluation {
                    evaluate(&trainer.averaged())?
                } else {
                    (f64::NAN, f64::NAN)
                };
                context.monitor.metrics(
                    done,
                    &[
                        ("reconstruction", reconstruction),
                        ("regulariser", regulariser),
                        ("held_out_reconstruction", held_out_reconstruction),
                        ("held_out_regulariser", held_out_regulariser),
                        ("learning_rate", rate),
                    ],
                );
                note = self.note(reconstruction, regulariser);
            }
            context.monitor.progress("training", done, steps, &note);
        }
        Ok(trainer.averaged())
    }

    /// The losses in a few words, without those there are not.
    fn note(&self, reconstruction: f64, regulariser: f64) -> String {
        let mut parts = Vec::new();
        if self.data.is_some() {
            parts.push(format!("reconstruction {reconstruction:.5}"));
        }
        if regulariser.is_finite() {
            parts.push(format!("regulariser {regulariser:.4}"));
        }
        parts.join(", ")
    }

    /// Held-out reconstruction errors, and the first reconstructions as HDF5 and as a picture.
    fn write_reconstructions(
        &self,
        model: &Autoencoder,
        data: &Data,
        summary: &mut Summary,
        context: &Context,
    ) -> Result<()> {
        let rows = data.ingest.held_out_rows(self.config.held_out.at_most)?;
        let rows = data.scale.apply(&rows);
        let size = data.shape.elements();
        let (mut term, mut squared) = (0.0, 0.0);
        let mut first = Vec::new();
        for chunk in rows.chunks(CHUNK * size) {
            let share = chunk.len() as f64 / rows.len() as f64;
            let original = data.tensor(chunk.to_vec(), &context.device);
            // the mean of a Gaussian posterior
            let decoded = model.decode(model.encode(original.clone()).mean);
            let reconstructed = self.config.reconstruction.data(decoded.clone());
            let loss = self.config.reconstruction.loss(decoded, original.clone());
            term += share * scalar(loss)?;
            let error = (reconstructed.clone() - original).square().mean();
            squared += share * scalar(error)?;
            if first.len() < RECONSTRUCTIONS * size {
                first.extend(to_f32(reconstructed)?);
            }
        }
        first.truncate(RECONSTRUCTIONS * size);
        let originals = &rows[..first.len()];
        let DataShape {
            channels,
            height,
            width,
        } = data.shape;
        let shape = [first.len() / size, channels, height, width];
        write_datasets(
            &context.dir.join("reconstructions.h5"),
            &[
                ("originals", &shape, OutData::F32(originals)),
                ("reconstructions", &shape, OutData::F32(&first)),
            ],
            &[("split", Attribute::Text("held out".into()))],
        )?;
        let picture = context.dir.join("reconstructions.png");
        let painted = write_image_grid(&picture, originals, &first, data.shape)?;
        if !painted && height > 1 {
            context.monitor.warn(&format!(
                "no picture of the reconstructions: found {channels} channels, expected 1 or 3"
            ));
        }
        summary.add("held-out reconstruction loss", term);
        summary.add("held-out mean squared error", squared);
        if height > 1 {
            // of images in [0, 1]
            summary.add("held-out PSNR (dB)", -10.0 * squared.log10());
        }
        Ok(())
    }

    /// The latents of both splits, in file order. Returns those of held-out rows [n * T, d].
    fn write_latents(
        &self,
        model: &Autoencoder,
        data: &Data,
        context: &Context,
    ) -> Result<Vec<f32>> {
        let latent = &self.config.latent;
        let streams = Streams::of_stage("train-autoencoder", context.seed);
        let of_part = |part: Part, stream: &str| -> Result<(Vec<f32>, Vec<i64>)> {
            let (mut latents, mut items) = (Vec::new(), Vec::new());
            data.ingest.for_each_block(part, &mut |ids, rows| {
                for (ids, rows) in ids
                    .chunks(CHUNK)
                    .zip(rows.chunks(CHUNK * data.shape.elements()))
                {
                    context.check_cancelled()?;
                    let rows = data.tensor(data.scale.apply(rows), &context.device);
                    let mut rng = streams.at(stream, items.len() as u64);
                    latents.extend(to_f32(model.encode(rows).draw(&mut rng))?);
                    items.extend(ids.iter().map(|&id| id as i64));
                }
                Ok(())
            })?;
            Ok((latents, items))
        };
        let (train, train_items) = of_part(Part::Train, "train latents")?;
        let (held_out, held_out_items) = of_part(Part::HeldOut, "held-out latents")?;
        let shape = |items: &[i64]| [items.len(), latent.tokens, latent.width];
        write_datasets(
            &context.dir.join("latents.h5"),
            &[
                ("train_latents", &shape(&train_items), OutData::F32(&train)),
                (
                    "train_items",
                    &[train_items.len()],
                    OutData::I64(&train_items),
                ),
                (
                    "held_out_latents",
                    &shape(&held_out_items),
                    OutData::F32(&held_out),
                ),
                (
                    "held_out_items",
                    &[held_out_items.len()],
                    OutData::I64(&held_out_items),
                ),
            ],
            &[("space", Attribute::Text("points of the flow".into()))],
        )?;
        Ok(held_out)
    }

    /// What tells alignment from collapse; a warning where it looks like the latter. An imported flow has
    /// no features to compare with: then only what the latents say alone.
    fn diagnose(
        &self,
        latents: &[f32],
        features: Option<&[f32]>,
        summary: &mut Summary,
        context: &Context,
    ) {
        let width = self.config.latent.width;
        let rows = |values: &[f32]| values.len() / width;
        // Equal numbers, so that coverage has one reference.
        let compared = features
            .map_or(COMPARED, rows)
            .min(rows(latents))
            .min(COMPARED);
        let latents = spread(latents, width, compared);
        let own = spectrum(&latents, width);
        let mean_variance = own.variance.iter().sum::<f64>() / width as f64;
        let least = own.variance.iter().copied().fold(f64::INFINITY, f64::min);
        let most = own.variance.iter().copied().fold(0.0, f64::max);
        summary.add("latent variance, mean over dimensions", mean_variance);
        summary.add("latent variance, smallest dimension", least);
        summary.add("latent variance, largest dimension", most);
        summary.add("effective rank of latents", own.effective_rank);
        let Some(features) = features else {
            context.monitor.warn(
                "the flow was imported and has no held-out features: coverage and energy distance are \
                 not reported",
            );
            return;
        };
        let features = spread(features, width, compared);
        let target = spectrum(&features, width);
        let found = compare(&latents, &features, width);
        summary.add("effective rank of features", target.effective_rank);
        summary.add("coverage of features", found.coverage);
        summary.add("energy distance to features", found.energy_distance);
        let target_variance = target.variance.iter().sum::<f64>() / width as f64;
        if mean_variance < 0.5 * target_variance {
            context.monitor.warn(&format!(
                "the latents' variance is {:.0} % of the features': they have contracted onto modes",
                100.0 * mean_variance / target_variance
            ));
        }
        if found.coverage < 0.5 {
            context.monitor.warn(&format!(
                "the latents cover {:.0} % of the held-out features (about 97 % for a fresh sample): \
                 they leave parts of the target empty",
                100.0 * found.coverage
            ));
        }
    }
}
