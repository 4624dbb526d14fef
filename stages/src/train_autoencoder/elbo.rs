//! The evidence lower bound of held-out data.

use super::outputs::Outputs;
use super::{CHUNK, streams};
use crate::alignment::{Draws, RegulariserConfig};
use crate::autoencoders::{Encoding, Reconstruction};
use crate::context::Summary;
use crate::error::Result;
use crate::flows::Flow;
use crate::likelihood::{mean, standard_error};
use crate::tensors::to_f64;
use burn::tensor::Tensor;
use std::f64::consts::{LN_2, TAU};

/// Rows it is estimated on.
const ROWS: usize = 1000;
/// (t, noise) draws of the likelihood-weighted loss, shared by all latents.
const DRAWS: usize = 512;

impl Outputs<'_> {
    /// Where the reconstruction is a likelihood and the regulariser a KL divergence: the ELBO of
    /// held-out rows in nats a row, of whole numbers also in bits a dimension, and its two parts. With a flow as the
    /// prior the divergence is that from the flow's likelihood-weighted bound.
    pub fn elbo(&self, flow: &Flow, summary: &mut Summary) -> Result<()> {
        let reconstruction = self.config.reconstruction;
        let to_flow = matches!(self.config.regulariser, RegulariserConfig::FlowKl { .. });
        if !reconstruction.in_nats() || !self.config.regulariser.needs_noise() {
            return Ok(());
        }
        let weighted = self.config.regulariser.weighted();
        let streams = streams(self.context);
        let draws = weighted.map(|w| Draws::new(w, DRAWS, self.config.latent.width, streams));
        let rows = self.config.held_out.at_most.min(ROWS);
        let rows = self
            .data
            .scale
            .apply(&self.data.ingest.held_out_rows(rows)?);
        let size = self.data.shape.elements();
        let (mut reconstructions, mut divergences) = (Vec::new(), Vec::new());
        for (step, chunk) in rows.chunks(CHUNK * size).enumerate() {
            self.context.check_cancelled()?;
            let rows = self.data.tensor(chunk.to_vec(), &self.context.device);
            let encoding = self.model.encode(rows.clone());
            let latents = encoding.draw(&mut streams.at("elbo", step as u64));
            let decoded = self.model.decode(latents.clone());
            let losses = self
                .model
                .reconstruction_losses(reconstruction, decoded, rows);
            reconstructions.extend(to_f64(losses.flatten::<2>(1, 3).sum_dim(1))?);
            let of_tokens = match &draws {
                None => to_f64(encoding.kl_of_tokens().expect("checked: it has noise"))?,
                Some(draws) => {
                    let check = || self.context.check_cancelled();
                    let nll = draws
                        .estimate(&flow.network, latents.clone(), check)?
                        .values;
                    let density = to_f64(log_density(&encoding, latents))?;
                    nll.iter()
                        .zip(density)
                        .map(|(nll, log_q)| nll + log_q)
                        .collect()
                }
            };
            let tokens = self.config.latent.tokens;
            divergences.extend(of_tokens.chunks(tokens).map(|row| row.iter().sum::<f64>()));
        }
        let total: Vec<f64> = (reconstructions.iter().zip(&divergences))
            .map(|(a, b)| a + b)
            .collect();
        let prior = if to_flow { "the flow" } else { "N(0, I)" };
        summary.add("held-out negative ELBO (nats)", mean(&total));
        summary.add("its standard error", standard_error(&total, 1));
        summary.add("of it reconstruction (nats)", mean(&reconstructions));
        summary.add(
            format!("of it divergence from the prior, {prior} (nats)"),
            mean(&divergences),
        );
        // of a Bernoulli likelihood of grey values bits have no meaning
        if reconstruction == Reconstruction::DiscretisedLogistic {
            let bits = mean(&total) / size as f64 / LN_2;
            summary.add("held-out negative ELBO (bits/dim)", bits);
        }
        Ok(())
    }
}

/// `log q(z)` of each of `latents` [n, d] under its posterior in nats [n, 1].
fn log_density(encoding: &Encoding, latents: Tensor<2>) -> Tensor<2> {
    let log_variance = encoding
        .log_variance
        .clone()
        .expect("checked: it has noise");
    let square = (latents - encoding.mean.clone()).square() / log_variance.clone().exp();
    let terms = square + log_variance + TAU.ln();
    terms.sum_dim(1).mul_scalar(-0.5)
}
