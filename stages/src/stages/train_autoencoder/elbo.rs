//! The evidence lower bound of test data, and tighter bounds with more samples.

use super::config::CHUNK;
use super::evidence::linear_gaussian_nll;
use super::outputs::Outputs;
use super::vae::{Likelihood, Prior, Vae};
use crate::alignment::{Against, Draws};
use crate::architectures::ArchitectureConfig;
use crate::autoencoders::Reconstruction;
use crate::context::Summary;
use crate::error::Result;
use crate::figures::{ITS_ERROR, filled, of_rows, train_autoencoder as names};
use crate::likelihood::importance_weighted_nll;
use crate::numerics::{mean, standard_error};
use crate::priors::{Flow, NllOptions};
use burn::tensor::Tensor;
use std::f64::consts::LN_2;

/// Rows of the estimate, if a latent has at most four tokens. Of more tokens, fewer rows are taken: the price of a
/// flow's log-density is per token, and flows of many tokens are wide.
const ROWS: usize = 1000;
/// Rows of the importance-weighted estimate, likewise.
const WEIGHTED_ROWS: usize = 64;
/// As many tokens are no reason to take fewer rows.
const FEW_TOKENS: usize = 4;
/// The fewest rows of an estimate.
const LEAST_ROWS: usize = 8;
/// Samples S per row, and the number of sets of S samples: each S has its own draws.
const SAMPLES: [(usize, usize); 3] = [(1, 16), (4, 8), (32, 1)];
/// Draws per row of the negative ELBO that a single sample is compared with.
const ELBO_DRAWS: usize = 16;
/// (t, noise) draws of the likelihood-weighted loss, shared by all latents.
const DRAWS: usize = 512;
/// Draws if rows have many samples.
const FEWER_DRAWS: usize = 264;
/// Tolerance in nats of an NLL of latents by an ODE.
const TOLERANCE: f64 = 1e-2;

