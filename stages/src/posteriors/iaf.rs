//! A flexible posterior: inverse autoregressive flow (Kingma et al. 2016, arXiv 1606.04934).
//!
//! A draw of a diagonal Gaussian passes through steps. Each is a masked network ([`Masked`]) of the encoder's
//! context and of the numbers before each:
//!
//! ```text
//! z_t = g z_{t-1} + (1 - g) m      g = sigmoid(s + 2)      (s, m) of number i: network(z_{t-1} before i, context)
//! ```
//!
//! so that `log det = sum_i log g_i`. Initially s and m are small: each step keeps nearly nine tenths of its input.
//! The order of the numbers is reversed from one step to the next.

use super::gaussian::START;
use super::kind::{self, MOST_MOVED, PosteriorKind, check_row};
use super::masked::Masked;
use super::posterior::Posterior;
use super::warped::{Map, in_one_pass, warped};
use crate::fused::{RowMap, is_fused};
use crate::priors::PointShape;
use crate::problems::Problems;
use crate::random::Streams;
use crate::training::initialise;
use burn::module::Module;
use burn::tensor::activation::log_sigmoid;
use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An inverse autoregressive flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Iaf {
    /// Number of steps; each processes the numbers of a row in the reverse order of the one before.
    pub steps: usize,
    /// Widths of the hidden layers of each step's network; the encoder outputs as many context numbers as the
    /// first.
    pub widths: Vec<usize>,
}

impl Default for Iaf {
    fn default() -> Self {
        Self {
            steps: 2,
            widths: vec![128],
        }
    }
}

/// Added to s, so that the initial kept share is sigmoid(2) = 0.88.
const KEPT: f64 = 2.0;

impl PosteriorKind for Iaf {
    fn check(&self, problems: &mut Problems) {
        problems.within("steps", self.steps, 1..=64);
        let widths = &self.widths;
        problems.require(
            (1..=8).contains(&widths.len()) && widths.iter().all(|w| (1..=4096).contains(w)),
            "widths",
            format!("{widths:?}"),
            "one to eight widths of 1 to 4096",
        );
    }

    fn check_shape(&self, shape: PointShape) -> Result<(), String> {
        check_row(shape, 2..=MOST_MOVED, "moves one after another")
    }

    /// Log-variances, then the context.
    fn others(&self, shape: PointShape) -> usize {
        shape.elements() + self.widths.first().copied().unwrap_or_default()
    }

    fn start(&self, shape: PointShape) -> Vec<f32> {
        let mut start = vec![0.0; self.others(shape)];
        start[..shape.elements()].fill(START);
        start
    }
}

/// The networks of the steps.
#[derive(Module, Debug)]
pub struct Head {
    networks: Vec<Masked>,
    #[module(skip)]
    shape: PointShape,
}

impl Head {
    /// For the latents of a row, initialised from `streams`.
    pub fn new(config: &Iaf, shape: PointShape, streams: Streams, device: &Device) -> Self {
        let network = |_| Masked::new(shape.elements(), &config.widths, device);
        let networks = (0..config.steps).map(network).collect();
        initialise(Self { networks, shape }, streams)
    }

    /// The steps of each row under `context` [B, C].
    fn passes(&self, context: &Tensor<2>) -> Vec<Pass> {
        let networks = self.networks.iter().cloned().enumerate();
        let pass = |(step, network): (usize, Masked)| Pass {
            network,
            context: context.clone(),
            backwards: step % 2 == 1,
        };
        networks.map(pass).collect()
    }
}

impl kind::Head for Head {
    fn posterior(&self, means: Tensor<2>, others: Option<Tensor<2>>) -> Box<dyn Posterior> {
        warped(means, others, self.shape, |context| self.passes(&context))
    }
}

/// One step of each row.
struct Pass {
    network: Masked,
    /// [B, C].
    context: Tensor<2>,
    backwards: bool,
}

impl Map for Pass {
    fn through(&self, z: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        // numbers keep their positions; only the order in which the network sees them is reversed
        let turned = |rows: Tensor<2>| match self.backwards {
            false => rows,
            true => rows.flip([1]),
        };
        let both = (self.network).forward(turned(z.clone()), self.context.clone());
        if is_fused(&z) {
            let reversed = self.backwards;
            return in_one_pass(z, both, RowMap::Gate { reversed });
        }
        let [_, size] = z.dims();
        let [s, m] = [0, size].map(|from| turned(both.clone().narrow(1, from, size)));
        let log_kept = log_sigmoid(s + KEPT);
        let z = log_kept.clone().exp() * (z - m.clone()) + m;
        (z, log_kept.sum_dim(1))
    }
}
