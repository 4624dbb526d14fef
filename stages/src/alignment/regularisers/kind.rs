//! A kind of regulariser: as it is configured, and ready to be evaluated.

use crate::alignment::weighting::Weighted;
use crate::error::{Error, Result};
use crate::persist::Resumable;
use crate::posteriors::{Draw, Posterior, mean_over_elements};
use crate::priors::{Offers, PointShape, Prior, Witness};
use crate::problems::Problems;
use crate::random::Streams;
use burn::tensor::Tensor;
use rand_pcg::Pcg64;

/// A kind of regulariser, as it is configured.
pub trait RegulariserKind {
    /// Notes every value out of range.
    fn check(&self, _problems: &mut Problems) {}

    /// The factor on the term.
    fn weight(&self) -> f64;

    /// Steps at the start over which that factor rises from zero in proportion; 0 where it is the same throughout.
    fn rises_over(&self) -> u64 {
        0
    }

    /// What it asks of a prior.
    fn asks(&self) -> Offers {
        Offers::Density
    }

    /// Whether it moves latents towards the prior that was fitted to the features.
    fn follows_flow(&self) -> bool {
        true
    }

    /// From what prior the term is a KL divergence, if it is one: the posterior then needs a density, and with a
    /// reconstruction in nats weight 1 is an ELBO.
    fn divergence_from(&self) -> Option<Against> {
        None
    }

    /// Whether the posterior needs a density, whose entropy is in the term.
    fn needs_density(&self) -> bool {
        self.divergence_from().is_some()
    }

    /// Ready to be evaluated; none where there is no term.
    ///
    /// # Errors
    /// An input error for a prior that lacks what it [asks for](Self::asks).
    fn begin<'a>(&'a self, given: Given<'a>) -> Result<Option<Box<dyn Regulariser + 'a>>>;
}

/// What latents are held to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Against {
    /// N(0, I).
    Normal,
    /// The flow, by its likelihood-weighted loss.
    Flow(Weighted),
    /// The prior, by its own NLL; the term is over the elements of latents.
    Prior,
}

/// What a regulariser is evaluated under.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// The frozen prior, loaded for gradients.
    pub prior: &'a dyn Prior,
    /// Another experiment's prior over the same features, where the kind names one.
    pub witness: Option<&'a Witness>,
    /// Latent elements for each element of data: what turns a mean over the ones into a mean over the others.
    pub elements: f64,
    /// The shape of the latents of a row of data.
    pub latent: PointShape,
    /// The steps of the training.
    pub steps: u64,
    /// What random weights are drawn from.
    pub streams: Streams,
}

/// A regulariser under a frozen prior.
pub trait Regulariser {
    /// The term `[1]` before its weight, of latents `drawn` from `posterior`, differentiable in what the encoder
    /// gave.
    ///
    /// # Errors
    /// Numerical errors of a prior whose NLL is that of an ODE.
    fn term(&self, drawn: &Draw, posterior: &dyn Posterior, rng: &mut Pcg64) -> Result<Tensor<1>>;

    /// Learns from the latents [n, d] of a step, if it learns.
    fn learn(&mut self, _latents: Tensor<2>, _rng: &mut Pcg64) {}

    /// Refuses to go on if what is learned went wrong since the last check; waits for the device.
    ///
    /// # Errors
    /// [`crate::error::Error::Diverged`] names the first such step of the autoencoder.
    fn check(&mut self) -> Result<()> {
        Ok(())
    }

    /// What learns, for checkpoints.
    fn learner(&mut self) -> Option<&mut dyn Resumable> {
        None
    }
}

/// An input error for a prior without `what` the regulariser needs.
pub(super) fn lacks(what: &str) -> Error {
    Error::input(format!(
        "train_autoencoder.regulariser.kind: found one that needs {what}, which the prior has not; expected \
         `nll` with this prior, or a prior of `kind: flow_matching`"
    ))
}

/// Notes a `weight` out of range.
pub(super) fn check_weight(weight: f64, problems: &mut Problems) {
    problems.not_negative("weight", weight, "0.01");
}

/// Whether a key has nothing to say: what is zero by default is left out, so that a configuration without it keeps its
/// fingerprint.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
pub(super) fn is_zero(steps: &u64) -> bool {
    *steps == 0
}

/// Notes a factor on the `entropy` out of range.
pub(super) fn check_entropy(entropy: f64, problems: &mut Problems) {
    problems.not_negative("entropy", entropy, "1.0");
}

/// `loss` less `weight` times the entropy of `posterior`, in nats for each element of latents; in closed form where it
/// has one, else by the draw.
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

/// Notes a number of `draws` out of range.
pub(super) fn check_draws(draws: usize, problems: &mut Problems) {
    problems.require(
        (1..=4096).contains(&draws),
        "draws",
        draws,
        "1 to 4096 draws a token",
    );
}

/// The default weight of a term that is no part of an ELBO.
pub(super) const WEIGHT: f64 = 0.01;
/// The default number of (t, noise) draws a token.
pub(super) const DRAWS: usize = 4;
