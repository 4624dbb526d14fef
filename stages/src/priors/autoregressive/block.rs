//! A block of an autoregressive flow. A causal transformer computes each token's shift and scale from the tokens
//! before it, in the block's own order, and from a condition c.
//!
//! ```text
//! a_i, mu_i = transformer(x_0 .. x_{i-1}, c)           z_i = (x_i - mu_i) exp(-a_i)
//! log |det dz / dx| = - sum of all a_i
//! ```
//!
//! Without a start token, the first token is left unchanged.

use super::affine::Affine;
use super::design::{BlockDesign, Scale};
use super::dropout::Dropout;
use super::rotary::Rotary;
use super::transformer::{Layer, Seen};
use crate::fused::NORM_EPSILON;
use crate::fused::linear_layer;
use crate::random::Streams;
use crate::tensors::from_f32;
use crate::training::zero;
use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig, RmsNorm, RmsNormConfig};
use burn::tensor::activation::softplus;
use burn::tensor::{Device, Tensor};

/// Initial standard deviation of positions and conditions.
const SMALL: f32 = 0.01;
/// ln(e - 1); its softplus is 1.
const INVERSE_SOFTPLUS_OF_1: f64 = 0.541_324_854_612_918;

/// A block's weights.
#[derive(Module, Debug)]
pub(super) struct Block {
    /// Maps a token, d -> C.
    input: Linear,
    /// Start token, placed before the first token, [1, d].
    start: Option<Param<Tensor<2>>>,
    /// Positional embeddings of the tokens that are read, [T or T - 1, C].
    positions: Option<Param<Tensor<2>>>,
    /// Linear map of a condition [n, c], without a bias: "none" has a column of its own.
    condition: Option<Linear>,
    layers: Vec<Layer>,
    last_norm: Option<RmsNorm>,
    /// C -> log-scale and shift, 2 d.
    output: Linear,
    #[module(skip)]
    rotary: Option<Rotary>,
    #[module(skip)]
    scale: Scale,
    guided: bool,
    /// Bound of the outputs; 0 for none.
    soft_clip: f64,
}

/// State of a pass through a block: the condition, and the tokens read so far.
#[derive(Clone)]
pub(super) struct Reading {
    /// Embedded condition [n, 1, C], added to every token.
    condition: Option<Tensor<3>>,
    /// Per layer.
    seen: Vec<Seen>,
    /// Number of tokens read, including the start token.
    read: usize,
    /// Divisor of the attention logits.
    pub temperature: f64,
    pub dropout: Dropout,
}

impl Reading {
    /// Number of tokens read, including the start token.
    pub fn read(&self) -> usize {
        self.read
    }

    /// Forgets all but the first `read` tokens.
    pub fn rewind(&mut self, read: usize) {
        self.read = read;
        self.seen.iter_mut().for_each(|seen| seen.rewind(read));
    }
}

impl Block {
    /// A block over points of `tokens` x `width`. Weights are initialised later, except for those set by
    /// [`Self::prepare`].
    pub fn new(
        design: &BlockDesign,
        [tokens, width]: [usize; 2],
        columns: usize,
        device: &Device,
    ) -> Self {
        let channels = design.channels;
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        let zeros = |rows, width| Param::from_tensor(Tensor::zeros([rows, width], device));
        let read = design.tokens_read(tokens);
        Self {
            input: linear(width, channels),
            start: design.start.then(|| zeros(1, width)),
            positions: (!design.rotary).then(|| zeros(read, channels)),
            condition: (design.columns(columns) > 0).then(|| {
                let layer = LinearConfig::new(columns, channels).with_bias(false);
                layer.init(device)
            }),
            layers: (0..design.layers)
                .map(|_| Layer::new(channels, design.head_width, device))
                .collect(),
            last_norm: (design.last_norm).then(|| {
                let norm = RmsNormConfig::new(channels).with_epsilon(NORM_EPSILON);
                norm.init(device)
            }),
            output: linear(channels, 2 * width),
            rotary: (design.rotary).then(|| Rotary::new(design.head_width)),
            scale: design.scale,
            guided: design.conditional,
            soft_clip: design.soft_clip,
        }
    }

