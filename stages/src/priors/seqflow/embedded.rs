//! A flow with its embedding: trained together, then used to map sequences to latents and back.
//!
//! ```text
//! x -> v_i = e_{x_i} + noise, which decodes to x_i -> z = flow(v)        z -> v = flow^-1(z) -> argmax_j cos(v_i, e_j)
//! ```
//!
//! **Contexts.** The noise of a token is independent of later tokens, so p(v_i | v_1 .. v_{i-1}) equals p(v_i | x_1
//! .. x_{i-1}). Contexts therefore read the noiseless embeddings of the decoded preceding tokens, rather than the
//! block's values as in the released code. No information is lost, and contexts need not learn to see tokens
//! through noise. The embeddings are piecewise constant, so log-determinants remain those of the couplings.
//!
//! **Latents of a sequence.** A noiseless latent lies far inside N(0, I): the flow is fitted to noisy tokens, and
//! most of the variance of a latent comes from that noise. [`SequenceModel::encode`] therefore adds noise too, but
//! the same noise to every sequence, a function of position and draw alone. Latents then have their typical norm,
//! two latents differ only by the tokens of their sequences, and equal sequences have equal latents.

use super::config::SeqFlow;
use super::embedding::{Dequantised, Embedding, HostTable, similarity};
use super::network::Network;
use crate::context::{Context, Summary};
use crate::error::{Error, Result};
use crate::persist::{load_weights, save_weights};
use crate::priors::bijection::Bijection;
use crate::priors::decoding::{exact_latents, require_finite, sequences_of_places};
use crate::priors::kind::PART;
use crate::priors::maximum_likelihood::trained;
use crate::priors::of_sequences::{
    FitSequences, FitsSequences, FittedSequences, Shuffled, refitted, require, rows_of,
};
use crate::priors::prior::{PointShape, normal_nll};
use crate::random::{Streams, normal};
use crate::sequences::{Alphabet, Cost, Sequence, SequenceModel, Weighed};
use crate::tensors::{from_f32, scalar, to_f32, to_f64};
use crate::training::{HeldOut, Step, Task, Term, mean_over, share};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use rand_pcg::Pcg64;
use std::f64::consts::TAU;
use std::path::Path;

/// The trained module: a flow and an embedding table.
#[derive(Module, Debug)]
pub(super) struct Embedded {
    pub network: Network,
    pub embedding: Embedding,
}

impl Embedded {
    /// Initialised from `streams`.
    pub fn new(config: &SeqFlow, alphabet: &Alphabet, streams: Streams, device: &Device) -> Self {
        let shape = shape_of(config, alphabet);
        Self {
            network: Network::new(config, shape, streams, device),
            embedding: Embedding::new([alphabet.size(), shape.width], streams, device),
        }
    }

    /// The NLL `[n]` of rows [n, T] with `noise` added to their tokens, and their mean similarity loss `[1]`.
    fn losses(&self, shape: PointShape, rows: &[u32], noise: Vec<f32>) -> [Tensor<1>; 2] {
        let n = rows.len() / shape.tokens;
        let dims = [n, shape.tokens, shape.width];
        let e = self.embedding.of(rows);
        let v = e.clone() + from_f32(noise, e.dims(), &e.device());
        let similarity = similarity(&v, rows, &self.embedding);
        let (z, log_det) = (self.network).each_token(v.reshape(dims), Some(&e.reshape(dims)));
        let nll = normal_nll(z.flatten(1, 2)) - log_det.sum_dim(1);
        [nll.flatten(0, 1), similarity.div_scalar(n as f64)]
    }
}

/// The shape of a sequence as a point.
fn shape_of(config: &SeqFlow, alphabet: &Alphabet) -> PointShape {
    PointShape {
        tokens: alphabet.longest(),
        width: config.embedding.width,
    }
}

