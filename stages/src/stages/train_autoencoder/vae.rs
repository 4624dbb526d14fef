//! An autoencoder with noise in its latents as a latent-variable model: p(z), p(x|z) and q(z|x) of a row x and its
//! latents z, in nats.

use super::config::Config;
use crate::alignment::{Against, Draws};
use crate::autoencoders::{Autoencoder, Reconstruction};
use crate::error::Result;
use crate::posteriors::Posterior;
use crate::priors::{self, NllOptions, Points, VelocityField};
use crate::tensors::to_f64;
use burn::tensor::Tensor;
use rand_pcg::Pcg64;
use std::f64::consts::{PI, TAU};

/// `-log p(x|z)` from a reconstruction loss: per element `loss / scale + constant`.
#[derive(Clone, Copy)]
pub struct Likelihood {
    pub reconstruction: Reconstruction,
    pub scale: f64,
    constant: f64,
}

impl Likelihood {
    /// Of binary elements, in nats.
    pub const BERNOULLI: Self = Self {
        reconstruction: Reconstruction::Bernoulli,
        scale: 1.0,
        constant: 0.0,
    };

    /// The likelihood of `config`, if its loss is a negative ELBO in some unit: the regulariser is a KL divergence,
    /// and the reconstruction a negative log-likelihood. With weight w, a squared error is that of N(decoded, w /
    /// 2) in units of w, an absolute error that of a Laplace density of scale w.
    pub fn of(config: &Config) -> Option<Self> {
        let regulariser = config.regulariser.kind();
        let weight = regulariser.weight();
        let reconstruction = config.reconstruction;
        match regulariser.divergence_from() {
            None => return None,
            // its weight is per element of latents, and would have another unit
            Some(Against::Prior) if !reconstruction.in_nats() => return None,
            Some(_) if weight <= 0.0 => return None,
            Some(_) => {}
        }
        let (scale, constant) = match reconstruction {
            Reconstruction::Mse => (weight, 0.5 * (PI * weight).ln()),
            Reconstruction::L1 => (weight, (2.0 * weight).ln()),
            Reconstruction::Bernoulli | Reconstruction::DiscretisedLogistic => (1.0, 0.0),
        };
        Some(Self {
            reconstruction,
            scale,
            constant,
        })
    }
}

#[cfg(test)]
impl Likelihood {
    /// Of a Gaussian with variance `scale / 2`.
    pub fn gaussian(scale: f64) -> Self {
        Self {
            reconstruction: Reconstruction::Mse,
            scale,
            constant: 0.5 * (PI * scale).ln(),
        }
    }
}

/// p(z), per token.
pub enum Prior<'a> {
    /// N(0, I).
    Normal,
    /// The flow's likelihood-weighted bound, a fixed function of z.
    Flow(&'a dyn VelocityField, Draws),
    /// A prior's own NLL, in closed form or by its ODE.
    Own(&'a dyn priors::Prior, NllOptions),
}

impl Prior<'_> {
    /// Short name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Normal => "N(0, I)",
            Self::Flow(..) => "the flow",
            Self::Own(..) => "the prior",
        }
    }
}

/// The model.
pub struct Vae<'a> {
    pub model: &'a Autoencoder,
    pub likelihood: Likelihood,
    /// Tokens per row.
    pub tokens: usize,
    pub prior: Prior<'a>,
    /// Called regularly; an error from it stops the computation.
    pub check: &'a dyn Fn() -> Result<()>,
}

/// Rows of data and their posteriors.
pub struct Posteriors {
    rows: Tensor<4>,
    q: Box<dyn Posterior>,
}

/// One draw z ~ q(z|x) of the latents of each row, in nats.
pub struct Drawn {
    /// `-log p(x|z)` of each row.
    pub reconstructions: Vec<f64>,
    /// `-log p(z)` of each row.
    pub priors: Vec<f64>,
    /// `log q(z|x)` of each row.
    pub posteriors: Vec<f64>,
    /// The standard error of the mean of `priors` that is common to all rows, from the draws of the flow's bound.
    pub shared_error: f64,
}

