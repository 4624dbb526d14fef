//! Kinds of regulariser: configuration and evaluation.

use super::sampling::Sampling;
use crate::alignment::weighting::Weighted;
use crate::classifiers::LabelledFeatures;
use crate::error::{Error, Result};
use crate::persist::Resumable;
use crate::posteriors::{Draw, Posterior, mean_over_elements};
use crate::priors::{KeptPoints, Offers, PointShape, Prior, Witness};
use crate::problems::Problems;
use crate::random::Streams;
use burn::tensor::{Device, Tensor};
use rand_pcg::Pcg64;

/// The configuration of a kind of regulariser.
pub trait RegulariserKind {
    /// Reports every value out of range.
    fn check(&self, _problems: &mut Problems) {}

    /// Reports values that do not match latents of shape `latent`.
    fn check_latents(&self, _latent: PointShape, _problems: &mut Problems) {}

    /// Weight of the term, in the inverse of the term's unit.
    fn weight(&self) -> f64;

    /// Steps over which the weight rises linearly from zero; 0 for a constant weight.
    fn rises_over(&self) -> u64 {
        0
    }

    /// What it requires of a prior.
    fn asks(&self) -> Offers {
        Offers::Density
    }

    /// The target samples that it compares latents with, if any.
    fn samples(&self) -> Option<Sampling> {
        None
    }

    /// Whether it compares latents with a classifier's features of the same rows.
    fn needs_rows(&self) -> bool {
        false
    }

    /// Whether it moves latents towards the prior that was fitted to the features.
    fn follows_flow(&self) -> bool {
        true
    }

    /// The prior of the KL divergence, if the term is one. The posterior then needs a density, and with a
    /// reconstruction in nats, weight 1 gives an ELBO.
    fn divergence_from(&self) -> Option<Against> {
        None
    }

    /// Whether the posterior needs a density, because the term contains its entropy.
    fn needs_density(&self) -> bool {
        self.divergence_from().is_some()
    }

    /// Prepares the evaluation; None if there is no term.
    ///
    /// # Errors
    /// An input error for a prior without what the kind [requires](Self::asks).
    fn begin<'a>(&'a self, given: Given<'a>) -> Result<Option<Box<dyn Regulariser + 'a>>>;
}

/// The reference of a KL divergence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Against {
    /// N(0, I).
    Normal,
    /// The flow, by its likelihood-weighted loss.
    Flow(Weighted),
    /// The prior, by its own NLL; the term is a mean over the elements of latents.
    Prior,
}

/// Context of a regulariser.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// The frozen prior, loaded for gradients.
    pub prior: &'a dyn Prior,
    /// The same on each further device of the training.
    pub replicas: &'a [Box<dyn Prior>],
    /// Another experiment's prior over the same features, if configured.
    pub witness: Option<&'a Witness>,
    /// Training features of the prior as its points, if they are kept with it.
    pub features: Option<&'a KeptPoints>,
    /// A classifier's features of the rows of data, if configured.
    pub of_rows: Option<&'a LabelledFeatures>,
    /// Latent elements per element of data: converts a mean over latents into a mean over data.
    pub elements: f64,
    /// The shape of the latents of a row of data.
    pub latent: PointShape,
    /// Number of training steps.
    pub steps: u64,
    /// Source of initial weights.
    pub streams: Streams,
}

impl<'a> Given<'a> {
    /// The prior on each device, at least one.
    pub(super) fn priors(self) -> impl Iterator<Item = &'a dyn Prior> {
        let others = self.replicas.iter().map(AsRef::as_ref);
        std::iter::once(self.prior).chain(others)
    }

    /// The devices, without autodiff.
    pub(super) fn devices(self) -> Vec<Device> {
        self.priors().map(Prior::device).collect()
    }
}

/// Rows of data as the encoder sees them.
#[derive(Clone, Copy)]
pub struct Encoded<'a> {
    /// Their latents.
    pub drawn: &'a Draw,
    /// The posteriors from which these are drawn.
    pub posterior: &'a dyn Posterior,
    /// The item of each row in the data; empty for free points.
    pub items: &'a [usize],
}

/// A regulariser under a frozen prior.
pub trait Regulariser {
    /// The term `[1]` before its weight, differentiable with respect to the encoder's outputs.
    ///
    /// # Errors
    /// Numerical errors of a prior whose NLL needs an ODE; an input error for rows without features.
    fn term(&self, encoded: Encoded, rng: &mut Pcg64) -> Result<Tensor<1>>;

    /// Trains on the latents [n, d] of a step, if the regulariser has a trained part.
    fn learn(&mut self, _latents: Tensor<2>, _rng: &mut Pcg64) {}

    /// Fails if the trained part has diverged since the last check; waits for the device.
    ///
    /// # Errors
    /// [`crate::error::Error::Diverged`] names the first such step of the autoencoder.
    fn check(&mut self) -> Result<()> {
        Ok(())
    }

    /// The trained part, for checkpoints.
    fn learner(&mut self) -> Option<&mut dyn Resumable> {
        None
    }
}

/// An input error for a prior that lacks `what`.
pub(super) fn lacks(what: &str) -> Error {
    Error::input(format!(
        "train_autoencoder.regulariser.kind: found one that needs {what}, which this prior does \
         not have; expected `nll` with this prior, or a prior of `kind: flow_matching`"
    ))
}

/// Reports a `weight` that is out of range.
pub(super) fn check_weight(weight: f64, problems: &mut Problems) {
    problems.not_negative("weight", weight, "0.01");
}

/// Whether a key has its default of zero and is omitted, so that a configuration without it keeps its fingerprint.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
pub(super) fn is_zero(steps: &u64) -> bool {
    *steps == 0
}

/// Reports an `entropy` factor that is out of range.
pub(super) fn check_entropy(entropy: f64, problems: &mut Problems) {
    problems.not_negative("entropy", entropy, "1.0");
}

/// `loss` minus `weight` times the entropy of `posterior`, in nats per element of latents; the entropy is in closed
/// form if available, else estimated by the draw.
pub(super) fn less_entropy(
    loss: Tensor<1>,
    weight: f64,
    drawn: &Draw,
    posterior: &dyn Posterior,
) -> Tensor<1> {
    if weight == 0.0 {
        return loss;
    }
    let entropy = posterior.mean_entropy().unwrap_or_else(|| {
        let log_density = drawn.log_density().expect("checked: it has a density");
        mean_over_elements(log_density, &drawn.latents).neg()
    });
    match weight {
        1.0 => loss - entropy,
        weight => loss - entropy.mul_scalar(weight),
    }
}

/// Reports a number of `draws` that is out of range.
pub(super) fn check_draws(draws: usize, problems: &mut Problems) {
    problems.require(
        (1..=4096).contains(&draws),
        "draws",
        draws,
        "1 to 4096 draws per token",
    );
}

/// Default weight of terms that are not part of an ELBO.
pub(super) const WEIGHT: f64 = 0.01;
/// Default number of (t, noise) draws per token.
pub(super) const DRAWS: usize = 4;
