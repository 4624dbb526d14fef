//! Stage 2: train an autoencoder whose latents follow the frozen flow.

mod before;
mod config;
mod contracted;
mod diagnose;
mod elbo;
mod evidence;
mod outputs;
mod prior;
mod thinned;
mod trajectory;
mod vae;

use crate::alignment::{Regulariser, RegulariserConfig};
use crate::architectures::ArchitectureConfig;
use crate::autoencoders::{Autoencoder, AutoencoderHeader, Points, Reconstruction};
use crate::context::{Context, Monitor, Summary};
use crate::data::{Batches, Data, Demands, Described, Element, OutData, Part, write_described};
use crate::error::{Error, Result};
use crate::figures::{PARAMETERS, curves, train_autoencoder as names};
use crate::priors::{Flow, KeptPoints, Placement, PointShape, about_points};
use crate::tensors::{scalar, to_f32};
use crate::training::{RunningMean, Trainer, finite, unless_before};
pub use before::{DATASET as INITIAL_DATASET, FILE as INITIAL_FILE};
use burn::module::Module;
use burn::tensor::Tensor;
pub use config::Config;
use config::{CHUNK, streams};
pub use contracted::LEARNED;
use diagnose::{Diagnosed, Spread, diagnose};
use outputs::Outputs;
use prior::Prior;
use std::cell::RefCell;
use std::path::Path;
use trajectory::Trajectory;

/// The stage with its input opened, scanned and found good.
pub struct Prepared {
    config: Config,
    data: Option<Data>,
}

/// Opens and scans the data; whatever is wrong with it, or does not fit a flow over points of shape
/// `flow`, is found here, before any training.
///
/// # Errors
/// File errors; input errors for data or latents that do not fit.
pub fn prepare(
    config: &Config,
    seed: u64,
    flow: PointShape,
    monitor: &dyn Monitor,
) -> Result<Prepared> {
    let PointShape { tokens, width } = flow;
    if config.latent.width != width {
        return Err(Error::input(format!(
            "train_autoencoder.latent.width: found {}, expected {width}, the width of the \
             flow's points; set it to {width}, or change pretrain_flow.normalisation.projection",
            config.latent.width
        )));
    }
    if tokens != 1 && config.latent.tokens != tokens {
        return Err(Error::input(format!(
            "train_autoencoder.latent.tokens: found {}, expected {tokens}, the tokens of a point of the flow; \
             set it to {tokens}, or fit a flow of single tokens (`pretrain_flow.rows: tokens`)",
            config.latent.tokens
        )));
    }
    if tokens != 1 && matches!(config.regulariser, RegulariserConfig::FlowKl { .. }) {
        return Err(Error::input(format!(
            "train_autoencoder.regulariser.kind: found flow_kl with points of {tokens} tokens, expected points of \
             one (`pretrain_flow.rows: tokens`): its bound is of single tokens; take `alignment` or `nll`"
        )));
    }
    let demands = Demands {
        stage: "train_autoencoder",
        parts: [&config.held_out, &config.test],
        images_only: config.architecture.takes_images(),
        batch: config.batch,
        bounded: config.reconstruction.in_nats(),
    };
    let data = (config.data.as_ref())
        .map(|data| Data::read(data, demands, seed, monitor))
        .transpose()?;
    if let Some(data) = &data
        && config.reconstruction == Reconstruction::DiscretisedLogistic
        && data.ingest.dataset.element() != Element::U8
    {
        return Err(Error::input(format!(
            "{}: found real numbers, expected whole numbers in u8 for `reconstruction: \
             discretised_logistic`; use `mse` or `bernoulli` for others",
            data.ingest.dataset.describe()
        )));
    }
    Ok(Prepared {
        config: config.clone(),
        data,
    })
}

/// Steps between two rows of the learning curve.
const LOG_EVERY: u64 = 25;
/// The parts of a checkpoint.
const AUTOENCODER: &str = "autoencoder";
const REGULARISER: &str = "student";
const TRAJECTORY: &str = "trajectory";
const RECONSTRUCTION_TERM: &str = "reconstruction_term";
const REGULARISER_TERM: &str = "regulariser_term";