impl Drawn {
    /// `log p(x|z) + log p(z) - log q(z|x)` of each row.
    pub fn log_weights(&self) -> Vec<f64> {
        let parts = self.reconstructions.iter().zip(&self.priors);
        let parts = parts.zip(&self.posteriors);
        parts.map(|((r, p), q)| -r - p - q).collect()
    }
}

impl Vae<'_> {
    /// The posteriors of `rows` [n, C, H, W].
    pub fn posteriors(&self, rows: Tensor<4>) -> Posteriors {
        let q = self.model.encode(rows.clone());
        Posteriors { rows, q }
    }

    /// A draw from each posterior.
    ///
    /// # Errors
    /// Errors of the check; a numerical error for a loss that is not finite; device errors.
    pub fn draw(&self, posteriors: &Posteriors, rng: &mut Pcg64) -> Result<Drawn> {
        (self.check)()?;
        let Posteriors { rows, q } = posteriors;
        let drawn = q.draw(rng);
        let log_q = drawn.log_density().expect("checked: it has a density");
        let (priors, error) = self.priors(drawn.latents.clone())?;
        Ok(Drawn {
            reconstructions: self.reconstructions(drawn.latents, rows.clone())?,
            priors: sums_of_rows(&priors, rows),
            posteriors: sums_of_rows(&to_f64(log_q)?, rows),
            shared_error: self.tokens as f64 * error,
        })
    }

    /// `KL(q(z|x) || p(z))` of each row in nats: in closed form for N(0, I); for a flow, the entropy of q in closed
    /// form if available, and the rest from `drawn`.
    ///
    /// # Errors
    /// Device errors.
    pub fn divergences(&self, posteriors: &Posteriors, drawn: &Drawn) -> Result<Vec<f64>> {
        let Posteriors { rows, q } = posteriors;
        let closed = match self.prior {
            Prior::Normal => q.kl_to_normal(),
            Prior::Flow(..) | Prior::Own(..) => q.entropy(),
        };
        let of_draws = || drawn.priors.iter().zip(&drawn.posteriors);
        let Some(closed) = closed else {
            return Ok(of_draws().map(|(prior, log_q)| prior + log_q).collect());
        };
        let closed = sums_of_rows(&to_f64(closed)?, rows);
        Ok(match self.prior {
            Prior::Normal => closed,
            Prior::Flow(..) | Prior::Own(..) => {
                let parts = drawn.priors.iter().zip(closed);
                parts.map(|(prior, entropy)| prior - entropy).collect()
            }
        })
    }

    /// `-log p(x|z)` of each of `rows` and its `latents` [n * T, d].
    fn reconstructions(&self, latents: Tensor<2>, rows: Tensor<4>) -> Result<Vec<f64>> {
        let Likelihood {
            reconstruction,
            scale,
            constant,
        } = self.likelihood;
        let decoded = self.model.decode(latents);
        let losses = (self.model).reconstruction_losses(reconstruction, decoded, rows);
        let losses = losses.flatten::<2>(1, 3);
        let [_, elements] = losses.dims();
        let sums = to_f64(losses.sum_dim(1))?;
        let constant = elements as f64 * constant;
        Ok(sums.iter().map(|sum| sum / scale + constant).collect())
    }

    /// `-log p(z)` of the tokens [n * T, d], in equally many parts per row, and the standard error of a part's mean
    /// that is common to all.
    fn priors(&self, latents: Tensor<2>) -> Result<(Vec<f64>, f64)> {
        match &self.prior {
            Prior::Flow(field, draws) => {
                let found = draws.estimate(*field, latents, || (self.check)())?;
                Ok((found.values, found.mean_error))
            }
            Prior::Own(prior, options) => {
                let (shape, [count, width]) = (prior.shape(), latents.dims());
                let points = count * width / shape.elements();
                let points = Points::new(latents.reshape([points, shape.tokens, shape.width]));
                let found = prior.nll(&points, options, &mut |_| (self.check)())?;
                Ok((found.values, 0.0))
            }
            Prior::Normal => {
                let terms = latents.square() + TAU.ln();
                Ok((to_f64(terms.sum_dim(1).mul_scalar(0.5))?, 0.0))
            }
        }
    }
}

