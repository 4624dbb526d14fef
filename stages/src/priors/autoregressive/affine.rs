//! What a block reads for tokens: `z = (x - mu) exp(-a)` carries them to noise, `x = z exp(a) + mu` back.

use burn::tensor::Tensor;

/// Log-scale a and shift mu of some tokens, each [n, m, d].
#[derive(Debug, Clone)]
pub(super) struct Affine {
    pub log_scale: Tensor<3>,
    pub shift: Tensor<3>,
}

impl Affine {
    /// Noise of tokens `x` [n, m, d].
    pub fn to_noise(&self, x: Tensor<3>) -> Tensor<3> {
        (x - self.shift.clone()) * self.log_scale.clone().neg().exp()
    }

    /// Tokens of noise `z` [n, m, d].
    pub fn undo(&self, z: Tensor<3>) -> Tensor<3> {
        z * self.log_scale.clone().exp() + self.shift.clone()
    }
}