impl Prepared {
    /// Trains the autoencoder against the flow in the directory `flow` and fills the directory of
    /// `context`.
    pub fn run(self, flow: &Path, context: &Context) -> Result<Summary> {
        let place = Placement {
            precision: self.config.precision,
            ..Placement::on(&context.device).for_gradients()
        };
        let prior = Prior {
            flow: Flow::load(flow, &place)?,
            held_out: KeptPoints::load(Part::HeldOut, flow)?,
            test: KeptPoints::load(Part::Test, flow)?,
        };
        match &self.data {
            Some(data) => self.train_autoencoder(data, &prior, context),
            None => self.move_points(&prior, context),
        }
    }

    /// Trains encoder and decoder, then writes latents, reconstructions and diagnostics.
    fn train_autoencoder(&self, data: &Data, prior: &Prior, context: &Context) -> Result<Summary> {
        let config = &self.config;
        let streams = streams(context);
        let device = context.device.clone().autodiff();
        let header = AutoencoderHeader {
            architecture: config.architecture.clone(),
            latent: config.latent.clone(),
            posterior: config.posterior,
            reconstruction: config.reconstruction,
            shape: data.shape,
            maximum: data.maximum,
        };
        let autoencoder =
            Autoencoder::new(&header, streams, &device).expect("free points have no data");
        let mut batches = Batches::start(
            &data.ingest,
            Part::Train,
            data.scale.clone(),
            config.batch,
            context.seed,
            config.memory_mib << 20,
            context.first_step(),
        )?;
        let held_out = config.held_out.at_most.min(CHUNK);
        let held_out = data.some_rows(Part::HeldOut, held_out)?;
        data.ingest.write_scan(&context.dir)?;

        let elements = (config.latent.tokens * config.latent.width) as f64;
        let mut regulariser = Regulariser::new(
            &config.regulariser,
            prior.flow.prior.as_ref(),
            elements / data.shape.elements() as f64,
            config.steps,
        )?;
        let objective = |model: &Autoencoder, regulariser: &Regulariser, rows: Tensor<4>, step| {
            let mut rng = streams.at("autoencoder", step);
            let encoding = model.encode(rows.clone());
            let latents = encoding.draw(&mut rng);
            let decoded = model.decode(latents.clone());
            let losses = model.reconstruction_losses(config.reconstruction, decoded, rows);
            Ok(Terms {
                reconstruction: Some(losses.mean()),
                regulariser: regulariser.term(latents.clone(), &encoding, &mut rng)?,
                latents,
            })
        };
        let trained = self.train(
            Trainer::new(autoencoder, &config.optimiser, config.steps),
            &mut regulariser,
            None,
            context,
            |model, regulariser, step| {
                let rows = data.tensor(batches.next()?, &device);
                objective(model, regulariser, rows, step)
            },
            |model, regulariser| {
                // the same noise every time
                let rows = data.tensor(held_out.clone(), &context.device);
                objective(model, regulariser, rows, u64::MAX).map(Some)
            },
        );
        let trained = batches.explain(trained, context)?;

        trained.save(&header, &context.dir)?;
        let mut summary = Summary::default();
        let outputs = Outputs {
            model: &trained,
            config,
            data,
            context,
        };
        let explained = outputs.write_reconstructions(&mut summary)?;
        let latents = outputs.write_latents()?;
        outputs.elbo(&prior.flow, &mut summary)?;
        // the same weights as at the start, however often the training was resumed
        let untrained = Autoencoder::new(&header, streams, &context.device);
        let untrained = untrained.expect("free points have no data");
        let initial = before::encode(&untrained, data, context)?;
        before::write(&initial, config, context)?;
        for (part, latents) in latents {
            let latents = Diagnosed {
                values: &latents.drawn,
                means: latents.means.as_deref(),
                tokens: config.latent.tokens,
                part: Some(part),
                against: part,
                shown: (part == data.ingest.reported()).then_some(Spread {
                    initial: &initial,
                    explained: Some(explained),
                    config,
                }),
            };
            diagnose(&latents, prior, &mut summary, context)?;
        }
        summary.add(PARAMETERS, trained.num_params() as f64);
        Ok(summary)
    }

