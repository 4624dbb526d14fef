//! The trained model, which maps sequences to latents and back.

use super::config::GumbelMax;
use super::network::Network;
use super::race::{log_times, winner, won_by};
use super::training::Training;
use crate::error::Result;
use crate::persist::{load_weights, save_weights};
use crate::priors::decoding::{exact_latents, require_finite, sequences_of_places};
use crate::priors::of_sequences::{refitted, require, rows_of};
use crate::priors::sequence_file::read;
use crate::random::Streams;
use crate::sequences::{Alphabet, Cost, Sequence, SequenceModel, Weighed};
use crate::tensors::to_f64;
use burn::module::Module;
use burn::tensor::Device;
use rand::RngExt;
use rand_distr::Exp1;
use rand_pcg::Pcg64;
use std::path::Path;

/// The file of the weights; its header has configuration and alphabet.
pub const FILE: &str = "gumbel_max.safetensors";
pub(super) const FORMAT: &str = "latent-align gumbel-max 1";

/// Sequences per pass of the network.
const AT_ONCE: usize = 512;
/// Attempts with new noise for a sequence whose latent does not decode to it.
const DRAWS: u64 = 8;

/// A trained model. The latent of a sequence is computed with noise shared by all sequences, so two latents differ
/// only by the tokens of their sequences.
pub struct GumbelMaxModel {
    pub(super) config: GumbelMax,
    pub(super) alphabet: Alphabet,
    /// Without autodiff.
    pub(super) network: Network,
}

impl GumbelMaxModel {
    /// Reads the output of [`crate::priors::FittedSequences::write`] in `dir` to `device`.
    ///
    /// # Errors
    /// File errors; input errors for files of another kind.
    pub fn read(dir: &Path, device: &Device) -> Result<Self> {
        let numbers = |config: &GumbelMax, _: &Alphabet| {
            (config.width as u128).pow(2) * config.layers as u128
        };
        let (config, alphabet, network) =
            read(&dir.join(FILE), FORMAT, numbers, |config, alphabet| {
                Network::new(config, alphabet, Streams::new(0), device)
            })?;
        Ok(Self {
            config,
            alphabet,
            network: network.no_grad(),
        })
    }

    /// Vocabulary size V.
    fn size(&self) -> usize {
        self.alphabet.size()
    }

    /// Calls `of` with `rows` [n, T] and `log p` of every token at each position [n, T, V], in batches, and
    /// collects the results.
    pub(super) fn each(
        &self,
        rows: &[u32],
        mut of: impl FnMut(&[u32], &[f64]) -> Result<()>,
    ) -> Result<()> {
        for rows in rows.chunks(AT_ONCE * self.alphabet.longest()) {
            of(rows, &to_f64(self.network.log_probabilities(rows))?)?;
        }
        Ok(())
    }

    /// The noise [T, V] of attempt `draw`, shared by all sequences.
    fn shared_noise(&self, draw: u64) -> Vec<f64> {
        let mut rng = Streams::new(0).at("races of encoded sequences", draw);
        let count = self.alphabet.longest() * self.size();
        (0..count).map(|_| rng.sample(Exp1)).collect()
    }
}

impl SequenceModel for GumbelMaxModel {
    fn tokens(&self) -> usize {
        self.alphabet.longest()
    }

    /// V: one number per possible next token.
    fn width(&self) -> usize {
        self.size()
    }

    fn alphabet(&self) -> &Alphabet {
        &self.alphabet
    }

    /// Each latent is decoded again, and recomputed with other noise if rounding changed the winner.
    fn encode(&self, sequences: &[Sequence]) -> Result<Vec<f32>> {
        let why =
            "one of its tokens is too improbable; train the model longer, or on more sequences";
        exact_latents(self, sequences, 0..DRAWS, why, |draw, rows| {
            let (shared, mut latents) = (self.shared_noise(draw), Vec::new());
            self.each(rows, |rows, log_p| {
                latents.extend(won_by(rows, log_p, &shared));
                Ok(())
            })?;
            Ok(latents)
        })
    }

    fn weigh(&self, sequences: &[Sequence]) -> Result<Weighed> {
        require(&self.alphabet, sequences)?;
        let (shared, size) = (self.shared_noise(0), self.size());
        let (mut latents, mut costs) = (Vec::new(), Vec::new());
        self.each(&rows_of(&self.alphabet, sequences), |rows, log_p| {
            latents.extend(won_by(rows, log_p, &shared));
            let tokens = rows.iter().zip(log_p.chunks_exact(size));
            costs.extend(tokens.map(|(&token, log_p)| -log_p[token as usize]));
            Ok(())
        })?;
        let costs = Cost::of_rows(&costs, sequences);
        Ok(Weighed { latents, costs })
    }

    fn redraw(
        &self,
        sequences: &[Sequence],
        places: &[usize],
        rng: &mut Pcg64,
    ) -> Result<Vec<Sequence>> {
        let (longest, size) = (self.alphabet.longest(), self.size());
        let (mut redrawn, mut places) = (Vec::with_capacity(sequences.len()), places.iter());
        self.each(&rows_of(&self.alphabet, sequences), |rows, log_p| {
            let each = rows
                .chunks_exact(longest)
                .zip(log_p.chunks_exact(longest * size));
            redrawn.extend(each.zip(&mut places).map(|((row, log_p), &place)| {
                let mut row = row.to_vec();
                let noise = crate::random::normal(rng, size);
                row[place] = winner(&log_times(&noise), &log_p[place * size..][..size]);
                Alphabet::sequence_of_row(&row)
            }));
            Ok(())
        })?;
        Ok(redrawn)
    }

    fn decode(&self, latents: &[f32]) -> Result<Vec<Sequence>> {
        let (longest, size) = (self.alphabet.longest(), self.size());
        require_finite(latents, longest * size)?;
        let mut sequences = Vec::new();
        for part in latents.chunks(AT_ONCE * longest * size) {
            let (n, log_times) = (part.len() / (longest * size), log_times(part));
            let mut reading = self.network.begin(n);
            let mut by_place = Vec::with_capacity(longest);
            for place in 0..longest {
                by_place.push(self.network.next(&mut reading, |log_p| {
                    let rows = log_times
                        .chunks_exact(longest * size)
                        .zip(log_p.chunks_exact(size));
                    rows.map(|(times, log_p)| winner(&times[place * size..][..size], log_p))
                        .collect()
                })?);
            }
            sequences.extend(sequences_of_places(&by_place));
        }
        Ok(sequences)
    }

    /// One epoch over `sequences` in batches of 32.
    fn refit(
        &mut self,
        sequences: &[Sequence],
        streams: Streams,
        round: u64,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        let task = |batches| Training {
            alphabet: &self.alphabet,
            batches,
            held_out: Vec::new(),
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