impl Outputs<'_> {
    /// If the loss is a negative ELBO in some unit ([`Likelihood::of`]): the ELBO of test rows in nats
    /// per row, for integers also in bits per dimension, and its two parts; then the importance-weighted
    /// NLL of some rows from one sample, which is the negative ELBO, and from more samples, which
    /// approaches the NLL. With a flow as the prior, its log-density is the likelihood-weighted bound.
    /// If the NLL is known, as for a linear decoder with Gaussian noise, it is reported too.
    ///
    /// # Errors
    /// File errors of the data; a numerical error if a loss or an NLL is not finite;
    /// [`crate::Error::Cancelled`].
    pub fn elbo(&self, flow: &Flow, summary: &mut Summary) -> Result<()> {
        let Some(likelihood) = Likelihood::of(self.config) else {
            return Ok(());
        };
        let check = || self.context.check_cancelled();
        let vae = |draws| Vae {
            model: self.model,
            likelihood,
            tokens: self.config.latent.tokens,
            prior: self.prior(flow, draws),
            check: &check,
        };
        self.context.monitor.phase("negative ELBO");
        self.bound(&vae(DRAWS), summary)?;
        self.context.monitor.phase("importance-weighted NLL");
        self.importance(&vae(FEWER_DRAWS), summary)
    }

    /// The prior of the regulariser; that of a flow uses at most `draws` draws.
    fn prior<'a>(&self, flow: &'a Flow, draws: usize) -> Prior<'a> {
        match self.config.regulariser.kind().divergence_from() {
            Some(Against::Flow(weighted)) => {
                let width = self.config.latent.width;
                let draws = Draws::new(weighted, draws, width, self.context.streams);
                let velocity = flow
                    .prior
                    .velocity()
                    .expect("the regulariser has asked for one");
                Prior::Flow(velocity, draws)
            }
            Some(Against::Prior) => Prior::Own(flow.prior.as_ref(), NllOptions::exact(TOLERANCE)),
            _ => Prior::Normal,
        }
    }

    /// The negative ELBO and its parts, with one draw per row.
    fn bound(&self, vae: &Vae, summary: &mut Summary) -> Result<()> {
        let (mut reconstructions, mut divergences) = (Vec::new(), Vec::new());
        let mut shared_error = 0.0f64;
        let rows = self.some_rows(vae, ROWS)?;
        let [count, ..] = rows.dims();
        for (step, start) in (0..count).step_by(CHUNK).enumerate() {
            let rows = rows.clone().narrow(0, start, CHUNK.min(count - start));
            let posteriors = vae.posteriors(rows);
            let mut rng = self.context.streams.at("elbo", step as u64);
            let drawn = vae.draw(&posteriors, &mut rng)?;
            divergences.extend(match vae.prior {
                Prior::Normal => vae.divergences(&posteriors, &drawn)?,
                // from the same draw, so that common terms cancel
                Prior::Flow(..) | Prior::Own(..) => sums(&drawn.priors, &drawn.posteriors),
            });
            shared_error = shared_error.max(drawn.shared_error);
            reconstructions.extend(drawn.reconstructions);
        }
        let total = sums(&reconstructions, &divergences);
        let error = standard_error(&total, 1).hypot(shared_error);
        let word = self.data.ingest.reported().word();
        summary.add(of_rows(word, names::ELBO), mean(&total));
        summary.add(ITS_ERROR, error);
        summary.add(names::ELBO_RECONSTRUCTION, mean(&reconstructions));
        summary.add(
            filled(names::ELBO_KL, &[&vae.prior.name()]),
            mean(&divergences),
        );
        // bits are meaningless for a density, or a Bernoulli likelihood of grey values
        let whole = match self.config.reconstruction {
            Reconstruction::DiscretisedLogistic => true,
            Reconstruction::Bernoulli => self.config.binarise.is_some(),
            Reconstruction::Mse | Reconstruction::L1 => false,
        };
        if whole {
            let size = self.data.shape.elements() as f64;
            let bits = mean(&total) / size / LN_2;
            summary.add(of_rows(word, names::ELBO_BITS), bits);
        }
        Ok(())
    }

    /// The importance-weighted NLL of some rows, each number of samples compared with the previous one.
    fn importance(&self, vae: &Vae, summary: &mut Summary) -> Result<()> {
        let rows = self.some_rows(vae, WEIGHTED_ROWS)?;
        let [count, ..] = rows.dims();
        let posteriors = vae.posteriors(rows.clone());

        let mut elbo = vec![0.0; count];
        for draw in 0..ELBO_DRAWS {
            let mut rng = self.context.streams.at("ELBO of a few rows", draw as u64);
            let drawn = vae.draw(&posteriors, &mut rng)?;
            let divergences = vae.divergences(&posteriors, &drawn)?;
            let losses = sums(&drawn.reconstructions, &divergences);
            for (total, loss) in elbo.iter_mut().zip(losses) {
                *total += loss / ELBO_DRAWS as f64;
            }
        }
        let (mut before, mut nll) = ("their negative ELBO".to_owned(), elbo);
        for (samples, times) in SAMPLES {
            let mut weights = vec![Vec::with_capacity(samples * times); count];
            let stream = format!("importance, S = {samples}");
            for draw in 0..samples * times {
                let mut rng = self.context.streams.at(&stream, draw as u64);
                let drawn = vae.draw(&posteriors, &mut rng)?;
                for (weights, weight) in weights.iter_mut().zip(drawn.log_weights()) {
                    weights.push(weight);
                }
            }
            let found: Vec<f64> = (weights.iter())
                .map(|row| importance_weighted_nll(row, samples))
                .collect();
            summary.add(filled(names::IMPORTANCE, &[&count, &samples]), mean(&found));
            summary.add(
                filled(names::IMPORTANCE_LESS, &[&count, &samples, &before]),
                in_standard_errors(&found, &nll),
            );
            (before, nll) = (format!("S = {samples}"), found);
        }

        let ArchitectureConfig::Dense { widths, .. } = &self.config.architecture else {
            return Ok(());
        };
        let gaussian = vae.likelihood.reconstruction == Reconstruction::Mse;
        let linear = widths.is_empty() && self.config.latent.top.is_none();
        if linear && gaussian && matches!(vae.prior, Prior::Normal) {
            let latent = &self.config.latent;
            let variance = vae.likelihood.scale / 2.0;
            let exact =
                linear_gaussian_nll(self.model, latent.tokens, latent.width, variance, rows)?;
            summary.add(filled(names::EXACT, &[&count]), mean(&exact));
            summary.add(
                filled(names::LESS_EXACT, &[&count, &before]),
                in_standard_errors(&nll, &exact),
            );
        }
        Ok(())
    }

    /// At most `at_most` rows of the shown part, evenly spaced [n, C, H, W]; fewer if latents have many tokens and
    /// the prior is a flow.
    fn some_rows(&self, vae: &Vae, at_most: usize) -> Result<Tensor<4>> {
        let part = self.data.ingest.reported();
        let at_most = match vae.prior {
            Prior::Normal => at_most,
            Prior::Flow(..) | Prior::Own(..) => {
                let tokens = vae.tokens.max(FEW_TOKENS);
                (at_most * FEW_TOKENS.pow(2) / tokens.pow(2)).max(LEAST_ROWS)
            }
        };
        let rows = (self.data).some_rows(part, self.at_most(part).min(at_most))?;
        Ok(self.data.tensor(rows, &self.context.device))
    }
}

/// Elementwise sum.
fn sums(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// The mean of `a` minus `b`, paired by row, in its standard errors.
fn in_standard_errors(a: &[f64], b: &[f64]) -> f64 {
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    mean(&differences) / standard_error(&differences, 1)
}
