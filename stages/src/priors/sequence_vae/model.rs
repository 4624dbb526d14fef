//! A trained autoencoder as a sequence model.

use super::config::SequenceVae;
use super::network::Network;
use super::training::Training;
use crate::context::{Context, Summary};
use crate::error::{Error, Result};
use crate::figures::pretrain_flow as names;
use crate::numerics::mean;
use crate::persist::{load_weights, save_weights};
use crate::priors::maximum_likelihood::trained;
use crate::priors::of_sequences::{
    FitSequences, FitsSequences, FittedSequences, Likelihoods, Shuffled, refitted, require, rows_of,
};
use crate::priors::sequence_file;
use crate::random::Streams;
use crate::sequences::{Alphabet, Cost, Sequence, SequenceModel, Weighed};
use crate::tensors::{from_f32, to_f32, to_f64};
use burn::module::Module;
use burn::tensor::Device;
use rand::RngExt;
use rand_pcg::Pcg64;
use std::path::Path;

/// The file of the weights; its header has configuration and alphabet.
pub const FILE: &str = "sequence_vae.safetensors";
const FORMAT: &str = "latent-align sequence vae 2";

/// Sequences per pass of the network.
const AT_ONCE: usize = 1024;

/// A trained autoencoder of sequences. The latent of a sequence is the mean of its posterior; decoding is greedy.
pub struct SequenceVaeModel {
    config: SequenceVae,
    alphabet: Alphabet,
    /// Without autodiff.
    network: Network,
    device: Device,
}

impl FitsSequences for SequenceVae {
    fn fit_sequences(
        &self,
        fit: FitSequences,
        context: &Context,
    ) -> Result<(Box<dyn FittedSequences>, Summary)> {
        let (alphabet, schedule) = (fit.alphabet, fit.schedule);
        let device = context.device.clone().autodiff();
        let network = Network::new(self, alphabet, context.streams, &device);
        let mut task = Training {
            config: self,
            alphabet,
            batches: Shuffled::new(fit.train, schedule.batch),
            held_out: rows_of(alphabet, fit.held_out),
            warms_up: true,
            streams: context.streams,
        };
        let (network, figures) = trained(network, &mut task, schedule, context)?;
        let model = SequenceVaeModel {
            config: self.clone(),
            alphabet: alphabet.clone(),
            network,
            device: context.device.clone(),
        };
        Ok((Box::new(model), figures))
    }
}

impl SequenceVaeModel {
    /// Reads the output of [`FittedSequences::write`] in `dir` to `device`.
    ///
    /// # Errors
    /// File errors; input errors for files of another kind.
    pub fn read(dir: &Path, device: &Device) -> Result<Self> {
        let numbers = |config: &SequenceVae, _: &Alphabet| {
            (config.width as u128).pow(2) * config.layers as u128
        };
        let path = dir.join(FILE);
        let (config, alphabet, network) =
            sequence_file::read(&path, FORMAT, numbers, |config, alphabet| {
                Network::new(config, alphabet, Streams::new(0), device)
            })?;
        Ok(Self {
            config,
            alphabet,
            network: network.no_grad(),
            device: device.clone(),
        })
    }

    /// Calls `of` with the rows [n, T] of `sequences`, in batches.
    fn each(&self, sequences: &[Sequence], mut of: impl FnMut(&[u32]) -> Result<()>) -> Result<()> {
        let rows = rows_of(&self.alphabet, sequences);
        let mut chunks = rows.chunks(AT_ONCE * self.alphabet.longest());
        chunks.try_for_each(&mut of)
    }

    /// Reconstruction and KL divergence of each of `sequences` with one draw, in nats.
    fn terms(&self, sequences: &[Sequence], streams: Streams) -> Result<[Vec<f64>; 2]> {
        let [mut reconstruction, mut divergence] = [Vec::new(), Vec::new()];
        let mut chunk = 0;
        self.each(sequences, |rows| {
            let posterior = self.network.read(rows);
            let [n, width] = posterior.mean.dims();
            let noise = streams.normal("latents of scored sequences", chunk, n * width);
            chunk += 1;
            let z = posterior.draw(noise);
            reconstruction.extend(to_f64(self.network.reconstruction(rows, &z))?);
            divergence.extend(to_f64(posterior.divergence())?);
            Ok(())
        })?;
        Ok([reconstruction, divergence])
    }
}

impl SequenceModel for SequenceVaeModel {
    fn tokens(&self) -> usize {
        1
    }