impl FitsSequences for SeqFlow {
    /// Each step minimises the mean over sequences of the NLL plus the weighted similarity loss; weights are
    /// averaged.
    fn fit_sequences(
        &self,
        fit: FitSequences,
        context: &Context,
    ) -> Result<(Box<dyn FittedSequences>, Summary)> {
        let (alphabet, schedule) = (fit.alphabet, fit.schedule);
        let device = context.device.clone().autodiff();
        let module = Embedded::new(self, alphabet, context.streams, &device);
        let mut task = Training {
            batches: Shuffled::new(fit.train, schedule.batch),
            held_out: rows_of(alphabet, fit.held_out),
            shape: shape_of(self, alphabet),
            streams: context.streams,
            config: self,
            alphabet,
        };
        let (module, figures) = trained(module, &mut task, schedule, context)?;
        let flow = SequenceFlow::new(self, alphabet, module, &context.device)?;
        Ok((Box::new(flow), figures))
    }
}

/// Joint training of flow and table.
struct Training<'a> {
    config: &'a SeqFlow,
    alphabet: &'a Alphabet,
    batches: Shuffled<'a>,
    held_out: Vec<u32>,
    shape: PointShape,
    streams: Streams,
}

impl Training<'_> {
    /// The mean loss `[1]` over rows [n, T], equal shares of which are for `replicas`.
    fn loss(
        &self,
        replicas: &[&Embedded],
        rows: &[u32],
        stream: &str,
        step: u64,
    ) -> Result<Tensor<1>> {
        let table = replicas[0].embedding.on_host()?;
        let scale = self.config.embedding.noise as f32;
        let noise = table.dequantise_with(rows, scale, &mut self.streams.at(stream, step));
        Ok(mean_over(replicas, |k, module| {
            let (rows, noise) = (
                share(rows, k, replicas.len()),
                share(&noise.noise, k, replicas.len()),
            );
            let [nll, similarity] = module.losses(self.shape, rows, noise.to_vec());
            nll.mean() + similarity.mul_scalar(self.config.embedding.similarity)
        }))
    }
}

impl Task<Embedded, 1> for Training<'_> {
    const PART: &'static str = PART;
    const TERMS: [Term; 1] = [Term::LOSS];

    fn step(&mut self, replicas: &[&Embedded], step: u64) -> Result<Step<1>> {
        let rows = rows_of(self.alphabet, self.batches.at(step, self.streams));
        Ok(Step::of(self.loss(
            replicas,
            &rows,
            "noise of tokens",
            step,
        )?))
    }

    fn evaluate(&mut self, averaged: &Embedded) -> Result<Option<HeldOut<1>>> {
        if self.held_out.is_empty() {
            return Ok(None);
        }
        let loss = self.loss(&[averaged], &self.held_out, "noise of held-out tokens", 0)?;
        Ok(Some(HeldOut::of(scalar(loss)?)))
    }
}

/// A trained flow over sequences.
pub struct SequenceFlow {
    pub(super) config: SeqFlow,
    pub(super) alphabet: Alphabet,
    pub(super) shape: PointShape,
    /// Without autodiff.
    pub(super) module: Embedded,
    table: HostTable,
    device: Device,
}

/// Likelihood of a sequence, in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// `-log p(v)` of noisy embeddings v, a density over T F numbers; not the likelihood of the sequence.
    pub nll: f64,
    /// `-log p(v) + log q(v | x)`, where q is the noise around the tokens of x. Its mean over noise is an upper
    /// bound of `-log p(x)`, the NLL of the sequence, since noisy v decode to x alone (the variational bound of
    /// dequantisation, Ho et al. 2019, arXiv 1902.00275). None if a token has no noise.
    pub bound: Option<f64>,
}

/// Noise scales of [`SequenceModel::encode`], tried in this order.
const SCALES: [f32; 4] = [1.0, 0.5, 0.25, 0.0];

impl SequenceFlow {
    /// `module` is without autodiff.
    pub(super) fn new(
        config: &SeqFlow,
        alphabet: &Alphabet,
        module: Embedded,
        device: &Device,
    ) -> Result<Self> {
        Ok(Self {
            shape: shape_of(config, alphabet),
            config: config.clone(),
            alphabet: alphabet.clone(),
            table: module.embedding.on_host()?,
            module,
            device: device.clone(),
        })
    }

    fn scale(&self) -> f32 {
        self.config.embedding.noise as f32
    }

    /// A fresh draw of noise [n, F] around the tokens of `rows`.
    pub(super) fn fresh(&self, rows: &[u32], streams: Streams) -> Dequantised {
        let mut rng = streams.at("noise of scored tokens", 0);
        self.table.dequantise_with(rows, self.scale(), &mut rng)
    }

