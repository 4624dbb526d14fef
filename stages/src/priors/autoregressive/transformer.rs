//! Causal transformer layers over tokens, with a cache of keys and values for one token at a time.
//!
//! ```text
//! h = h + W attention(norm(h))                        heads of `head_width`, each token sees itself and earlier ones
//! h = h + W gelu(W norm(h))                           `EXPANSION` times as wide inside
//! ```

use super::dropout::Dropout;
use super::rotary::Rotation;
use crate::fused::{self, NORM_EPSILON};
use crate::tensors::from_f32;
use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::{gelu, softmax};
use burn::tensor::{Device, Tensor};

/// How many times wider than a token the hidden layer of each MLP is.
pub(super) const EXPANSION: usize = 4;

/// What attention of a token to a later one gets before the softmax.
const HIDDEN: f32 = -1e30;

/// One layer: attention, then an MLP.
#[derive(Module, Debug)]
pub(super) struct Layer {
    norm1: LayerNorm,
    /// Queries, keys and values, [C, 3 C].
    qkv: Linear,
    projection: Linear,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    heads: usize,
}

/// Keys and values of the tokens that a layer has seen, each [n, heads, tokens, head width].
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Option<[Tensor<4>; 2]>);

impl Layer {
    /// A layer over tokens of `channels` numbers; weights are yet to be drawn.
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

    /// How many numbers a layer has.
    pub fn parameters(channels: u128) -> u128 {
        let expansion = EXPANSION as u128;
        let norms = 4 * channels;
        let attention = 4 * channels * (channels + 1);
        let mlp = channels * (2 * expansion * channels + expansion + 1);
        norms + attention + mlp
    }

    /// Tokens `h` [n, m, C] after those in `seen`, which then holds them too. Queries and keys are turned
    /// by `rotation`, logits of attention divided by `temperature`.
    pub fn forward(
        &self,
        h: Tensor<3>,
        seen: &mut Seen,
        rotation: Option<&Rotation>,
        temperature: f64,
        dropout: &mut Dropout,
    ) -> Tensor<3> {
        let dims = h.dims();
        let h: Tensor<2> = h.flatten(0, 1);
        let normed = norm(&self.norm1, h.clone());
        let attended = self.attend(normed, dims, seen, rotation, temperature);
        let h = h + dropout.of(linear(&self.projection, attended));
        let inner = gelu(linear(&self.fc1, norm(&self.norm2, h.clone())));
        let h = h + dropout.of(linear(&self.fc2, inner));
        h.reshape(dims)
    }

    /// Attention over normed tokens `h` [n m, C]: [n m, C].
    fn attend(
        &self,
        h: Tensor<2>,
        [n, m, channels]: [usize; 3],
        seen: &mut Seen,
        rotation: Option<&Rotation>,
        temperature: f64,
    ) -> Tensor<2> {
        let head_width = channels / self.heads;
        let qkv = linear(&self.qkv, h).reshape([n, m, 3 * self.heads, head_width]);
        let qkv = qkv.swap_dims(1, 2); // [n, 3 heads, m, head width]
        let part = |i: usize| qkv.clone().narrow(1, i * self.heads, self.heads);
        let turned = |x: Tensor<4>| match rotation {
            Some(rotation) => rotation.of(x),
            None => x,
        };
        let [keys, values] = seen.extended(turned(part(1)), part(2));
        let scale = 1.0 / ((head_width as f64).sqrt() * temperature);
        let queries = turned(part(0)).mul_scalar(scale);
        let logits = queries.matmul(keys.swap_dims(2, 3)); // [n, heads, m, seen]
        let logits = match m {
            1 => logits,
            _ => {
                let [.., all] = logits.dims();
                logits + hidden(m, all, &qkv.device()).cast(qkv.dtype())
            }
        };
        let attended = softmax(logits, 3).matmul(values); // [n, heads, m, head width]
        attended.swap_dims(1, 2).reshape([n * m, channels])
    }
}

impl Seen {
    /// All keys and values with those of new tokens at the end, which are kept.
    fn extended(&mut self, keys: Tensor<4>, values: Tensor<4>) -> [Tensor<4>; 2] {
        let all = match self.0.take() {
            None => [keys, values],
            Some([k, v]) => [
                Tensor::cat(vec![k, keys], 2),
                Tensor::cat(vec![v, values], 2),
            ],
        };
        self.0 = Some(all.clone());
        all
    }
}

/// What hides later tokens from the last `m` of `all`: [1, 1, m, all].
fn hidden(m: usize, all: usize, device: &Device) -> Tensor<4> {
    let before = all - m;
    let row = |i: usize| (0..all).map(move |j| if j <= before + i { 0.0 } else { HIDDEN });
    from_f32((0..m).flat_map(row).collect(), [1, 1, m, all], device)
}

/// Layer norm with its weights, fused where the device allows it: [rows, C].
fn norm(layer: &LayerNorm, h: Tensor<2>) -> Tensor<2> {
    let beta = layer.beta.as_ref().expect("affine norm").val();
    let scale = layer.gamma.val().sub_scalar(1.0);
    fused::modulated_norm(h, Tensor::cat(vec![beta, scale], 0).unsqueeze())
}

/// A linear layer, fused where the device allows it.
pub(super) fn linear(layer: &Linear, x: Tensor<2>) -> Tensor<2> {
    let bias = layer.bias.as_ref().expect("a layer with a bias");
    fused::linear(x, layer.weight.val(), bias.val())
}