/// Sums parts for each of `rows` [n, C, H, W], P / n of them per row: one value per row.
fn sums_of_rows(parts: &[f64], rows: &Tensor<4>) -> Vec<f64> {
    let [count, ..] = rows.dims();
    let rows = parts.chunks(parts.len() / count);
    rows.map(|parts| parts.iter().sum()).collect()
}

/// Linear models with known evidence.
#[cfg(test)]
pub(in crate::stages) mod linear {
    use super::{Likelihood, Prior, Vae};
    use crate::architectures::ArchitectureConfig;
    use crate::autoencoders::{Autoencoder, AutoencoderHeader, LatentConfig, Reconstruction};
    use crate::data::DataShape;
    use crate::posteriors::PosteriorConfig;
    use crate::random::Streams;
    use crate::tensors::from_f32;
    use burn::tensor::{Device, Tensor};

    pub const TOKENS: usize = 2;
    pub const WIDTH: usize = 2;
    pub const ELEMENTS: usize = 5;
    /// Twice the variance of the likelihood.
    pub const SCALE: f64 = 3.0;

    /// A linear encoder and decoder, `x = W z + b`, and a posterior that differs from the model's.
    pub fn model(posterior: PosteriorConfig) -> Autoencoder {
        let header = AutoencoderHeader {
            architecture: ArchitectureConfig::Dense {
                widths: Vec::new(),
                gated: false,
            },
            latent: LatentConfig {
                tokens: TOKENS,
                width: WIDTH,
                top: None,
            },
            posterior,
            reconstruction: Reconstruction::Mse,
            shape: DataShape {
                channels: ELEMENTS,
                height: 1,
                width: 1,
            },
            maximum: 1.0,
            binarise: None,
        };
        Autoencoder::new(&header, Streams::new(5), &Device::flex()).unwrap()
    }

    /// `model` under `prior`.
    pub fn vae<'a>(model: &'a Autoencoder, prior: Prior<'a>) -> Vae<'a> {
        Vae {
            model,
            likelihood: Likelihood::gaussian(SCALE),
            tokens: TOKENS,
            prior,
            check: &|| Ok(()),
        }
    }

    /// `count` rows of data [count, C, 1, 1].
    pub fn rows(count: usize) -> Tensor<4> {
        let values = Streams::new(2).normal("x", 0, count * ELEMENTS);
        from_f32(values, [count, ELEMENTS, 1, 1], &Device::flex())
    }
}

#[cfg(test)]
mod tests {
    use super::super::evidence::linear_gaussian_nll;
    use super::linear::{self, SCALE, TOKENS, WIDTH};
    use super::*;
    use crate::alignment::{Weighted, Weighting};
    use crate::likelihood::importance_weighted_nll;
    use crate::numerics::{mean, standard_error};
    use crate::posteriors::{Gaussian, PosteriorConfig};
    use crate::priors::ExactMixture;
    use crate::random::Streams;
    use crate::targets::GaussianMixture;
    use crate::tensors::from_f32;
    use burn::tensor::{DType, Device};

    /// Rows of data.
    const ROWS: usize = 40;

    fn linear() -> Autoencoder {
        linear::model(PosteriorConfig::Gaussian(Gaussian {}))
    }

    fn rows() -> Tensor<4> {
        linear::rows(ROWS)
    }

