//! A VAE of two levels: `p(x, z_1, z_2) = p(x | z_1) p(z_1 | z_2) p(z_2)`.
//!
//! The latents of a row are `(e, z_2)`, both N(0, I) under the prior. The decoder computes
//!
//! ```text
//! z_1 = shift(z_2) + e exp(s(z_2))          so that p(z_1 | z_2) = N(shift, exp(s)^2)          shift, s = MLP(z_2)
//! ```
//!
//! and decodes z_1 alone. The posterior is over `e = (z_1 - shift) / exp(s)` instead of z_1, relative to the top
//! level's prediction (as in Vahdat and Kautz 2020, arXiv 2007.03898). Both densities p and q change by the same
//! Jacobian, so KL divergence, ELBO and importance weights of `(e, z_2)` are those of `(z_1, z_2)`.

use crate::architectures::{linear_layers, through};
use crate::problems::Problems;
use crate::random::Streams;
use crate::training::{initialise_with_biases, zero};
use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The top level of a two-level VAE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopLevel {
    /// Number of elements of z_2, the last of a row's latents; those before belong to z_1.
    pub numbers: usize,
    /// Widths of the hidden layers between the levels.
    #[serde(default = "widths")]
    pub widths: Vec<usize>,
}

fn widths() -> Vec<usize> {
    vec![64]
}

/// Bound of s.
const BOUND: f64 = 4.0;

impl TopLevel {
    /// Reports every value that does not fit latents of `elements` numbers per row.
    pub(super) fn check(&self, elements: usize, problems: &mut Problems) {
        problems.require(
            (1..elements).contains(&self.numbers),
            "numbers",
            self.numbers,
            &format!("1 or more, and fewer than the {elements} numbers per row of latents"),
        );
        for width in &self.widths {
            problems.within("widths", *width, 1..=65_536);
        }
    }
}

/// The network between the levels.
#[derive(Module, Debug)]
pub(super) struct Between {
    /// Outputs the shift, then s before it is bounded.
    layers: Vec<Linear>,
    /// Number of elements of z_1.
    below: usize,
}

impl Between {
    /// The network from a top level of `config` to the rest of `elements` latents; initially z_1 = e.
    pub fn new(config: &TopLevel, elements: usize, streams: Streams, device: &Device) -> Self {
        let below = elements - config.numbers;
        let sizes = [&[config.numbers], &config.widths[..], &[2 * below]].concat();
        let layers = linear_layers(&sizes, device);
        let mut between = initialise_with_biases(Self { layers, below }, streams);
        zero(between.layers.last_mut().expect("the last of them"));
        between.set_require_grad(true)
    }

    /// z_1 [B, M_1] from `latents` [B, M].
    pub fn decode(&self, latents: Tensor<2>) -> Tensor<2> {
        let ([_, elements], below) = (latents.dims(), self.below);
        let own = latents.clone().narrow(1, 0, below);
        let top = latents.narrow(1, below, elements - below);
        let said = through(&self.layers, top);
        let log_scale = said.clone().narrow(1, below, below).div_scalar(BOUND);
        let log_scale = log_scale.tanh().mul_scalar(BOUND);
        own * log_scale.exp() + said.narrow(1, 0, below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::{cast, from_f64, to_f64};
    use crate::training::perturb;
    use burn::tensor::DType;

    /// Fails if z_2 is not the last part, or z_1 is not e before training.
    #[test]
    fn what_is_decoded_is_scaled_and_shifted_by_what_the_top_level_says() {
        let device = Device::flex();
        let config = TopLevel {
            numbers: 2,
            widths: vec![5],
        };
        let between = Between::new(&config, 5, Streams::new(1), &device);
        let rows = |e: [f64; 3], top: [f64; 2]| {
            from_f64::<2>([&e[..], &top].concat(), [1, 5], DType::F64, &device)
        };
        let at = |between: &Between, e, top| to_f64(between.decode(rows(e, top))).unwrap();
        let start = cast(between.clone(), DType::F64);
        assert_eq!(at(&start, [0.5, -1.0, 2.0], [3.0, -4.0]), [0.5, -1.0, 2.0]);

        let moved = cast(perturb(between, 0.3, Streams::new(2)), DType::F64);
        let of = |e, top| at(&moved, e, top);
        let (shift, one) = (of([0.0; 3], [0.2, 0.7]), of([1.0; 3], [0.2, 0.7]));
        let found = of([0.5, -1.0, 2.0], [0.2, 0.7]);
        for (i, e) in [0.5, -1.0, 2.0].into_iter().enumerate() {
            let scale = one[i] - shift[i];
            assert!((found[i] - shift[i] - e * scale).abs() < 1e-12 && scale > 0.0);
        }
        assert!(of([0.0; 3], [0.9, 0.7]) != shift && of([0.0; 3], [0.2, 0.1]) != shift);
    }
}
