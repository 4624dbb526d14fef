//! The evidence lower bound of held-out data, and what more samples make of it.

use super::outputs::Outputs;
use super::{CHUNK, streams};
use crate::alignment::{Draws, Estimates, RegulariserConfig};
use crate::autoencoders::{Encoding, Reconstruction};
use crate::context::Summary;
use crate::error::Result;
use crate::flows::Flow;
use crate::likelihood::{importance_weighted_nll, mean, standard_error};
use crate::tensors::to_f64;
use burn::tensor::Tensor;
use std::f64::consts::{LN_2, TAU};

/// Rows it is estimated on.
const ROWS: usize = 1000;
/// Rows of the importance-weighted estimate.
const WEIGHTED_ROWS: usize = 64;
/// Samples a row of it.
const SAMPLES: [usize; 4] = [1, 4, 16, 32];
/// (t, noise) draws of the likelihood-weighted loss, shared by all latents.
const DRAWS: usize = 512;
/// Draws where a row has many samples.
const FEWER_DRAWS: usize = 264;

/// `-log p(z)` of a prior.
enum Prior<'a> {
    /// N(0, I).
    Normal,
    /// The flow's likelihood-weighted bound, a fixed function of z.
    Flow(&'a Flow, Draws),
}

impl Outputs<'_> {
    /// Where the reconstruction is a likelihood and the regulariser a KL divergence: the ELBO of
    /// held-out rows in nats a row, of whole numbers also in bits a dimension, its two parts, and the
    /// importance-weighted NLL, which may not be above the negative ELBO and falls with the number of
    /// samples. With a flow as the prior its log-density is the likelihood-weighted bound.
    pub fn elbo(&self, flow: &Flow, summary: &mut Summary) -> Result<()> {
        let reconstruction = self.config.reconstruction;
        if !reconstruction.in_nats() || !self.config.regulariser.needs_noise() {
            return Ok(());
        }
        let prior = |draws| match self.config.regulariser {
            RegulariserConfig::FlowKl { .. } => {
                let weighted = self.config.regulariser.weighted();
                let weighted = weighted.expect("it is a weighted loss");
                let width = self.config.latent.width;
                let draws = Draws::new(weighted, draws, width, streams(self.context));
                Prior::Flow(flow, draws)
            }
            _ => Prior::Normal,
        };
        let precise = prior(DRAWS);
        let bound = self.bound(&precise)?;
        let size = self.data.shape.elements() as f64;
        let total: Vec<f64> = (bound.reconstructions.iter().zip(&bound.divergences))
            .map(|(a, b)| a + b)
            .collect();
        let error = standard_error(&total, 1).hypot(bound.shared_error);
        summary.add("held-out negative ELBO (nats)", mean(&total));
        summary.add("its standard error", error);
        summary.add("of it reconstruction (nats)", mean(&bound.reconstructions));
        let name = match precise {
            Prior::Normal => "N(0, I)",
            Prior::Flow(..) => "the flow",
        };
        summary.add(
            format!("of it KL to the prior, {name} (nats)"),
            mean(&bound.divergences),
        );
        // of a Bernoulli likelihood of grey values bits have no meaning
        if reconstruction == Reconstruction::DiscretisedLogistic {
            let bits = mean(&total) / size / LN_2;
            summary.add("held-out negative ELBO (bits/dim)", bits);
        }
        let weights = self.log_weights(&prior(FEWER_DRAWS))?;
        for samples in SAMPLES {
            let nll: Vec<f64> = (weights.iter())
                .map(|row| importance_weighted_nll(row, samples))
                .collect();
            summary.add(
                format!(
                    "importance-weighted NLL of {} rows, S = {samples} (nats)",
                    nll.len()
                ),
                mean(&nll),
            );
        }
        Ok(())
    }

    /// The two parts of the negative ELBO of each row, one draw a row.
    fn bound(&self, prior: &Prior) -> Result<Bound> {
        let rows = self.config.held_out.at_most.min(ROWS);
        let rows = self
            .data
            .scale
            .apply(&self.data.ingest.held_out_rows(rows)?);
        let mut bound = Bound::default();
        for (step, chunk) in rows.chunks(CHUNK * self.data.shape.elements()).enumerate() {
            let rows = self.data.tensor(chunk.to_vec(), &self.context.device);
            let encoding = self.model.encode(rows.clone());
            let mut rng = streams(self.context).at("elbo", step as u64);
            let latents = encoding.draw(&mut rng);
            let losses = self.losses(latents.clone(), rows)?;
            bound.reconstructions.extend(losses);
            let of_tokens = match prior {
                Prior::Normal => to_f64(encoding.kl_of_tokens().expect("checked: noise"))?,
                Prior::Flow(..) => {
                    let found = self.prior_nll(prior, latents.clone())?;
                    let tokens = self.config.latent.tokens as f64;
                    bound.shared_error = bound.shared_error.max(tokens * found.mean_error);
                    let log_q = to_f64(log_density(&encoding, latents))?;
                    (found.values.iter().zip(log_q))
                        .map(|(a, b)| a + b)
                        .collect()
                }
            };
            bound.divergences.extend(self.sums_of_rows(&of_tokens));
        }
        Ok(bound)
    }

    /// `log p(x|z) + log p(z) - log q(z|x)` of several draws z for each of some rows.
    fn log_weights(&self, prior: &Prior) -> Result<Vec<Vec<f64>>> {
        let rows = self.config.held_out.at_most.min(WEIGHTED_ROWS);
        let rows = self
            .data
            .scale
            .apply(&self.data.ingest.held_out_rows(rows)?);
        let rows = self.data.tensor(rows, &self.context.device);
        let encoding = self.model.encode(rows.clone());
        let mut weights = vec![Vec::new(); rows.dims()[0]];
        for sample in 0..SAMPLES[SAMPLES.len() - 1] {
            let mut rng = streams(self.context).at("importance", sample as u64);
            let latents = encoding.draw(&mut rng);
            let losses = self.losses(latents.clone(), rows.clone())?;
            let prior_nll = self.prior_nll(prior, latents.clone())?.values;
            let log_q = to_f64(log_density(&encoding, latents))?;
            let (prior_nll, log_q) = (self.sums_of_rows(&prior_nll), self.sums_of_rows(&log_q));
            for (row, weights) in weights.iter_mut().enumerate() {
                weights.push(-losses[row] - prior_nll[row] - log_q[row]);
            }
        }
        Ok(weights)
    }

    /// The reconstruction of each row from its latents [n * T, d], in nats.
    fn losses(&self, latents: Tensor<2>, rows: Tensor<4>) -> Result<Vec<f64>> {
        let decoded = self.model.decode(latents);
        let reconstruction = self.config.reconstruction;
        let losses = (self.model).reconstruction_losses(reconstruction, decoded, rows);
        to_f64(losses.flatten::<2>(1, 3).sum_dim(1))
    }

    /// `-log p(z)` of each token [n * T, d] in nats.
    fn prior_nll(&self, prior: &Prior, latents: Tensor<2>) -> Result<Estimates> {
        self.context.check_cancelled()?;
        match prior {
            Prior::Flow(flow, draws) => {
                draws.estimate(&flow.network, latents, || self.context.check_cancelled())
            }
            Prior::Normal => {
                let terms = latents.square() + TAU.ln();
                let values = to_f64(terms.sum_dim(1).mul_scalar(0.5))?;
                Ok(Estimates {
                    errors: vec![0.0; values.len()],
                    values,
                    mean_error: 0.0,
                })
            }
        }
    }

    /// Values of tokens [n * T] added up over the T tokens of each row.
    fn sums_of_rows(&self, of_tokens: &[f64]) -> Vec<f64> {
        let tokens = self.config.latent.tokens;
        of_tokens
            .chunks(tokens)
            .map(|row| row.iter().sum())
            .collect()
    }
}