    /// The importance-weighted NLL of each row from `samples` draws, averaged over `sets` sets.
    fn importance_weighted(vae: &Vae, samples: usize, sets: usize) -> Vec<f64> {
        let posteriors = vae.posteriors(rows());
        let mut weights = vec![Vec::new(); ROWS];
        for draw in 0..samples * sets {
            let mut rng = Streams::new(samples as u64).at("z", draw as u64);
            let drawn = vae.draw(&posteriors, &mut rng).unwrap();
            for (row, weight) in weights.iter_mut().zip(drawn.log_weights()) {
                row.push(weight);
            }
        }
        let nll = weights
            .iter()
            .map(|row| importance_weighted_nll(row, samples));
        nll.collect()
    }

    /// The mean difference of `a` and `b` in standard errors.
    fn apart(a: &[f64], b: &[f64]) -> f64 {
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        mean(&differences) / standard_error(&differences, 1)
    }

    /// Checks importance weights and ELBO under `prior` against the exact NLL of each row, `exact`, up to `within`
    /// nats.
    fn reaches(prior: Prior, exact: &[f64], within: f64) {
        let model = linear();
        let vae = linear::vae(&model, prior);
        let posteriors = vae.posteriors(rows());
        let mut elbo = vec![0.0; ROWS];
        for draw in 0..64 {
            let mut rng = Streams::new(99).at("elbo", draw);
            let drawn = vae.draw(&posteriors, &mut rng).unwrap();
            let divergences = vae.divergences(&posteriors, &drawn).unwrap();
            let parts = drawn.reconstructions.iter().zip(divergences);
            for (total, (a, b)) in elbo.iter_mut().zip(parts) {
                *total += (a + b) / 64.0;
            }
        }
        let one = importance_weighted(&vae, 1, 64);
        let told = apart(&one, &elbo);
        assert!(told.abs() < 3.0, "one sample is not the ELBO: {told}");
        assert!(mean(&one) > mean(exact) + 0.1, "the posterior is too good");
        let many = importance_weighted(&vae, 2048, 1);
        let gap = mean(&many) - mean(exact);
        assert!(gap.abs() < within, "{gap}");
    }

    /// Fails if p(z), q(z|x), a constant or the number of samples is missing, or a sign is wrong.
    #[test]
    fn importance_weights_of_a_linear_gaussian_model_reach_its_evidence() {
        let model = linear();
        let exact = linear_gaussian_nll(&model, TOKENS, WIDTH, SCALE / 2.0, rows()).unwrap();
        reaches(Prior::Normal, &exact, 0.03);
    }

    /// The same under the exact flow of a Gaussian other than N(0, I), in f32 as in a run.
    #[test]
    fn importance_weights_under_a_flow_of_a_gaussian_reach_the_evidence() {
        let (mean, scale) = ([0.3, -0.5], [0.6, 1.2]);
        let mixture = GaussianMixture {
            weights: vec![1.0],
            means: vec![mean.to_vec()],
            covariances: vec![vec![scale[0] * scale[0], 0.0, 0.0, scale[1] * scale[1]]],
        };
        let field = ExactMixture::new(&mixture, DType::F32, &Device::flex());
        let weighted = Weighted::new(Weighting::Likelihood);
        let draws = Draws::new(weighted, 264, WIDTH, Streams::new(2));
        // z = mean + scale u with u ~ N(0, I): an equivalent model of u with a composed decoder
        let decode = |u: Tensor<2>| {
            let n = u.dims()[0];
            let device = Device::flex();
            let of = |values: [f64; 2]| {
                from_f32::<2>(values.map(|x| x as f32).to_vec(), [1, 2], &device).repeat_dim(0, n)
            };
            linear().decode(u * of(scale) + of(mean))
        };
        let exact =
            super::super::evidence::nll_of(decode, TOKENS, WIDTH, SCALE / 2.0, rows()).unwrap();
        // the bound's draws are accurate to about 0.1 nats per row
        reaches(Prior::Flow(&field, draws), &exact, 0.15);
    }
}
