//! The regulariser of an autoencoder's latents, ready to be evaluated.

use super::config::RegulariserConfig;
use super::loss::alignment_loss;
use super::weighting::Weighted;
use crate::autoencoders::Encoding;
use crate::flows::VelocityField;
use burn::tensor::Tensor;
use rand_pcg::Pcg64;

/// The term itself `[1]`, before its weight: of `latents` [n, d] drawn from the posterior `encoding`
/// (free points have none), under the frozen flow `field`. `None` if there is no regulariser.
pub fn penalty(
    config: &RegulariserConfig,
    field: &dyn VelocityField,
    latents: Tensor<2>,
    encoding: Option<&Encoding>,
    rng: &mut Pcg64,
) -> Option<Tensor<1>> {
    match *config {
        RegulariserConfig::None => None,
        RegulariserConfig::Kl { .. } => encoding.and_then(Encoding::kl),
        RegulariserConfig::Alignment {
            weighting, draws, ..
        } => Some(alignment_loss(
            field,
            latents,
            Weighted::new(weighting),
            draws,
            rng,
        )),
    }
}

impl RegulariserConfig {
    /// The factor on the term.
    pub fn weight(&self) -> f64 {
        match *self {
            Self::None => 0.0,
            Self::Kl { weight } | Self::Alignment { weight, .. } => weight,
        }
    }
}
