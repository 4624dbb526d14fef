//! What every consumer asks of a posterior q(z|x), and no more.
//!
//! Latents of B rows are [B T, d]: T tokens of width d a row. What is a sum over the numbers of a row, such as
//! `log q`, comes in parts [P, 1], P / B of them a row, one after another: a posterior whose tokens are
//! independent has one a token, any other one a row.

use burn::tensor::Tensor;
use rand_pcg::Pcg64;

/// q(z|x) of each of B rows.
pub trait Posterior {
    /// The latents [B T, d] that stand for the posteriors where one of each is asked for: what the centre of
    /// the noise becomes.
    fn centre(&self) -> Tensor<2>;

    /// One draw from each posterior, differentiable in what the encoder gave.
    fn draw(&self, rng: &mut Pcg64) -> Draw;

    /// Whether draws have a density, and are not [`Self::centre`] itself.
    fn has_density(&self) -> bool {
        true
    }

    /// The entropies in nats, in parts [P, 1]; none where they have no closed form.
    fn entropy(&self) -> Option<Tensor<2>> {
        None
    }

    /// The entropy in nats, mean over elements of latents `[1]`.
    fn mean_entropy(&self) -> Option<Tensor<1>> {
        Some(mean_over_elements(self.entropy()?, &self.centre()))
    }

    /// `KL(q(z|x) || N(0, I))` in nats, in parts [P, 1]; none where there is no closed form.
    fn kl_to_normal(&self) -> Option<Tensor<2>> {
        None
    }
}

/// Latents drawn from posteriors.
pub struct Draw {
    /// [B T, d].
    pub latents: Tensor<2>,
    log_density: Option<Box<dyn Fn() -> Tensor<2>>>,
}

impl Draw {
    /// Latents that are not drawn.
    pub fn certain(latents: Tensor<2>) -> Self {
        Self {
            latents,
            log_density: None,
        }
    }

    /// Latents [B T, d] whose log-density, in parts [P, 1], is computed when it is asked for.
    pub fn new(latents: Tensor<2>, log_density: impl Fn() -> Tensor<2> + 'static) -> Self {
        Self {
            latents,
            log_density: Some(Box::new(log_density)),
        }
    }

    /// `log q(z|x)` in nats, in parts [P, 1]; none of latents that are not drawn.
    pub fn log_density(&self) -> Option<Tensor<2>> {
        self.log_density.as_ref().map(|of| of())
    }
}

/// A sum that comes in `parts` [P, 1], as the mean over the elements of `latents` [n, d]: `[1]`.
pub fn mean_over_elements(parts: Tensor<2>, latents: &Tensor<2>) -> Tensor<1> {
    let ([count, _], [n, d]) = (parts.dims(), latents.dims());
    parts.mean().div_scalar((n * d) as f64 / count as f64)
}
