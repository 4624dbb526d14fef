//! Noise added to features: without it, the density of integer-valued pixels is unbounded.

use crate::data::Normaliser;
use crate::problems::Problems;
use rand::RngExt;
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Noise added to features: drawn anew for each training step, otherwise once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Noise {
    /// Uniform dequantisation of integer levels 0, 1, 2, ...: a level k becomes k + u, u uniform on [0, 1).
    /// Likelihoods are those of the levels, in bits per dimension.
    Uniform,
    /// Gaussian noise in the flow's coordinates; likelihoods are those of noisy points.
    Gaussian {
        /// Standard deviation.
        sigma: f64,
    },
}

impl Noise {
    /// Reports every value out of range.
    pub fn check(self, problems: &mut Problems) {
        if let Self::Gaussian { sigma } = self {
            problems.positive("sigma", sigma, "0.1");
        }
    }
}

/// Adds noise to normalised points.
#[derive(Debug, Clone)]
pub struct Noising {
    noise: Noise,
    /// The normalisation without its mean, which noise of features passes through.
    linear: Normaliser,
}

impl Noising {
    /// `noise` for points of `normaliser`.
    pub fn new(noise: Noise, normaliser: &Normaliser) -> Self {
        Self {
            noise,
            linear: Normaliser {
                mean: vec![0.0; normaliser.input_width],
                ..normaliser.clone()
            },
        }
    }

    /// Adds noise from `rng` to `points`, consecutive normalised rows.
    pub fn add(&self, points: &mut [f32], rng: &mut Pcg64) {
        match self.noise {
            Noise::Uniform => {
                let (from, to) = (self.linear.input_width, self.linear.output_width);
                let count = points.len() / to * from;
                let levels: Vec<f32> = (0..count).map(|_| rng.random::<f32>()).collect();
                let noise = self.linear.apply(&levels);
                points.iter_mut().zip(noise).for_each(|(x, u)| *x += u);
            }
            Noise::Gaussian { sigma } => {
                for x in points {
                    *x += (sigma * rng.sample::<f64, _>(StandardNormal)) as f32;
                }
            }
        }
    }
}