/// The parts of the negative ELBO.
#[derive(Default)]
struct Bound {
    reconstructions: Vec<f64>,
    divergences: Vec<f64>,
    /// The standard error that all rows share: that of the draws.
    shared_error: f64,
}

/// `log q(z)` of each of `latents` [n, d] under its posterior in nats [n, 1].
fn log_density(encoding: &Encoding, latents: Tensor<2>) -> Tensor<2> {
    let log_variance = (encoding.log_variance.clone()).expect("checked: it has noise");
    let square = (latents - encoding.mean.clone()).square() / log_variance.clone().exp();
    let terms = square + log_variance + TAU.ln();
    terms.sum_dim(1).mul_scalar(-0.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alignment::{Weighted, Weighting};
    use crate::features::GaussianMixture;
    use crate::flows::ExactMixture;
    use crate::tensors::from_f64;
    use crate::training::Streams;
    use burn::tensor::{DType, Device};

    #[test]
    fn the_divergence_from_a_gaussian_flow_is_the_closed_form() {
        // q = N(m, s^2 I) against N(0, diag(0.25, 1)), on average over draws
        let device = Device::flex();
        let mixture = GaussianMixture {
            weights: vec![1.0],
            means: vec![vec![0.0; 2]],
            covariances: vec![vec![0.25, 0.0, 0.0, 1.0]],
        };
        let field = ExactMixture::new(&mixture, DType::F64, &device);
        let (n, mean_of, variance) = (2000, [0.3, -0.5], 0.2f64);
        let means = mean_of.repeat(n);
        let encoding = Encoding {
            mean: from_f64(means.clone(), [n, 2], DType::F64, &device),
            log_variance: Some(from_f64(
                vec![variance.ln(); 2 * n],
                [n, 2],
                DType::F64,
                &device,
            )),
        };
        let noise = Streams::new(1).normal("z", 0, 2 * n);
        let drawn = (means.iter().zip(noise)).map(|(m, e)| m + variance.sqrt() * f64::from(e));
        let latents: Tensor<2> = from_f64(drawn.collect(), [n, 2], DType::F64, &device);
        let weighted = Weighted::new(Weighting::Likelihood);
        let draws = Draws::new(weighted, 2048, 2, Streams::new(2));
        let nll = draws
            .estimate(&field, latents.clone(), || Ok(()))
            .unwrap()
            .values;
        let log_q = to_f64(log_density(&encoding, latents)).unwrap();
        let found = (nll.iter().zip(log_q)).map(|(a, b)| a + b).sum::<f64>() / n as f64;
        let kl = |mean: f64, prior: f64| {
            0.5 * ((variance + mean * mean) / prior - 1.0 + (prior / variance).ln())
        };
        let expected = kl(0.3, 0.25) + kl(-0.5, 1.0);
        assert!((found - expected).abs() < 0.06, "{found} {expected}");
    }
}
