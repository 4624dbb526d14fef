//! The objective of both trainings: a reconstruction term, where there is data, and a regulariser.

use super::config::{Config, streams};
use crate::alignment::Regulariser;
use crate::context::Context;
use crate::error::Result;
use crate::figures::curves;
use crate::persist::Resumable;
use crate::priors::Prior;
use crate::random::Streams;
use crate::tensors::scalar;
use crate::training::{HeldOut, Length, Step, Term};
use burn::tensor::Tensor;

/// The module's part of a checkpoint.
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
/// The regulariser's part of a checkpoint: the student is what learns.
const REGULARISER: &str = "student";

/// The length of the training.
pub(super) fn length(config: &Config) -> Length {
    Length {
        steps: config.steps,
        evaluate_every: config.evaluate_every,
    }
}

/// The regulariser and what it learns from.
pub(super) struct Objective<'a> {
    /// The regulariser.
    pub regulariser: Regulariser<'a>,
    streams: Streams,
    /// The latents of the last step [n, d].
    latents: Option<Tensor<2>>,
}

/// The terms of one step, those there are.
pub(super) struct Terms {
    pub reconstruction: Option<Tensor<1>>,
    pub regulariser: Option<Tensor<1>>,
    /// The latents they are of [n, d].
    pub latents: Tensor<2>,
}

impl<'a> Objective<'a> {
    /// That of `config` under the frozen `prior`, `elements` latent elements for each element of data.
    ///
    /// # Errors
    /// As [`Regulariser::new`].
    pub fn new(
        config: &'a Config,
        prior: &'a dyn Prior,
        elements: f64,
        context: &Context,
    ) -> Result<Self> {
        Ok(Self {
            regulariser: Regulariser::new(&config.regulariser, prior, elements, config.steps)?,
            streams: streams(context),
            latents: None,
        })
    }

    /// The step that goes down `terms`.
    pub fn step(&mut self, terms: Terms) -> Step<2> {
        let weight = self.regulariser.weight();
        let weighted = terms
            .regulariser
            .clone()
            .map(|term| term.mul_scalar(weight));
        let loss = [terms.reconstruction.clone(), weighted]
            .into_iter()
            .flatten();
        self.latents = Some(terms.latents);
        Step {
            loss: loss.reduce(|a, b| a + b).expect("checked: one of them"),
            terms: [terms.reconstruction, terms.regulariser],
        }
    }

    /// The regulariser learns from the latents of `step`.
    pub fn learn(&mut self, step: u64) {
        let latents = self.latents.take().expect("a step has been taken");
        (self.regulariser).learn(latents, &mut self.streams.at("student", step));
    }

    /// The values of `terms`. Waits for the device.
    ///
    /// # Errors
    /// Device errors.
    pub fn values(&self, terms: Terms) -> Result<HeldOut<2>> {
        let reconstruction = terms.reconstruction.map(scalar).transpose()?;
        let regulariser = terms.regulariser.map(scalar).transpose()?;
        let weighted = regulariser.map(|term| self.regulariser.weight() * term);
        Ok(HeldOut {
            loss: reconstruction.unwrap_or(0.0) + weighted.unwrap_or(0.0),
            terms: [reconstruction, regulariser],
        })
    }

    /// Its part of a checkpoint.
    pub fn part(&mut self) -> (&'static str, &mut dyn Resumable) {
        (REGULARISER, &mut self.regulariser)
    }
}

/// The terms in a few words, without those there are not.
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
