//! The interface of posteriors q(z|x).
//!
//! Latents of B rows are [B T, d]: T tokens of width d per row. Sums over the numbers of a row, such as
//! `log q`, come in parts [P, 1], with P / B consecutive parts per row: one per token if the posterior's
//! tokens are independent, else one per row.

use burn::tensor::Tensor;
use rand_pcg::Pcg64;

/// q(z|x) of each of B rows.
pub trait Posterior {
    /// A representative latent [B T, d] of each posterior: the image of the centre of the noise.
    fn centre(&self) -> Tensor<2>;

    /// One draw from each posterior, differentiable with respect to the encoder's outputs.
    fn draw(&self, rng: &mut Pcg64) -> Draw;

    /// Whether draws have a density, rather than being [`Self::centre`] itself.
    fn has_density(&self) -> bool {
        true
    }

    /// The entropies in nats, in parts [P, 1]; None without a closed form.
    fn entropy(&self) -> Option<Tensor<2>> {
        None
    }

    /// The entropy in nats, mean over elements of latents `[1]`.
    fn mean_entropy(&self) -> Option<Tensor<1>> {
        Some(mean_over_elements(self.entropy()?, &self.centre()))
    }

    /// `KL(q(z|x) || N(0, I))` in nats, in parts [P, 1]; None without a closed form.
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
    /// Latents without noise.
    pub fn certain(latents: Tensor<2>) -> Self {
        Self {
            latents,
            log_density: None,
        }
    }

    /// Latents [B T, d] whose log-density, in parts [P, 1], is computed on demand.
    pub fn new(latents: Tensor<2>, log_density: impl Fn() -> Tensor<2> + 'static) -> Self {
        Self {
            latents,
            log_density: Some(Box::new(log_density)),
        }
    }

    /// `log q(z|x)` in nats, in parts [P, 1]; None for latents without noise.
    pub fn log_density(&self) -> Option<Tensor<2>> {
        self.log_density.as_ref().map(|of| of())
    }
}

/// Converts a sum in `parts` [P, 1] to the mean over the elements of `latents` [n, d]: `[1]`.
pub fn mean_over_elements(parts: Tensor<2>, latents: &Tensor<2>) -> Tensor<1> {
    let ([count, _], [n, d]) = (parts.dims(), latents.dims());
    parts.mean().div_scalar((n * d) as f64 / count as f64)
}
