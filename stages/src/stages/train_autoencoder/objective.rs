//! The objective of both trainings: a reconstruction term, if there is data, and a regulariser.

use super::config::Config;
use super::prior::Prior;
use crate::alignment::{Encoded, Given, Regulariser};
use crate::context::Context;
use crate::error::Result;
use crate::figures::curves;
use crate::persist::Resumable;
use crate::posteriors::{Draw, Posterior};
use crate::random::Streams;
use crate::tensors::scalar;
use crate::training::{HeldOut, Length, Step, Term};
use burn::tensor::Tensor;
use rand_pcg::Pcg64;

/// Name of the module in checkpoints.
pub(super) const PART: &str = "autoencoder";
/// The terms of the loss.
pub(super) const TERMS: [Term; 2] = [
    Term {
        train: curves::RECONSTRUCTION,
        held_out: curves::HELD_OUT_RECONSTRUCTION,
        words: "the held-out reconstruction",
        part: "reconstruction_term",
    },
    Term {
        train: curves::REGULARISER,
        held_out: curves::HELD_OUT_REGULARISER,
        words: "the held-out regulariser",
        part: "regulariser_term",
    },
];
/// Name of the regulariser's trained part in checkpoints.
const STUDENT: &str = "student";

/// The length of the training.
pub(super) fn length(config: &Config) -> Length {
    Length {
        steps: config.steps,
        evaluate_every: config.evaluate_every,
    }
}

/// The regulariser and the data of its own training.
pub(super) struct Objective<'a> {
    regulariser: Option<Box<dyn Regulariser + 'a>>,
    weight: f64,
    /// Steps over which the weight rises from zero.
    warm_up: u64,
    streams: Streams,
    /// The latents of the last step [n, d].
    latents: Option<Tensor<2>>,
}

/// The terms of a step, as far as present.
pub(super) struct Terms {
    reconstruction: Option<Tensor<1>>,
    regulariser: Option<Tensor<1>>,
    /// Their latents [n, d].
    latents: Tensor<2>,
}

impl<'a> Objective<'a> {
    /// The objective of `config` under the frozen `prior`, with `elements` latent elements per element
    /// of data.
    ///
    /// # Errors
    /// An input error if the prior lacks what the regulariser requires.
    pub fn new(
        config: &'a Config,
        prior: &'a Prior,
        elements: f64,
        context: &Context,
    ) -> Result<Self> {
        let kind = config.regulariser.kind();
        let given = Given {
            prior: prior.flow.prior.as_ref(),
            replicas: &prior.replicas,
            witness: prior.witness.as_ref(),
            features: prior.train.as_ref(),
            of_rows: prior.of_rows.as_ref(),
            elements,
            latent: config.latent.shape(),
            steps: config.steps,
            streams: context.streams,
        };
        Ok(Self {
            regulariser: kind.begin(given)?,
            weight: kind.weight(),
            warm_up: kind.rises_over(),
            streams: context.streams,
            latents: None,
        })
    }

    /// The regulariser of latents `drawn` from `posterior`, of the rows `items`, together with their `reconstruction`
    /// term.
    ///
    /// # Errors
    /// As [`Regulariser::term`].
    pub fn terms(
        &self,
        reconstruction: Option<Tensor<1>>,
        drawn: Draw,
        posterior: &dyn Posterior,
        items: &[usize],
        rng: &mut Pcg64,
    ) -> Result<Terms> {
        let encoded = Encoded {
            drawn: &drawn,
            posterior,
            items,
        };
        let regulariser = (self.regulariser.as_ref())
            .map(|regulariser| regulariser.term(encoded, rng))
            .transpose()?;
        Ok(Terms {
            reconstruction,
            regulariser,
            latents: drawn.latents,
        })
    }

    /// The `step` that minimises `terms`.
    pub fn step(&mut self, terms: Terms, step: u64) -> Step<2> {
        let weight = rising(self.weight, self.warm_up, step);
        let weighted = (terms.regulariser.clone()).map(|term| term.mul_scalar(weight));
        let loss = [terms.reconstruction.clone(), weighted]
            .into_iter()
            .flatten();
        self.latents = Some(terms.latents);
        Step {
            loss: loss.reduce(|a, b| a + b).expect("checked: one of them"),
            terms: [terms.reconstruction, terms.regulariser],
        }
    }

    /// Trains the regulariser on the latents of `step`.
    pub fn learn(&mut self, step: u64) {
        let latents = self.latents.take().expect("a step has been taken");
        if let Some(regulariser) = &mut self.regulariser {
            regulariser.learn(latents, &mut self.streams.at("student", step));
        }
    }

    /// As [`Regulariser::check`].
    ///
    /// # Errors
    /// [`crate::error::Error::Diverged`].
    pub fn check(&mut self) -> Result<()> {
        self.regulariser.as_mut().map_or(Ok(()), |r| r.check())
    }

    /// The values of `terms`. Waits for the device.
    ///
    /// # Errors
    /// Device errors.
    pub fn values(&self, terms: Terms) -> Result<HeldOut<2>> {
        let reconstruction = terms.reconstruction.map(scalar).transpose()?;
        let regulariser = terms.regulariser.map(scalar).transpose()?;
        let weighted = regulariser.map(|term| self.weight * term);
        Ok(HeldOut {
            loss: reconstruction.unwrap_or(0.0) + weighted.unwrap_or(0.0),
            terms: [reconstruction, regulariser],
        })
    }

    /// The regulariser's trained part, if any, with its name in checkpoints.
    pub fn part(&mut self) -> Option<(&'static str, &mut dyn Resumable)> {
        let learner = self.regulariser.as_mut()?.learner()?;
        Some((STUDENT, learner))
    }
}

/// The factor at `step`, rising linearly to `weight` over `over` steps.
fn rising(weight: f64, over: u64, step: u64) -> f64 {
    match step + 1 < over {
        true => weight * (step + 1) as f64 / over as f64,
        false => weight,
    }
}

/// A short description of the terms that are present.
pub(super) fn note([reconstruction, regulariser]: [f64; 2]) -> String {
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
    use super::rising;

    #[test]
    fn a_factor_rises_in_proportion_and_stays_where_it_has_risen() {
        let found: Vec<f64> = (0..6).map(|step| rising(0.8, 4, step)).collect();
        assert_eq!(found, [0.2, 0.4, 0.6000000000000001, 0.8, 0.8, 0.8]);
        assert_eq!(rising(0.8, 0, 0), 0.8);
    }
}