    /// Initialises weights that differ from the default: the output layer is zero, so that the block starts as
    /// the identity; positions and conditions are small; the start token is standard normal.
    pub fn prepare(&mut self, number: u64, streams: Streams) {
        let small = |name: &'static str, param: &mut Param<Tensor<2>>, scale: f32| {
            *param = param.clone().map(|tensor| {
                let (dims, device) = (tensor.dims(), tensor.device());
                let drawn = streams.normal(name, number, dims[0] * dims[1]);
                from_f32(
                    drawn.into_iter().map(|v| scale * v).collect(),
                    dims,
                    &device,
                )
            });
        };
        if let Some(start) = &mut self.start {
            small("start token", start, 1.0);
        }
        if let Some(positions) = &mut self.positions {
            small("positions", positions, SMALL);
        }
        if let Some(condition) = &mut self.condition {
            small("conditions", &mut condition.weight, SMALL);
        }
        zero(&mut self.output);
    }

    /// Number of parameters of a block over points of `tokens` x `width`.
    pub fn parameters(design: &BlockDesign, [tokens, width]: [u128; 2], columns: usize) -> u128 {
        let channels = design.channels as u128;
        let once = |there: bool, count: u128| u128::from(there) * count;
        let read = design.tokens_read(tokens as usize) as u128;
        (width + 1) * channels
            + once(design.start, width)
            + once(!design.rotary, read * channels)
            + design.columns(columns) as u128 * channels
            + design.layers as u128 * Layer::parameters(channels)
            + once(design.last_norm, channels)
            + (channels + 1) * 2 * width
    }

    /// Whether guidance applies to this block.
    pub fn is_guided(&self) -> bool {
        self.guided
    }

    /// Starts a pass under `condition` [n, c].
    pub fn reading(&self, condition: Option<&Tensor<2>>, dropout: Dropout) -> Reading {
        let of = |(layer, c): (&Linear, &Tensor<2>)| {
            c.clone().matmul(layer.weight.val()).unsqueeze_dim(1)
        };
        Reading {
            condition: self.condition.as_ref().zip(condition).map(of),
            seen: vec![Seen::Empty; self.layers.len()],
            read: 0,
            temperature: 1.0,
            dropout,
        }
    }

    /// Log-scale and shift of every token of `x` [n, T, d], which is in the block's own order.
    pub fn affine(&self, x: &Tensor<3>, mut reading: Reading) -> Affine {
        reading.seen.fill(Seen::Nothing);
        let [n, tokens, width] = x.dims();
        let before = || x.clone().narrow(1, 0, tokens - 1);
        match &self.start {
            Some(_) if tokens == 1 => self.after_start(n, &mut reading),
            Some(start) => {
                let start = start.val().unsqueeze::<3>().repeat_dim(0, n);
                self.after(Tensor::cat(vec![start, before()], 1), &mut reading)
            }
            None => {
                let before = before();
                let Affine { log_scale, shift } = self.after(before, &mut reading);
                let none = Tensor::zeros([n, 1, width], (&x.device(), x.dtype()));
                let first = |rest| Tensor::cat(vec![none.clone(), rest], 1);
                Affine {
                    log_scale: first(log_scale),
                    shift: first(shift),
                }
            }
        }
    }

    /// Log-scale and shift of the first of `n` tokens; None without a start token, as the first token is then
    /// unchanged.
    pub fn first(&self, n: usize, reading: &mut Reading) -> Option<Affine> {
        self.start.as_ref().map(|_| self.after_start(n, reading))
    }

    fn after_start(&self, n: usize, reading: &mut Reading) -> Affine {
        let start = self.start.as_ref().expect("asked where there is one");
        self.after(start.val().unsqueeze::<3>().repeat_dim(0, n), reading)
    }

    /// Log-scale and shift of the token after each of `tokens` [n, m, d], which follow those read before.
    pub fn after(&self, tokens: Tensor<3>, reading: &mut Reading) -> Affine {
        let [n, m, width] = tokens.dims();
        let from = reading.read;
        reading.read += m;
        let h = linear_layer(&self.input, tokens.flatten(0, 1));
        let [_, channels] = h.dims();
        let mut h = h.reshape([n, m, channels]);
        if let Some(positions) = &self.positions {
            h = h + positions.val().narrow(0, from, m).unsqueeze();
        }
        if let Some(condition) = &reading.condition {
            h = h + condition.clone();
        }
        let rotation = self.rotary.as_ref().map(|r| r.at(from..from + m, &h));
        for (layer, seen) in self.layers.iter().zip(&mut reading.seen) {
            let (rotation, temperature) = (rotation.as_ref(), reading.temperature);
            h = layer.forward(h, seen, rotation, temperature, &mut reading.dropout);
        }
        if let Some(norm) = &self.last_norm {
            h = rms_norm(norm, h);
        }
        let out = linear_layer(&self.output, h.flatten(0, 1));
        let out = match self.soft_clip {
            0.0 => out,
            bound => out.div_scalar(bound).tanh().mul_scalar(bound),
        };
        let half = |i: usize| {
            let half = out.clone().narrow(1, i * width, width);
            half.reshape([n, m, width])
        };
        Affine {
            log_scale: match self.scale {
                Scale::Exponential => half(0),
                Scale::Softplus => softplus(half(0).add_scalar(INVERSE_SOFTPLUS_OF_1), 1.0).log(),
            },
            shift: half(1),
        }
    }
}

/// As [`RmsNorm::forward`], but squares in f32 whatever the precision of `h` [n, m, C].
fn rms_norm(norm: &RmsNorm, h: Tensor<3>) -> Tensor<3> {
    let mean_square = h.clone().square().mean_dim(2);
    h / mean_square.add_scalar(norm.epsilon).sqrt() * norm.gamma.val().unsqueeze()
}
