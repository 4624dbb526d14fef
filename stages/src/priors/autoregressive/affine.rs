//! A block's affine transform of tokens: `z = (x - mu) exp(-a)` maps them to noise, `x = z exp(a) + mu`
//! back.

use burn::tensor::Tensor;

/// Log-scale a and shift mu of some tokens, each [n, m, d].
#[derive(Debug, Clone)]
pub(super) struct Affine {
    pub log_scale: Tensor<3>,
    pub shift: Tensor<3>,
}

impl Affine {
    /// Noise for tokens `x` [n, m, d].
    pub fn to_noise(&self, x: Tensor<3>) -> Tensor<3> {
        (x - self.shift.clone()) * self.log_scale.clone().neg().exp()
    }

    /// Tokens for noise `z` [n, m, d].
    pub fn undo(&self, z: Tensor<3>) -> Tensor<3> {
        z * self.log_scale.clone().exp() + self.shift.clone()
    }

    /// The transform of token `k` alone.
    pub fn narrow(&self, k: usize) -> Self {
        let of = |x: &Tensor<3>| x.clone().narrow(1, k, 1);
        Self {
            log_scale: of(&self.log_scale),
            shift: of(&self.shift),
        }
    }

    /// Concatenates along tokens.
    pub fn cat(parts: Vec<Self>) -> Self {
        let (log_scale, shift): (Vec<_>, Vec<_>) =
            (parts.into_iter().map(|part| (part.log_scale, part.shift))).unzip();
        Self {
            log_scale: Tensor::cat(log_scale, 1),
            shift: Tensor::cat(shift, 1),
        }
    }
}
