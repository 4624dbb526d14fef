//! The chain of blocks of an autoregressive flow.

use super::block::Block;
use super::design::Design;
use super::dropout::Dropout;
use super::guidance::Rule;
use super::reader::Reader;
use super::transformer::EXPANSION;
use crate::context::Context;
use crate::error::Result;
use crate::priors::bijection::{Bijection, Under, fit_bijection, load_bijection};
use crate::priors::condition::{ConditionKind, columns_of};
use crate::priors::drawing::{AwayFrom, Carried, Steps, Way, Ways};
use crate::priors::kind::{Fit, Fitted};
use crate::priors::prior::{Placement, PointShape, Points, Prior, Progress};
use crate::random::Streams;
use crate::training::initialise_with_biases;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use std::path::Path;

/// The flow's weights.
#[derive(Module, Debug)]
pub(super) struct Network {
    blocks: Vec<Block>,
    dropout: f64,
    channels: usize,
    #[module(skip)]
    rule: Rule,
}

/// Maximum number of activations of one pass in one layer.
const ACTIVATIONS: usize = 1 << 25;

impl Network {
    /// A flow over points of `shape` under conditions of width `columns`, initialised from `streams`.
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
        let mut network = initialise_with_biases(network, streams);
        for (number, block) in network.blocks.iter_mut().enumerate() {
            block.prepare(number as u64, streams);
        }
        network.set_require_grad(true) // mapping the weights has cleared it
    }

    /// Number of parameters of a flow over points of `shape` under conditions of width `columns`.
    pub fn parameters(design: &Design, shape: PointShape, columns: usize) -> u128 {
        let dims = [shape.tokens as u128, shape.width as u128];
        let of = |block| Block::parameters(block, dims, columns);
        design.blocks.iter().map(of).sum()
    }

    /// Maps points to noise [n, D]; also returns `log |det|` [n, 1].
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
}

/// Fits a flow of `design` by maximum likelihood, as a prior of the kind named in `ways`.
///
/// # Errors
/// As [`fit_bijection`].
pub(super) fn fit(design: &Design, ways: Ways, fit: Fit, context: &Context) -> Result<Fitted> {
    let device = context.device.clone().autodiff();
    let columns = columns_of(fit.condition);
    let network = Network::new(design, fit.shape, columns, fit.streams, &device);
    fit_bijection(network, ways, fit, context)
}

/// Loads a flow of `design` from the safetensors file `path`, as a prior of the kind named in `ways`.
///
/// # Errors
/// As [`load_bijection`].
pub(super) fn load(
    design: &Design,
    ways: Ways,
    path: &Path,
    (shape, condition): (PointShape, Option<ConditionKind>),
    place: &Placement,
) -> Result<Box<dyn Prior>> {
    let (columns, device) = (columns_of(condition), place.weights_device());
    let network = Network::new(design, shape, columns, Streams::new(0), &device);
    load_bijection(network, ways, path, (shape, condition), place)
}

/// Permutes `x` [n, T, d] into the order of block `number`, or back.
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
        under: Under,
        way: &Way,
        progress: Progress,
    ) -> Result<Carried> {
        let [n, tokens, _] = noise.dims();
        let dtype = noise.dtype();
        let [condition, none] = [under.condition, under.none].map(|c| c.map(|c| c.cast(dtype)));
        let all = (self.blocks.len() * tokens) as f64;
        let (mut x, mut evaluations) = (noise, vec![0.0; self.blocks.len()]);
        for (number, block) in self.blocks.iter().enumerate().rev() {
            let plain = block.reading(condition.as_ref(), Dropout::off());
            let away = (block.is_guided() && !way.guidance.is_off()).then(|| {
                match way.guidance.away_from {
                    AwayFrom::None => block.reading(none.as_ref(), Dropout::off()),
                    AwayFrom::Temperature(temperature) => {
                        let mut reading = block.reading(condition.as_ref(), Dropout::off());
                        reading.temperature = temperature;
                        reading
                    }
                }
            });
            let mut reader = Reader {
                block,
                plain,
                away,
                rule: self.rule,
                guidance: way.guidance,
                tokens,
                evaluations: 0,
            };
            let before = (self.blocks.len() - 1 - number) * tokens;
            let mut done = |token: usize| progress((before + token) as f64 / all);
            let noise = in_order(number, x);
            let points = match way.steps {
                Steps::Parallel(sweeps) => reader.in_sweeps(&noise, n, sweeps, &mut done)?,
                _ => reader.one_by_one(&noise, n, &mut done)?,
            };
            x = in_order(number, points);
            evaluations[number] = reader.evaluations as f64;
        }
        progress(1.0)?;
        Ok(Carried {
            points: x,
            evaluations,
        })
    }

    fn chunk(&self, shape: PointShape) -> usize {
        (ACTIVATIONS / (shape.tokens * self.channels * EXPANSION)).max(1)
    }
}
