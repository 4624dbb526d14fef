//! A block's context of the tokens before each: an LSTM or a causal transformer.
//!
//! The context of token i depends on a start token, tokens 0 to i - 1, and a learnt vector of position i.

use super::lstm::Lstm;
use super::transformer::{Read, Transformer};
use crate::priors::recurrent::Remembered;
use crate::problems::Problems;
use crate::random::Streams;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The network that reads the tokens before each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ContextConfig {
    /// An LSTM.
    Lstm {
        /// Width of its state.
        #[serde(default = "width")]
        width: usize,
        /// Number of layers.
        #[serde(default = "layers")]
        layers: usize,
    },
    /// A causal transformer.
    Transformer {
        /// Width of a token; a multiple of `head_width`.
        #[serde(default = "width")]
        width: usize,
        /// Width of an attention head.
        #[serde(default = "head_width")]
        head_width: usize,
        /// Number of layers.
        #[serde(default = "layers")]
        layers: usize,
    },
}

fn width() -> usize {
    128
}
fn head_width() -> usize {
    32
}
fn layers() -> usize {
    1
}

impl Default for ContextConfig {
    fn default() -> Self {
        Self::Lstm {
            width: width(),
            layers: layers(),
        }
    }
}

impl ContextConfig {
    /// Reports every value out of range.
    pub(super) fn check(&self, problems: &mut Problems) {
        problems.within("width", self.width(), 1..=16_384);
        match *self {
            Self::Lstm { layers, .. } => problems.within("layers", layers, 1..=16),
            Self::Transformer {
                width,
                head_width,
                layers,
            } => {
                problems.within("layers", layers, 1..=128);
                problems.within("head_width", head_width, 1..=1024);
                problems.require(
                    head_width == 0 || width.is_multiple_of(head_width),
                    "width",
                    width,
                    &format!("a multiple of head_width, {head_width}"),
                );
            }
        }
    }

    /// Width of a token's context.
    pub(super) fn width(&self) -> usize {
        match *self {
            Self::Lstm { width, .. } | Self::Transformer { width, .. } => width,
        }
    }

    /// Number of parameters over points of `tokens` x `width`.
    pub(super) fn parameters(&self, dims: [u128; 2]) -> u128 {
        match *self {
            Self::Lstm { width, layers } => Lstm::parameters(dims, width, layers),
            Self::Transformer { width, layers, .. } => Transformer::parameters(dims, width, layers),
        }
    }

    /// Approximate number of activations per token.
    pub(super) fn activations(&self) -> usize {
        match *self {
            Self::Lstm { width, layers } => 10 * width * layers,
            Self::Transformer { width, layers, .. } => 12 * width * layers,
        }
    }
}

#[derive(Module, Debug)]
pub(super) enum Context {
    Lstm(Lstm),
    Transformer(Transformer),
}

/// State after the tokens read so far.
pub(super) enum State {
    Lstm(Remembered),
    Transformer(Read),
}

impl Context {
    /// A context over points of `dims`, T x F; weights are initialised later.
    pub fn new(config: &ContextConfig, dims: [usize; 2], device: &Device) -> Self {
        match *config {
            ContextConfig::Lstm { width, layers } => {
                Self::Lstm(Lstm::new(dims, width, layers, device))
            }
            ContextConfig::Transformer {
                width,
                head_width,
                layers,
            } => Self::Transformer(Transformer::new(dims, [width, head_width], layers, device)),
        }
    }

    /// Initialises weights that differ from the default.
    pub fn prepare(&mut self, number: u64, streams: Streams) {
        match self {
            Self::Lstm(lstm) => lstm.prepare(number, streams),
            Self::Transformer(transformer) => transformer.prepare(number, streams),
        }
    }

    /// The context of every token of `x` [n, T, F]: [n, T, C].
    pub fn all(&self, x: &Tensor<3>) -> Tensor<3> {
        match self {
            Self::Lstm(lstm) => lstm.all(x),
            Self::Transformer(transformer) => transformer.all(x),
        }
    }

    /// The initial state.
    pub fn begin(&self) -> State {
        match self {
            Self::Lstm(_) => State::Lstm(Remembered::default()),
            Self::Transformer(transformer) => State::Transformer(transformer.begin()),
        }
    }

    /// The context of the next token of `n` points [n, C]; `before` [n, F] is the previous token, None for the
    /// first.
    pub fn next(&self, state: &mut State, before: Option<Tensor<2>>, n: usize) -> Tensor<2> {
        match (self, state) {
            (Self::Lstm(lstm), State::Lstm(state)) => lstm.next(state, before, n),
            (Self::Transformer(transformer), State::Transformer(state)) => {
                transformer.next(state, before, n)
            }
            _ => unreachable!("a state of this context"),
        }
    }
}