    /// Maps rows [n, T] with `noise` around their tokens [n, T, F] to latents [n, T F], in batches; also returns
    /// each token's contribution to the NLL given the tokens before it, [n, T] in nats.
    pub(super) fn carried(&self, rows: &[u32], noise: &[f32]) -> Result<(Vec<f32>, Vec<f64>)> {
        let PointShape { tokens, width } = self.shape;
        let chunk = tokens * self.module.network.chunk(self.shape);
        let (mut latents, mut nlls) = (Vec::new(), Vec::new());
        for (rows, noise) in rows.chunks(chunk).zip(noise.chunks(chunk * width)) {
            let e = self.clean(rows);
            let v = e.clone() + from_f32(noise.to_vec(), e.dims(), &self.device);
            let (z, log_det) = self.module.network.each_token(v, Some(&e));
            let normal = normal_nll(z.clone().flatten(0, 1));
            let nll = normal.reshape(log_det.dims()) - log_det;
            latents.extend(to_f32(z)?);
            nlls.extend(to_f64(nll)?);
        }
        Ok((latents, nlls))
    }

    /// The embeddings of rows [n, T]: [n, T, F].
    fn clean(&self, rows: &[u32]) -> Tensor<3> {
        let PointShape { tokens, width } = self.shape;
        let e = self.module.embedding.of(rows);
        e.reshape([rows.len() / tokens, tokens, width])
    }

    /// The token that each of `v` [n, F] decodes to.
    fn nearest(&self, v: &Tensor<2>) -> Result<Vec<u32>> {
        let v = to_f32(v.clone())?;
        let each = v.chunks_exact(self.shape.width);
        Ok(each.map(|v| self.table.nearest(v)).collect())
    }

    /// The likelihood of each of `sequences`, with noise from `streams`.
    ///
    /// # Errors
    /// Device errors; a numerical error for a likelihood that is not finite.
    pub fn score(&self, sequences: &[Sequence], streams: Streams) -> Result<Vec<Scored>> {
        let PointShape { tokens, width } = self.shape;
        let rows = rows_of(&self.alphabet, sequences);
        let dequantised = self.fresh(&rows, streams);
        let (_, of_tokens) = self.carried(&rows, &dequantised.noise)?;
        let nlls: Vec<f64> = of_tokens
            .chunks_exact(tokens)
            .map(|row| row.iter().sum())
            .collect();
        if let Some(at) = nlls.iter().position(|nll| !nll.is_finite()) {
            return Err(Error::Numerical(format!(
                "the NLL of `{}` is not finite",
                self.alphabet.text(&sequences[at])
            )));
        }
        // q is a normal distribution truncated to the region that decodes to the token: divide by the region's
        // probability
        let mut accepted = vec![[0.0; 2]; self.alphabet.size()];
        for (&token, &draws) in rows.iter().zip(&dequantised.draws) {
            accepted[token as usize][0] += 1.0;
            accepted[token as usize][1] += f64::from(draws);
        }
        let variance = self.config.embedding.noise.powi(2);
        let log_q = |(&token, noise): (&u32, &[f32])| {
            let [count, draws] = accepted[token as usize];
            let square: f64 = noise.iter().map(|&x| f64::from(x).powi(2)).sum();
            let normal = -0.5 * (square / variance + width as f64 * (TAU * variance).ln());
            (square > 0.0).then(|| normal - (count / draws).ln())
        };
        let each = (rows.chunks_exact(tokens))
            .zip(dequantised.noise.chunks_exact(tokens * width))
            .zip(nlls);
        Ok(each
            .map(|((row, noise), nll)| {
                let log_q: Option<f64> = row.iter().zip(noise.chunks_exact(width)).map(log_q).sum();
                let bound = log_q.map(|log_q| nll + log_q);
                Scored { nll, bound }
            })
            .collect())
    }