    /// Moves free points down the regulariser alone.
    fn move_points(&self, prior: &Prior, context: &Context) -> Result<Summary> {
        let config = &self.config;
        let ArchitectureConfig::Points { count } = config.architecture else {
            unreachable!("a configuration without data is checked to have free points");
        };
        let streams = streams(context);
        let device = context.device.clone().autodiff();
        let width = config.latent.width;
        let points = Points::new(count, width, config.posterior, streams, &device);
        let drawn = |points: &Points, stream: &str| {
            to_f32(points.encoding().draw(&mut streams.at(stream, 0)))
        };
        let start = drawn(&points, "initial latents")?;
        let trajectory = RefCell::new(Trajectory::new(count, config.steps));
        let frozen = prior.flow.prior.as_ref();
        let mut regulariser = Regulariser::new(&config.regulariser, frozen, 1.0, config.steps)?;
        let trained = self.train(
            Trainer::new(points, &config.optimiser, config.steps),
            &mut regulariser,
            Some(&trajectory),
            context,
            |points, regulariser, step| {
                let mut rng = streams.at("points", step);
                let encoding = points.encoding();
                trajectory.borrow_mut().note(step, &encoding.mean)?;
                let latents = encoding.draw(&mut rng);
                Ok(Terms {
                    reconstruction: None,
                    regulariser: regulariser.term(latents.clone(), &encoding, &mut rng)?,
                    latents,
                })
            },
            |_, _| Ok(None),
        );
        let trained = context.explain(trained, |_| Vec::new())?; // there are no batches

        let mut trajectory = trajectory.into_inner();
        trajectory.keep(config.steps, &trained.encoding().mean)?;
        if width == 2 {
            context
                .monitor
                .table(names::TRAJECTORY, &trajectory.table())?;
        }
        let latents = drawn(&trained, "latents")?;
        let encoding = trained.encoding();
        let means = (encoding.has_noise())
            .then(|| to_f32(encoding.mean))
            .transpose()?;
        let shape = [count, 1, width];
        let dataset = |name, values| Described {
            name,
            shape: &shape,
            values: OutData::F32(values),
            about: &[],
        };
        let about = about_points();
        let datasets = [
            dataset("points", &latents),
            dataset("initial_points", &start),
        ];
        let means_of_points = means.as_deref().map(|means| dataset("point_means", means));
        let datasets = datasets.into_iter().chain(means_of_points);
        let datasets: Vec<_> = datasets
            .map(|dataset| Described {
                about: &about,
                ..dataset
            })
            .collect();
        write_described(&context.dir.join("latents.h5"), &datasets, &[])?;
        let mut summary = Summary::default();
        before::write(&start, config, context)?;
        // points encode no data: only the features have parts
        let parts = match prior.test {
            Some(_) => &[Part::HeldOut, Part::Test][..],
            None => &[Part::HeldOut],
        };
        for (number, &against) in parts.iter().enumerate() {
            let latents = Diagnosed {
                values: &latents,
                means: means.as_deref(),
                tokens: 1,
                part: None,
                against,
                shown: (number + 1 == parts.len()).then_some(Spread {
                    initial: &start,
                    explained: None,
                    config,
                }),
            };
            diagnose(&latents, prior, &mut summary, context)?;
        }
        Ok(summary)
    }

