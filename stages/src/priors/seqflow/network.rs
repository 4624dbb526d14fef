//! The chain of blocks of a SeqFlow. All blocks read tokens from first to last, so each token of the noise is a
//! function of the tokens up to it.

use super::block::Block;
use super::config::SeqFlow;
use crate::error::Result;
use crate::priors::bijection::{Bijection, Under};
use crate::priors::drawing::{Carried, Way};
use crate::priors::prior::{PointShape, Points, Progress};
use crate::random::Streams;
use crate::tensors::{from_f32, stacked};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Int, Tensor};
use rand::RngExt;

/// Weights are initialised uniformly in +- this.
const BOUND: f32 = 0.07;
/// Maximum number of activations per pass.
const ACTIVATIONS: usize = 1 << 26;

#[derive(Module, Debug)]
pub(super) struct Network {
    blocks: Vec<Block>,
    /// Approximate number of activations per token.
    activations: usize,
}

impl Network {
    /// A flow over points of `shape`, initialised from `streams`.
    pub fn new(config: &SeqFlow, shape: PointShape, streams: Streams, device: &Device) -> Self {
        let dims = [shape.tokens, shape.width];
        let block = |number| Block::new(config, number, dims, device);
        let of_coupling = config.hidden * 4 + shape.width * 12;
        let network = Self {
            blocks: (0..config.blocks).map(block).collect(),
            activations: config.context.activations() + of_coupling,
        };
        let mut network = network.map(&mut Uniform {
            streams,
            drawn: 0,
            inside: Vec::new(),
        });
        for (number, block) in network.blocks.iter_mut().enumerate() {
            block.prepare(number as u64, streams);
        }
        network.set_require_grad(true) // mapping the weights has cleared it
    }

    /// Maps points [n, T, F] to noise; also returns each token's part of `log |det|` [n, T]. Contexts read `tokens`
    /// [n, T, F] or, if not given, each block's values.
    pub fn each_token(
        &self,
        points: Tensor<3>,
        tokens: Option<&Tensor<3>>,
    ) -> (Tensor<3>, Tensor<2>) {
        let mut x = points;
        let mut log_det: Option<Tensor<2>> = None;
        for block in &self.blocks {
            let context = block.read(tokens.unwrap_or(&x));
            let (carried, more) = block.forward(x, context);
            x = carried;
            log_det = Some(match log_det {
                None => more,
                Some(so_far) => so_far + more,
            });
        }
        (x, log_det.expect("at least one block"))
    }

    /// The value [n, F] of token `places[i]` of point i if its noise is row i of `noise` [n, F] and contexts read
    /// `tokens` [n, T, F] before it.
    ///
    /// # Errors
    /// Device errors.
    pub fn redrawn(
        &self,
        tokens: &Tensor<3>,
        places: &[usize],
        noise: Tensor<2>,
    ) -> Result<Tensor<2>> {
        let [_, length, _] = tokens.dims();
        let rows: Vec<i64> = (places.iter().enumerate())
            .map(|(point, place)| (point * length + place) as i64)
            .collect();
        let rows = Tensor::<1, Int>::from_data(&rows[..], &tokens.device());
        let mut blocks = self.blocks.iter().rev();
        blocks.try_fold(noise, |x, block| {
            block.inverse(x, block.read(tokens).select(0, rows.clone()))
        })
    }

    /// Maps noise [n, T, F] to points, token by token. Contexts read the output of `read` for each token [n, F];
    /// without `read`, they read each block's values.
    ///
    /// # Errors
    /// Errors of `progress` and `read`; device errors.
    pub fn points_of(
        &self,
        noise: Tensor<3>,
        mut read: Option<Read>,
        progress: Progress,
    ) -> Result<Tensor<3>> {
        let [n, tokens, width] = noise.dims();
        let mut states: Vec<_> = (self.blocks.iter())
            .map(|block| (block.begin(), None::<Tensor<2>>))
            .collect();
        let mut points = Vec::with_capacity(tokens);
        for token in 0..tokens {
            progress(token as f64 / tokens as f64)?;
            let mut x = noise.clone().narrow(1, token, 1).reshape([n, width]);
            for (block, (state, before)) in self.blocks.iter().zip(&mut states).rev() {
                x = block.next(state, before.take(), x)?;
                *before = Some(x.clone());
            }
            if let Some(read) = &mut read {
                let read = read(&x)?;
                let blocks = states.iter_mut();
                blocks.for_each(|(_, before)| *before = Some(read.clone()));
            }
            points.push(x);
        }
        Ok(stacked::<2, 3>(points).swap_dims(0, 1))
    }
}

/// What contexts read for a token [n, F].
pub(super) type Read<'a> = &'a mut dyn FnMut(&Tensor<2>) -> Result<Tensor<2>>;

/// Initialises every weight uniformly; norms keep their ones and zeros.
struct Uniform {
    streams: Streams,
    drawn: u64,
    inside: Vec<String>,
}

impl ModuleMapper for Uniform {
    fn enter_module(&mut self, _: &str, container: &str) {
        self.inside.push(container.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.inside.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self
            .inside
            .last()
            .is_some_and(|container| container.contains("Norm"))
        {
            return param;
        }
        self.drawn += 1;
        let mut rng = self.streams.at("initial weights", self.drawn);
        param.map(|tensor| {
            let dims = tensor.dims();
            let drawn = (0..dims.iter().product()).map(|_| rng.random_range(-BOUND..BOUND));
            from_f32(drawn.collect(), dims, &tensor.device())
        })
    }
}

impl Bijection for Network {
    fn to_noise(&self, points: &Points) -> (Tensor<2>, Tensor<2>) {
        let (noise, log_det) = self.each_token(points.values.clone(), None);
        (noise.flatten(1, 2), log_det.sum_dim(1))
    }

    fn from_noise(
        &self,
        noise: Tensor<3>,
        _: Under,
        _: &Way,
        progress: Progress,
    ) -> Result<Carried> {
        let [_, tokens, _] = noise.dims();
        let points = self.points_of(noise, None, progress)?;
        progress(1.0)?;
        Ok(Carried {
            points,
            evaluations: vec![tokens as f64; self.blocks.len()],
        })
    }

    fn chunk(&self, shape: PointShape) -> usize {
        (ACTIVATIONS / (shape.tokens * self.activations)).max(1)
    }
}