    /// The scaled noise around the tokens of rows [n, T] that all sequences share.
    fn shared_noise(&self, rows: &[u32], scale: f32) -> Vec<f32> {
        let PointShape { tokens, width } = self.shape;
        let mut drawn: Vec<Vec<f32>> = Vec::new();
        let scale = self.scale() * scale;
        let dequantised = self.table.dequantise(rows, scale, |place, draw, noise| {
            if drawn.len() <= draw {
                drawn.push(Streams::new(0).normal("encode", draw as u64, tokens * width));
            }
            let at = place % tokens * width;
            noise.copy_from_slice(&drawn[draw][at..at + width]);
        });
        dequantised.noise
    }
}

impl SequenceModel for SequenceFlow {
    fn tokens(&self) -> usize {
        self.shape.tokens
    }

    fn width(&self) -> usize {
        self.shape.width
    }

    fn alphabet(&self) -> &Alphabet {
        &self.alphabet
    }

    /// Each latent is decoded again, and recomputed with less noise if rounding changed a token.
    fn encode(&self, sequences: &[Sequence]) -> Result<Vec<f32>> {
        let why = "the flow is too steep there; train it longer or with fewer blocks and couplings";
        exact_latents(self, sequences, SCALES, why, |scale, rows| {
            Ok(self.carried(rows, &self.shared_noise(rows, scale))?.0)
        })
    }

    fn weigh(&self, sequences: &[Sequence]) -> Result<Weighed> {
        require(&self.alphabet, sequences)?;
        let rows = rows_of(&self.alphabet, sequences);
        let (latents, nlls) = self.carried(&rows, &self.shared_noise(&rows, 1.0))?;
        let costs = Cost::of_rows(&nlls, sequences);
        Ok(Weighed { latents, costs })
    }

    fn redraw(
        &self,
        sequences: &[Sequence],
        places: &[usize],
        rng: &mut Pcg64,
    ) -> Result<Vec<Sequence>> {
        let PointShape { tokens, width } = self.shape;
        let chunk = self.module.network.chunk(self.shape);
        let mut redrawn = Vec::with_capacity(sequences.len());
        for (sequences, places) in sequences.chunks(chunk).zip(places.chunks(chunk)) {
            let mut rows = rows_of(&self.alphabet, sequences);
            let noise = normal(rng, places.len() * width);
            let noise = from_f32(noise, [places.len(), width], &self.device);
            let v = (self.module.network).redrawn(&self.clean(&rows), places, noise)?;
            let each = rows.chunks_exact_mut(tokens).zip(places);
            redrawn.extend(each.zip(self.nearest(&v)?).map(|((row, &place), token)| {
                row[place] = token;
                Alphabet::sequence_of_row(row)
            }));
        }
        Ok(redrawn)
    }

    fn decode(&self, latents: &[f32]) -> Result<Vec<Sequence>> {
        let tokens = self.shape.tokens;
        require_finite(latents, self.shape.elements())?;
        let chunk = self.shape.elements() * self.module.network.chunk(self.shape);
        let mut sequences = Vec::new();
        for part in latents.chunks(chunk) {
            let noise = self.shape.tensor(part.to_vec(), &self.device);
            let mut by_place = Vec::with_capacity(tokens);
            let mut read = |v: &Tensor<2>| {
                let found = self.nearest(v)?;
                let e = self.module.embedding.of(&found);
                by_place.push(found);
                Ok(e)
            };
            let network = &self.module.network;
            network.points_of(noise, Some(&mut read), &mut |_| Ok(()))?;
            sequences.extend(sequences_of_places(&by_place));
        }
        Ok(sequences)
    }

    /// One epoch over `sequences` in batches of 32.
    fn refit(
        &mut self,
        sequences: &[Sequence],
        streams: Streams,
        round: u64,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        let task = |batches| Training {
            batches,
            held_out: Vec::new(),
            shape: self.shape,
            config: &self.config,
            alphabet: &self.alphabet,
            streams,
        };
        let of = (&self.alphabet, sequences);
        self.module = refitted(self.module.clone(), of, round, cancelled, task)?;
        self.table = self.module.embedding.on_host()?;
        Ok(())
    }

    fn save(&self, path: &Path) -> Result<()> {
        save_weights(&self.module, path, "{}")
    }

    fn restore(&mut self, path: &Path) -> Result<()> {
        load_weights(&mut self.module, path)?;
        self.table = self.module.embedding.on_host()?;
        Ok(())
    }
}
