//! The candidates around one good latent: some decoded from latents, some made of the tokens of
//! sequences.

use super::adaptive::{differences, importance, probabilities};
use super::candidates::{candidates, endings};
use super::config::PerturbationConfig;
use super::varied::varied;
use crate::error::Result;
use crate::random::normal;
use crate::sequences::{Sequence, SequenceModel};
use rand_pcg::Pcg64;

/// The centre of candidates.
pub(super) struct About<'a> {
    /// The latent [T d].
    pub centre: &'a [f32],
    /// Its sequence.
    pub sequence: &'a Sequence,
    /// The side of the box, in standard deviations of the model's noise.
    pub side: f64,
    /// Good sequences for crossover.
    pub partners: &'a [&'a Sequence],
}

/// A candidate sequence.
pub(super) struct Candidate {
    pub sequence: Sequence,
    /// The latent [T d] that it was decoded from, if any.
    pub latent: Option<Vec<f32>>,
    /// Whether that latent is in the box.
    pub boxed: bool,
}

impl Candidate {
    /// A candidate that is not decoded from a latent.
    pub fn of_tokens(sequence: Sequence) -> Self {
        Self {
            sequence,
            latent: None,
            boxed: false,
        }
    }
}

/// Numbers of latents decoded at once.
const AT_ONCE: usize = 1 << 24;

impl About<'_> {
    /// `count` candidates, in the shares given by `config`; they may contain repetitions.
    ///
    /// # Errors
    /// Device errors.
    pub fn candidates(
        &self,
        model: &dyn SequenceModel,
        config: &PerturbationConfig,
        count: usize,
        rng: &mut Pcg64,
    ) -> Result<Vec<Candidate>> {
        let several = model.tokens() > 1;
        let share = |share: f64| (share * count as f64) as usize;
        let (redrawn, joins) = (share(config.tokens), share(config.joins));
        let ends = if several { share(config.endings) } else { 0 };
        let boxed = count - redrawn - joins - ends;
        let mut latents = match boxed {
            0 => Vec::new(),
            _ => {
                let changes = self.changes(model, config, rng)?;
                candidates(self.centre, &changes, self.side, boxed, rng)
            }
        };
        let used = self.sequence.len();
        latents.extend(endings(self.centre, model.tokens(), used, ends, rng));
        let decoded = model.decode(&latents)?;
        let others = varied(
            model,
            &[self.sequence],
            (self.partners, &decoded[boxed..]),
            [redrawn, joins],
            rng,
        )?;
        let by_latents = decoded.into_iter().zip(latents.chunks(self.centre.len()));
        let by_latents = by_latents
            .enumerate()
            .map(|(place, (sequence, latent))| Candidate {
                sequence,
                latent: Some(latent.to_vec()),
                boxed: place < boxed,
            });
        Ok(by_latents
            .chain(others.into_iter().map(Candidate::of_tokens))
            .collect())
    }

    /// The probability of changing a number of each token in the box.
    fn changes(
        &self,
        model: &dyn SequenceModel,
        config: &PerturbationConfig,
        rng: &mut Pcg64,
    ) -> Result<Vec<f64>> {
        let (tokens, width) = (model.tokens(), model.width());
        let Some(temperature) = config.temperature.filter(|_| tokens > 1) else {
            return Ok(vec![config.share; tokens]);
        };
        // a few tokens at a time: a latent may have many numbers
        let at_once = (AT_ONCE / (config.draws * self.centre.len())).max(1);
        let (mut changed, all): (Vec<Vec<usize>>, Vec<usize>) = (Vec::new(), (0..tokens).collect());
        for some in all.chunks(at_once) {
            let mut redrawn = Vec::with_capacity(some.len() * config.draws * self.centre.len());
            for token in some {
                for _ in 0..config.draws {
                    let mut latent = self.centre.to_vec();
                    latent[token * width..][..width].copy_from_slice(&normal(rng, width));
                    redrawn.extend(latent);
                }
            }
            let decoded = model.decode(&redrawn)?;
            changed.extend(decoded.chunks(config.draws).map(|draws| {
                let each = draws.iter();
                each.map(|d| differences(d, self.sequence)).collect()
            }));
        }
        let omega = importance(&changed);
        Ok(probabilities(&omega, config.share, temperature))
    }
}