    #[expect(
        clippy::misnamed_getters,
        reason = "the width of a latent, not of the LSTM"
    )]
    fn width(&self) -> usize {
        self.config.latent
    }

    fn alphabet(&self) -> &Alphabet {
        &self.alphabet
    }

    fn encode(&self, sequences: &[Sequence]) -> Result<Vec<f32>> {
        require(&self.alphabet, sequences)?;
        let mut latents = Vec::new();
        self.each(sequences, |rows| {
            latents.extend(to_f32(self.network.read(rows).mean)?);
            Ok(())
        })?;
        match latents.iter().all(|z| z.is_finite()) {
            true => Ok(latents),
            false => Err(Error::Numerical(
                "the latent of a sequence is not finite; train the model again at a lower learning rate".into(),
            )),
        }
    }

    /// Costs are those of the decoder at each latent.
    fn weigh(&self, sequences: &[Sequence]) -> Result<Weighed> {
        require(&self.alphabet, sequences)?;
        let (mut latents, mut costs) = (Vec::new(), Vec::new());
        self.each(sequences, |rows| {
            let z = self.network.read(rows).mean;
            costs.extend(to_f64(self.network.each_token(rows, &z))?);
            latents.extend(to_f32(z)?);
            Ok(())
        })?;
        let costs = Cost::of_rows(&costs, sequences);
        Ok(Weighed { latents, costs })
    }

    /// By the decoder at each latent.
    fn redraw(
        &self,
        sequences: &[Sequence],
        places: &[usize],
        rng: &mut Pcg64,
    ) -> Result<Vec<Sequence>> {
        let (longest, size) = (self.alphabet.longest(), self.alphabet.size());
        let (mut redrawn, mut places) = (Vec::with_capacity(sequences.len()), places.iter());
        self.each(sequences, |rows| {
            let z = self.network.read(rows).mean;
            let log_p = to_f64(self.network.log_probabilities(rows, &z))?;
            let each = rows
                .chunks_exact(longest)
                .zip(log_p.chunks_exact(longest * size));
            redrawn.extend(each.zip(&mut places).map(|((row, log_p), &place)| {
                let mut row = row.to_vec();
                row[place] = drawn(&log_p[place * size..][..size], rng);
                Alphabet::sequence_of_row(&row)
            }));
            Ok(())
        })?;
        Ok(redrawn)
    }

    fn decode(&self, latents: &[f32]) -> Result<Vec<Sequence>> {
        let width = self.config.latent;
        let mut sequences = Vec::new();
        for part in latents.chunks(AT_ONCE * width) {
            let z = from_f32(part.to_vec(), [part.len() / width, width], &self.device);
            let rows = self.network.greedy(&z)?;
            let rows = rows.chunks_exact(self.alphabet.longest());
            sequences.extend(rows.map(Alphabet::sequence_of_row));
        }
        Ok(sequences)
    }

    fn refit(
        &mut self,
        sequences: &[Sequence],
        streams: Streams,
        round: u64,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        let task = |batches| Training {
            config: &self.config,
            alphabet: &self.alphabet,
            batches,
            held_out: Vec::new(),
            warms_up: false,
            streams,
        };
        let of = (&self.alphabet, sequences);
        self.network = refitted(self.network.clone(), of, round, cancelled, task)?;
        Ok(())
    }

    fn save(&self, path: &Path) -> Result<()> {
        save_weights(&self.network, path, "{}")
    }

    fn restore(&mut self, path: &Path) -> Result<()> {
        load_weights(&mut self.network, path)
    }
}

/// Draws a token with probabilities `exp(log_p)`.
fn drawn(log_p: &[f64], rng: &mut Pcg64) -> u32 {
    let mut left: f64 = rng.random();
    let below = log_p.iter().position(|log_p| {
        left -= log_p.exp();
        left < 0.0
    });
    below.unwrap_or(log_p.len() - 1) as u32
}

impl FittedSequences for SequenceVaeModel {
    fn parameters(&self) -> usize {
        self.network.num_params()
    }

    fn write(&self, dir: &Path) -> Result<()> {
        let about = (&self.config, &self.alphabet);
        sequence_file::write(&self.network, &dir.join(FILE), FORMAT, about)
    }

    /// The negative ELBO, with the divergence at weight 1 whatever its weight in training, and the mean divergence.
    fn likelihoods(&self, sequences: &[Sequence], streams: Streams) -> Result<Likelihoods> {
        let [reconstruction, divergence] = self.terms(sequences, streams)?;
        let both = reconstruction.iter().zip(&divergence);
        Ok(Likelihoods {
            bounds: both.map(|(a, b)| a + b).collect(),
            besides: (names::SEQUENCE_KL, mean(&divergence)),
        })
    }

    fn noisy_latents(&self, sequences: &[Sequence], streams: Streams) -> Result<Vec<f32>> {
        let (mut latents, mut chunk) = (Vec::new(), 0);
        self.each(sequences, |rows| {
            let posterior = self.network.read(rows);
            let [n, width] = posterior.mean.dims();
            let noise = streams.normal("noisy latents", chunk, n * width);
            chunk += 1;
            latents.extend(to_f32(posterior.draw(noise))?);
            Ok(())
        })?;
        Ok(latents)
    }
}
