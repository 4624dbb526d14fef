//! The blocks of an autoregressive flow, one after the other.

use super::block::{Block, Reading};
use super::design::Design;
use super::dropout::Dropout;
use super::guidance::Rule;
use super::transformer::EXPANSION;
use crate::error::Result;
use crate::priors::bijection::{Bijection, Guided};
use crate::priors::prior::{PointShape, Points, Progress};
use crate::random::Streams;
use crate::training::initialise;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

/// The flow's weights.
#[derive(Module, Debug)]
pub(super) struct Network {
    blocks: Vec<Block>,
    dropout: f64,
    channels: usize,
    #[module(skip)]
    rule: Rule,
}

/// Numbers of activations that one pass may need in one layer.
const ACTIVATIONS: usize = 1 << 25;

impl Network {
    /// A flow over points of `shape` under conditions of `columns` numbers, its weights drawn from `streams`.
    pub fn new(
        design: &Design,
        shape: PointShape,
        columns: usize,
        streams: Streams,
        device: &Device,
    ) -> Self {
        let dims = [shape.tokens, shape.width];
        let block = |block| Block::new(block, dims, columns, device);
        let network = Self {
            blocks: design.blocks.iter().map(block).collect(),
            dropout: design.dropout,
            channels: design.blocks.iter().map(|b| b.channels).max().unwrap_or(1),
            rule: design.guidance,
        };
        let mut network = initialise(network, streams);
        for (number, block) in network.blocks.iter_mut().enumerate() {
            block.prepare(number as u64, streams);
        }
        network.set_require_grad(true) // mapping the weights has dropped it
    }

    /// Numbers in a flow over points of `shape` under conditions of `columns` numbers.
    pub fn parameters(design: &Design, shape: PointShape, columns: usize) -> u128 {
        let dims = [shape.tokens as u128, shape.width as u128];
        let of = |block| Block::parameters(block, dims, columns);
        design.blocks.iter().map(of).sum()
    }

    /// Points carried to noise [n, D], and `log |det|` [n, 1].
    fn carry(&self, points: &Points, dropout: &mut dyn FnMut(usize) -> Dropout) -> [Tensor<2>; 2] {
        let mut x = points.values.clone();
        let dtype = x.dtype();
        let condition = points.condition.as_ref().map(|c| c.clone().cast(dtype));
        let mut log_det = None;
        for (number, block) in self.blocks.iter().enumerate() {
            let own = in_order(number, x);
            let reading = block.reading(condition.as_ref(), dropout(number));
            let affine = block.affine(&own, reading);
            let scaled: Tensor<2> = affine.log_scale.clone().flatten(1, 2);
            let of_block = scaled.sum_dim(1).neg();
            log_det = Some(match log_det {
                None => of_block,
                Some(log_det) => log_det + of_block,
            });
            x = in_order(number, affine.to_noise(own));
        }
        [x.flatten(1, 2), log_det.expect("at least one block")]
    }

    /// Noise [n, T, d] carried to points, one token at a time; `under` holds the condition, and for guidance what
    /// is leant away from.
    fn carry_back(
        &self,
        noise: Tensor<3>,
        under: &[Option<Tensor<2>>],
        guidance: f64,
        progress: Progress,
    ) -> Result<Tensor<3>> {
        let [n, tokens, _] = noise.dims();
        let all = (self.blocks.len() * tokens) as f64;
        let mut x = noise;
        for (number, block) in self.blocks.iter().enumerate().rev() {
            let ways = if block.is_conditional() {
                under
            } else {
                &under[..1]
            };
            let reading = |c: &Option<Tensor<2>>| block.reading(c.as_ref(), Dropout::off());
            let mut readings: Vec<Reading> = ways.iter().map(reading).collect();
            let noise = in_order(number, x);
            let mut points: Vec<Tensor<3>> = Vec::with_capacity(tokens);
            for i in 0..tokens {
                let blocks = self.blocks.len() - 1 - number;
                progress((blocks * tokens + i) as f64 / all)?;
                let mut read = readings
                    .iter_mut()
                    .filter_map(|reading| match points.last() {
                        Some(previous) => Some(block.after(previous.clone(), reading)),
                        None => block.first(n, reading),
                    });
                let affine = match (read.next(), read.next()) {
                    (Some(with), Some(without)) => Some(self.rule.lean(&with, &without, guidance)),
                    (affine, _) => affine,
                };
                let z = noise.clone().narrow(1, i, 1);
                points.push(affine.map_or(z.clone(), |affine| affine.undo(z)));
            }
            x = in_order(number, Tensor::cat(points, 1));
        }
        progress(1.0)?;
        Ok(x)
    }
}

/// `x` [n, T, d] in the order in which block `number` reads it, and from that order back.
fn in_order(number: usize, x: Tensor<3>) -> Tensor<3> {
    match number.is_multiple_of(2) {
        true => x,
        false => x.flip([1]),
    }
}

impl Bijection for Network {
    fn to_noise(&self, points: &Points) -> (Tensor<2>, Tensor<2>) {
        let [noise, log_det] = self.carry(points, &mut |_| Dropout::off());
        (noise, log_det)
    }

    fn to_noise_in_training(
        &self,
        points: &Points,
        streams: Streams,
        step: u64,
    ) -> (Tensor<2>, Tensor<2>) {
        let of = |number: usize| {
            let blocks = self.blocks.len() as u64;
            Dropout::at(
                self.dropout,
                streams.at("dropout", step * blocks + number as u64),
            )
        };
        let [noise, log_det] = self.carry(points, &mut { of });
        (noise, log_det)
    }

    fn from_noise(
        &self,
        noise: Tensor<3>,
        condition: Option<Tensor<2>>,
        progress: Progress,
    ) -> Result<Tensor<3>> {
        let condition = condition.map(|c| c.cast(noise.dtype()));
        self.carry_back(noise, &[condition], 1.0, progress)
    }

    fn from_noise_guided(
        &self,
        noise: Tensor<3>,
        guided: Guided,
        progress: Progress,
    ) -> Result<Tensor<3>> {
        let dtype = noise.dtype();
        let under = [guided.condition, guided.none].map(|c| Some(c.cast(dtype)));
        self.carry_back(noise, &under, guided.guidance, progress)
    }

    fn chunk(&self, shape: PointShape) -> usize {
        (ACTIVATIONS / (shape.tokens * self.channels * EXPANSION)).max(1)
    }
}
