//! Causal transformer layers over tokens, with a cache of keys and values for decoding one token at a time.
//!
//! ```text
//! h = h + W attention(norm(h))                        heads of `head_width`, each token sees itself and earlier ones
//! h = h + W gelu(W norm(h))                           `EXPANSION` times as wide inside
//! ```

use super::dropout::Dropout;
use super::rotary::Rotation;
use crate::fused::{
    self, LayerReader, LayerWeights, LinearWeights, NORM_EPSILON, NormWeights, Pass, plain,
};
use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

/// Ratio of the MLP's hidden width to the token width.
pub(super) const EXPANSION: usize = 4;

/// One layer: attention, then an MLP.
#[derive(Module, Debug)]
pub(in crate::priors) struct Layer {
    norm1: LayerNorm,
    /// Queries, keys and values, [C, 3 C].
    qkv: Linear,
    projection: Linear,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    heads: usize,
}

/// Cache of a layer's keys and values.
#[derive(Debug, Clone)]
pub(in crate::priors) enum Seen {
    /// No cache: all tokens are read in one pass.
    Nothing,
    /// An empty cache.
    Empty,
    /// Each [n, heads, tokens, head width].
    Tokens(Box<[Tensor<4>; 2]>),
    /// On the CPU, in f32, without gradients.
    OnCpu(Box<LayerReader>),
}

impl Layer {
    /// A layer over tokens of width `channels`, with weights to be initialised later.
    pub fn new(channels: usize, head_width: usize, device: &Device) -> Self {
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        let norm = || {
            LayerNormConfig::new(channels)
                .with_epsilon(NORM_EPSILON)
                .init(device)
        };
        Self {
            norm1: norm(),
            qkv: linear(channels, 3 * channels),
            projection: linear(channels, channels),
            norm2: norm(),
            fc1: linear(channels, EXPANSION * channels),
            fc2: linear(EXPANSION * channels, channels),
            heads: channels / head_width,
        }
    }

    /// Number of parameters of a layer.
    pub fn parameters(channels: u128) -> u128 {
        let expansion = EXPANSION as u128;
        let norms = 4 * channels;
        let attention = 4 * channels * (channels + 1);
        let mlp = channels * (2 * expansion * channels + expansion + 1);
        norms + attention + mlp
    }

    /// The weights.
    fn weights(&self) -> LayerWeights {
        let norm = |norm: &LayerNorm| NormWeights {
            gamma: norm.gamma.val(),
            beta: norm.beta.as_ref().expect("affine norm").val(),
        };
        let linear = |layer: &Linear| LinearWeights {
            weight: layer.weight.val(),
            bias: layer.bias.as_ref().expect("a layer with a bias").val(),
        };
        LayerWeights {
            norm1: norm(&self.norm1),
            qkv: linear(&self.qkv),
            projection: linear(&self.projection),
            norm2: norm(&self.norm2),
            fc1: linear(&self.fc1),
            fc2: linear(&self.fc2),
        }
    }

    /// Processes tokens `h` [n, m, C] that follow those in the cache `seen`, which is extended if it is in use.
    /// Queries and keys are rotated by `rotation`; attention logits are divided by `temperature`.
    pub fn forward(
        &self,
        h: Tensor<3>,
        seen: &mut Seen,
        rotation: Option<&Rotation>,
        temperature: f64,
        dropout: &mut Dropout,
    ) -> Tensor<3> {
        let dims @ [n, m, channels] = h.dims();
        let h: Tensor<2> = h.flatten(0, 1);
        let pass = |dropout| Pass {
            tokens: m,
            heads: self.heads,
            temperature,
            rotation: rotation.map(Rotation::tables),
            dropout,
        };
        let out = match seen {
            Seen::Nothing if fused::is_fused(&h) => {
                let masks = dropout.masks(n * m * channels);
                fused::transformer_layer(h, self.weights(), pass(masks))
            }
            Seen::Empty | Seen::OnCpu(_) if fused::is_fused(&h) && !h.is_autodiff() => {
                let new = || LayerReader::new(self.weights(), n, &pass(None));
                seen.on_cpu(new).forward(h, &pass(None))
            }
            _ => {
                let attend = |qkv| self.attend(qkv, dims, seen, rotation, temperature);
                plain::transformer_layer(h, self.weights(), attend, |x| dropout.of(x))
            }
        };
        out.reshape(dims)
    }

    /// Attention of queries, keys and values `qkv` [n m, 3 C]: [n m, C].
    fn attend(
        &self,
        qkv: Tensor<2>,
        dims @ [n, m, channels]: [usize; 3],
        seen: &mut Seen,
        rotation: Option<&Rotation>,
        temperature: f64,
    ) -> Tensor<2> {
        let qkv = match rotation {
            Some(rotation) => self.turned(qkv, dims, rotation),
            None => qkv,
        };
        let parts = self.parts(qkv, dims);
        let part = |i: usize| parts.clone().narrow(1, i * self.heads, self.heads);
        let [keys, values] = seen.extended(part(1), part(2));
        let attended = plain::attend(part(0), keys, values, temperature);
        attended.swap_dims(1, 2).reshape([n * m, channels])
    }

    /// Queries, keys and values [n m, 3 C] with queries and keys rotated.
    fn turned(&self, qkv: Tensor<2>, dims: [usize; 3], rotation: &Rotation) -> Tensor<2> {
        let [n, m, channels] = dims;
        let parts = self.parts(qkv, dims);
        let turned = rotation.of(parts.clone().narrow(1, 0, 2 * self.heads));
        let values = parts.narrow(1, 2 * self.heads, self.heads);
        let parts = Tensor::cat(vec![turned, values], 1);
        parts.swap_dims(1, 2).reshape([n * m, 3 * channels])
    }

    /// Queries, keys and values [n m, 3 C] as [n, 3 heads, m, head width].
    fn parts(&self, qkv: Tensor<2>, [n, m, channels]: [usize; 3]) -> Tensor<4> {
        let width = channels / self.heads;
        qkv.reshape([n, m, 3 * self.heads, width]).swap_dims(1, 2)
    }
}

impl Seen {
    /// The reader on the CPU, `new` if there is none yet.
    fn on_cpu(&mut self, new: impl FnOnce() -> LayerReader) -> &mut LayerReader {
        if !matches!(self, Self::OnCpu(_)) {
            *self = Self::OnCpu(Box::new(new()));
        }
        match self {
            Self::OnCpu(reader) => reader,
            _ => unreachable!("made just now"),
        }
    }

    /// Forgets all but the first `read` tokens.
    pub fn rewind(&mut self, read: usize) {
        match self {
            Self::Nothing | Self::Empty => {}
            Self::OnCpu(reader) => reader.rewind(read),
            Self::Tokens(_) if read == 0 => *self = Self::Empty,
            Self::Tokens(kept) => kept
                .iter_mut()
                .for_each(|of| *of = of.clone().narrow(2, 0, read)),
        }
    }

    /// Appends new keys and values to the cache, and returns all of them.
    fn extended(&mut self, keys: Tensor<4>, values: Tensor<4>) -> [Tensor<4>; 2] {
        let all = match std::mem::replace(self, Self::Nothing) {
            Self::Nothing | Self::Empty => [keys, values],
            Self::OnCpu(_) => unreachable!("read on the CPU from its first token on"),
            Self::Tokens(seen) => {
                let [k, v] = *seen;
                [
                    Tensor::cat(vec![k, keys], 2),
                    Tensor::cat(vec![v, values], 2),
                ]
            }
        };
        *self = Self::Tokens(Box::new(all.clone()));
        all
    }
}