    /// The loop: `terms` gives the terms of a step and may note it in `trajectory`, `evaluate` those of
    /// held-out rows, with fixed noise. Goes on where `context` says.
    fn train<M: Module>(
        &self,
        mut trainer: Trainer<M>,
        regulariser: &mut Regulariser,
        mut trajectory: Option<&RefCell<Trajectory>>,
        context: &Context,
        mut terms: impl FnMut(&M, &Regulariser, u64) -> Result<Terms>,
        evaluate: impl Fn(&M, &Regulariser) -> Result<Option<Terms>>,
    ) -> Result<M> {
        let steps = self.config.steps;
        let weight = regulariser.weight();
        let mut reconstructions = RunningMean::new(&context.device);
        let mut regularisers = RunningMean::new(&context.device);
        context.restore(&mut [
            (AUTOENCODER, &mut trainer),
            (REGULARISER, regulariser),
            (TRAJECTORY, &mut trajectory),
            (RECONSTRUCTION_TERM, &mut reconstructions),
            (REGULARISER_TERM, &mut regularisers),
        ])?;
        let mut last = context.held_out_loss();
        let mut note = String::new();
        for step in context.first_step()..steps {
            let found = terms(&trainer.module, regulariser, step)?;
            if let Some(reconstruction) = &found.reconstruction {
                reconstructions.add(reconstruction.clone().inner());
            }
            if let Some(term) = &found.regulariser {
                regularisers.add(term.clone().inner());
            }
            let weighted = found.regulariser.map(|term| term.mul_scalar(weight));
            let loss = [found.reconstruction, weighted].into_iter().flatten();
            let loss = loss.reduce(|a, b| a + b).expect("checked: one of them");
            let rate = trainer.learning_rate();
            trainer = trainer.step(loss.backward());
            regulariser.learn(found.latents, &mut streams(context).at("student", step));

            let done = step + 1;
            let evaluation = done % self.config.evaluate_every == 0 || done == steps;
            if evaluation || done % LOG_EVERY == 0 {
                let means = [&mut reconstructions, &mut regularisers];
                let means = RunningMean::take_all(means, step);
                let checks = [trainer.check(), regulariser.check()];
                let [reconstruction, term] = unless_before(checks, means)?;
                let held_out = if evaluation {
                    evaluate(&trainer.averaged(), regulariser)?
                } else {
                    None
                };
                let held_out = held_out.map(|terms| terms.values(step)).transpose()?;
                if let Some([of_data, of_latents]) = held_out {
                    let weighted = of_latents.map(|term| weight * term);
                    last = Some(of_data.unwrap_or(0.0) + weighted.unwrap_or(0.0));
                }
                let [of_data, of_latents] =
                    held_out.map_or([f64::NAN; 2], |terms| terms.map(|t| t.unwrap_or(f64::NAN)));
                context.monitor.metrics(
                    done,
                    &[
                        (curves::RECONSTRUCTION, reconstruction),
                        (curves::REGULARISER, term),
                        (curves::HELD_OUT_RECONSTRUCTION, of_data),
                        (curves::HELD_OUT_REGULARISER, of_latents),
                        (curves::LEARNING_RATE, rate),
                    ],
                );
                note = losses(reconstruction, term);
            }
            context.monitor.progress("training", done, steps, &note);
            context.checkpoint(
                done,
                steps,
                last,
                &[
                    (AUTOENCODER, &trainer),
                    (REGULARISER, &*regulariser),
                    (TRAJECTORY, &trajectory),
                    (RECONSTRUCTION_TERM, &reconstructions),
                    (REGULARISER_TERM, &regularisers),
                ],
            )?;
        }
        Ok(trainer.averaged())
    }
}

/// The terms of one step, those there are.
struct Terms {
    reconstruction: Option<Tensor<1>>,
    regulariser: Option<Tensor<1>>,
    /// The latents they are of [n, d].
    latents: Tensor<2>,
}

impl Terms {
    /// Those of held-out rows after `step`, reconstruction and regulariser. Waits for the device.
    ///
    /// # Errors
    /// [`Error::Diverged`] if one of them is not finite.
    fn values(self, step: u64) -> Result<[Option<f64>; 2]> {
        let value = |term: Option<Tensor<1>>, what| {
            let value = term.map(scalar).transpose()?;
            value.map(|value| finite(value, what, step)).transpose()
        };
        Ok([
            value(self.reconstruction, "the held-out reconstruction")?,
            value(self.regulariser, "the held-out regulariser")?,
        ])
    }
}

/// The losses in a few words, without those there are not.
fn losses(reconstruction: f64, regulariser: f64) -> String {
    let named = [
        ("reconstruction", reconstruction),
        ("regulariser", regulariser),
    ];
    let found = named.iter().filter(|(_, value)| value.is_finite());
    let words: Vec<String> = found
        .map(|(name, value)| format!("{name} {value:.5}"))
        .collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::from_f32;
    use burn::tensor::Device;

    /// Red where a term that is NaN is left out of the sum like one that is not there: a held-out loss
    /// of 0 is the best there is.
    #[test]
    fn a_held_out_term_that_is_nan_is_a_divergence_and_one_that_is_missing_is_not() {
        let terms = |regulariser: f32| Terms {
            reconstruction: None,
            regulariser: Some(from_f32(vec![regulariser], [1], &Device::flex())),
            latents: from_f32(vec![0.0], [1, 1], &Device::flex()),
        };
        assert_eq!(terms(0.25).values(7).unwrap(), [None, Some(0.25)]);
        let told = terms(f32::NAN).values(7).unwrap_err().to_string();
        assert!(
            told.starts_with("the held-out regulariser is NaN after step 7"),
            "{told}"
        );
    }
}
