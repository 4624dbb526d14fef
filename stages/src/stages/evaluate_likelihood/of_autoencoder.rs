//! The importance-weighted likelihood of data under an autoencoder with noise in its latents.

use super::super::train_autoencoder;
use super::super::train_autoencoder::vae::{Likelihood, Prior, Vae};
use super::config::{By, Config, velocity};
use super::found::{Found, Kind, OfPrior, Space, Weighted};
use super::weigh::{Chunk, weigh};
use crate::alignment::{Against, Draws};
use crate::autoencoders::{Autoencoder, Reconstruction};
use crate::context::Context;
use crate::data::Data;
use crate::error::Result;
use crate::figures::evaluate_likelihood as names;
use crate::priors::{Flow, NllKind};
use burn::module::Module;
use burn::tensor::Device;
use std::path::Path;
use std::time::Instant;

/// A trained autoencoder and its data.
pub struct Model<'a> {
    autoencoder: Autoencoder,
    trained: &'a train_autoencoder::Config,
    data: &'a Data,
}

impl<'a> Model<'a> {
    /// Loads the model in the directory `dir`, which was `trained` with this configuration on `data`.
    ///
    /// # Errors
    /// File errors.
    pub fn load(
        dir: &Path,
        trained: &'a train_autoencoder::Config,
        data: &'a Data,
        device: &Device,
    ) -> Result<Self> {
        let (autoencoder, _) = Autoencoder::load(dir, device)?;
        Ok(Self {
            autoencoder,
            trained,
            data,
        })
    }

    /// The likelihood of test rows. If the regulariser is a divergence from the flow, p(z) is `flow`, whose own NLL
    /// is of `kind`.
    ///
    /// # Errors
    /// File errors of the data; a numerical error if a loss or an NLL is not finite; [`crate::Error::Cancelled`].
    pub fn found(
        &self,
        config: &Config,
        (flow, kind): (&Flow, NllKind),
        context: &Context,
    ) -> Result<Found> {
        let Self {
            autoencoder,
            trained,
            data,
        } = self;
        let (prior, of_prior) = self.prior(config, (flow, kind), context)?;
        let check = || context.check_cancelled();
        let likelihood = Likelihood::of(trained).expect("checked: the loss is a negative ELBO");
        let latent = &trained.latent;
        let of_flow = match prior {
            Prior::Normal => 0,
            Prior::Flow(..) | Prior::Own(..) => flow.prior.parameters(),
        };
        let vae = Vae {
            model: autoencoder,
            likelihood,
            tokens: latent.tokens,
            prior,
            check: &check,
        };
        let part = data.ingest.reported();
        let rows = data.some_rows(part, config.rows)?;
        let space = space_of(trained.reconstruction, &rows);
        let rows = data.tensor(rows, &context.device);
        let ([total, ..], elements) = (rows.dims(), data.shape.elements());
        let progress = |done: f64| {
            let done = done.round() as u64;
            (context.monitor).progress(names::PROGRESS, done, total as u64, "");
            Ok(())
        };
        let started = Instant::now();
        let (chunk, streams) = (Chunk::of(elements), context.streams);
        let weights = weigh(&vae, &rows, config.samples, chunk, streams, progress)?;
        let seconds = started.elapsed().as_secs_f64();
        Ok(Found {
            part,
            space,
            kind: match config.samples {
                1 => Kind::Elbo,
                _ => Kind::ImportanceWeighted,
            },
            values: weights.iter().map(|row| row.nll()).collect(),
            shared_error: 0.0,
            dimensions: elements,
            latents: latent.tokens * latent.width,
            parameters: autoencoder.num_params() + of_flow,
            seconds,
            weighted: Some(Weighted {
                samples: config.samples,
                rows: weights,
                prior: of_prior,
            }),
        })
    }

    /// p(z), and how it is computed.
    fn prior<'b>(
        &self,
        config: &Config,
        (flow, kind): (&'b Flow, NllKind),
        context: &Context,
    ) -> Result<(Prior<'b>, OfPrior)> {
        let regulariser = self.trained.regulariser.kind();
        let prior = flow.prior.as_ref();
        Ok(match (regulariser.divergence_from(), config.by) {
            (Some(Against::Normal) | None, _) => (Prior::Normal, OfPrior::Closed),
            (Some(Against::Flow(_) | Against::Prior), By::Nll) => {
                let how = match kind {
                    NllKind::Exact => OfPrior::Closed,
                    NllKind::Ode => OfPrior::Ode,
                };
                (Prior::Own(prior, config.nll(context.streams)), how)
            }
            (Some(Against::Flow(_) | Against::Prior), By::Bound) => {
                let width = prior.shape().elements();
                let draws = Draws::new(config.weighted(), config.draws, width, context.streams);
                (Prior::Flow(velocity(prior)?, draws), OfPrior::Bound)
            }
        })
    }
}

/// What the likelihood of `rows` is of.
fn space_of(reconstruction: Reconstruction, rows: &[f32]) -> Space {
    match reconstruction {
        Reconstruction::DiscretisedLogistic => Space::Levels,
        Reconstruction::Bernoulli if rows.iter().all(|&x| x == 0.0 || x == 1.0) => Space::Levels,
        Reconstruction::Bernoulli => Space::Grey,
        Reconstruction::Mse | Reconstruction::L1 => Space::Density,
    }
}
