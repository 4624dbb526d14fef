//! Training of an encoder and a decoder on data.

use super::before;
use super::config::{Biases, CHUNK, Config};
use super::diagnose::{Diagnosed, Spread, diagnose};
use super::objective::{Objective, PART, TERMS, Terms, length, note};
use super::outputs::Outputs;
use super::prior::Prior;
use crate::autoencoders::{Autoencoder, AutoencoderHeader};
use crate::context::{Context, Summary};
use crate::data::{Batches, Data, Part};
use crate::error::{Error, Result};
use crate::figures::PARAMETERS;
use crate::persist::Resumable;
use crate::random::Streams;
use crate::training::{HeldOut, Step, Task, Term, Trainer, gathered, mean_of, spread, train};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use std::path::Path;

/// Trains encoder and decoder on `data` against `prior`, then writes latents, reconstructions and diagnostics
/// into the directory of `context`.
///
/// # Errors
/// [`crate::error::Error::Diverged`]; [`crate::error::Error::Cancelled`]; errors of files and of the device.
pub fn train_on(
    config: &Config,
    data: &Data,
    prior: &Prior,
    start: Option<&Path>,
    context: &Context,
) -> Result<Summary> {
    let header = AutoencoderHeader {
        architecture: config.architecture.clone(),
        latent: config.latent.clone(),
        posterior: config.posterior.clone(),
        reconstruction: config.reconstruction,
        shape: data.shape,
        maximum: data.maximum,
        binarise: config.binarise,
    };
    let begin = |device: &Device| match start {
        Some(dir) => finished(&header, dir, device),
        None => Ok(untrained(config, &header, context, device)),
    };
    let autoencoder = begin(&context.device.clone().autodiff())?;
    let trained = trained(config, autoencoder, data, prior, context)?;
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
    // the initial weights, however often the training was resumed
    let initial = before::encode(&begin(&context.device)?, data, context)?;
    before::write(&initial, config, context)?;
    for (part, latents) in latents {
        let latents = Diagnosed {
            values: &latents.values,
            means: latents.means.as_deref(),
            tokens: config.latent.tokens,
            part: Some(part),
            against: part,
            shown: part == data.ingest.reported(),
            spread: (part == data.ingest.reported()).then_some(Spread {
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

/// The initial autoencoder, on `device`.
fn untrained(
    config: &Config,
    header: &AutoencoderHeader,
    context: &Context,
    device: &Device,
) -> Autoencoder {
    let autoencoder = Autoencoder::new(header, context.streams, device);
    let autoencoder = autoencoder.expect("the configuration is checked: free points have no data");
    match config.initial_biases {
        Biases::Zero => autoencoder,
        Biases::Uniform => autoencoder.with_initial_biases(context.streams),
    }
}

/// Loads the autoencoder in the directory `dir` for training on `device`, which must match `header`.
fn finished(header: &AutoencoderHeader, dir: &Path, device: &Device) -> Result<Autoencoder> {
    let (autoencoder, found) = Autoencoder::load(dir, device)?;
    if found != *header {
        let json = |header| serde_json::to_string(header).expect("plain data serialises");
        return Err(Error::input(format!(
            "train_autoencoder.fine_tune.from: found an autoencoder of {} in {}, expected {}, as \
             in this section; give both experiments the same data, architecture, latent, \
             posterior and reconstruction",
            json(&found),
            dir.display(),
            json(header)
        )));
    }
    Ok(autoencoder.set_require_grad(true))
}

/// Trains `autoencoder`.
fn trained(
    config: &Config,
    autoencoder: Autoencoder,
    data: &Data,
    prior: &Prior,
    context: &Context,
) -> Result<Autoencoder> {
    let mut batches = Batches::start(
        &data.ingest,
        Part::Train,
        data.scale.clone(),
        config.batch,
        context.streams.seed(),
        config.memory_mib << 20,
        context.first_step(),
    )?;
    let held_out = config.held_out.at_most.min(CHUNK);
    let held_out = data.ingest.some_rows_of_items(Part::HeldOut, held_out)?;
    data.ingest.write_scan(&context.dir)?;

    let latent = (config.latent.tokens * config.latent.width) as f64;
    let elements = latent / data.shape.elements() as f64;
    let trained = {
        let mut task = Encode {
            config,
            data,
            objective: Objective::new(config, prior, elements, context)?,
            batches: &mut batches,
            held_out: data.tensor(data.rows(&held_out.items, &held_out.rows), &context.device),
            held_out_items: held_out.items,
            streams: context.streams,
            devices: context.tracked_devices(),
        };
        let trainer = Trainer::new(autoencoder, &config.optimiser, config.steps);
        train(trainer, &mut task, length(config), context)
    };
    batches.explain(trained, context)
}

/// The training.
struct Encode<'a> {
    config: &'a Config,
    data: &'a Data,
    objective: Objective<'a>,
    batches: &'a mut Batches,
    /// Held-out rows [n, C, H, W], without autodiff.
    held_out: Tensor<4>,
    /// The item of each.
    held_out_items: Vec<usize>,
    streams: Streams,
    /// Of the replicas, with autodiff.
    devices: Vec<Device>,
}

impl Encode<'_> {
    /// The terms of rows, which are `items` of the data, with the noise of `step`. Equal shares of the rows [b, C, H, W]
    /// are encoded and decoded by replicas, each on its device; the latents between them are together on the first.
    fn terms(
        &self,
        replicas: &[&Autoencoder],
        rows: Vec<Tensor<4>>,
        items: &[usize],
        step: u64,
    ) -> Result<Terms> {
        let mut rng = self.streams.at("autoencoder", step);
        let outputs = replicas.iter().zip(&rows);
        let outputs = outputs.map(|(model, rows)| model.outputs(rows.clone()));
        let posterior = replicas[0].posterior_of(gathered(outputs.collect()));
        let drawn = posterior.draw(&mut rng);
        let latents = drawn.latents.clone();
        let latents = match &self.config.fine_tune {
            Some(fine_tune) => fine_tune.for_decoder(latents, &mut rng),
            None => latents,
        };
        let devices: Vec<Device> = rows.iter().map(Tensor::device).collect();
        let shares = spread(latents, &devices).into_iter().zip(rows);
        let means = replicas.iter().zip(shares).map(|(model, (latents, rows))| {
            let decoded = model.decode(latents);
            let losses = model.reconstruction_losses(self.config.reconstruction, decoded, rows);
            losses.mean()
        });
        let reconstruction = Some(mean_of(means.collect()));
        (self.objective).terms(reconstruction, drawn, posterior.as_ref(), items, &mut rng)
    }
}

impl Task<Autoencoder, 2> for Encode<'_> {
    const PART: &'static str = PART;
    const TERMS: [Term; 2] = TERMS;

    fn step(&mut self, replicas: &[&Autoencoder], step: u64) -> Result<Step<2>> {
        let batch = self.batches.next_of_items()?;
        let items = batch.items.clone();
        let rows = (self.data).trained_on(step, batch);
        let rows = self.data.tensors(&rows, &self.devices);
        let terms = self.terms(replicas, rows, &items, step)?;
        Ok(self.objective.step(terms, step))
    }

    fn learn(&mut self, step: u64) {
        self.objective.learn(step);
    }

    fn check(&mut self) -> Result<()> {
        self.objective.check()
    }

    fn evaluate(&mut self, averaged: &Autoencoder) -> Result<Option<HeldOut<2>>> {
        // the same noise for every evaluation
        let (rows, items) = (vec![self.held_out.clone()], &self.held_out_items);
        let terms = self.terms(&[averaged], rows, items, u64::MAX)?;
        self.objective.values(terms).map(Some)
    }

    fn note(means: [f64; 2]) -> String {
        note(means)
    }

    fn parts(&mut self) -> Vec<(&'static str, &mut dyn Resumable)> {
        self.objective.part().into_iter().collect()
    }
}
