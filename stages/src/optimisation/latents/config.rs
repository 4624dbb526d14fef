//! Configuration of a search in latents.

use super::length::LengthRule;
use crate::gaussian_process::{Family, Size};
use crate::problems::Problems;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Search in the latents of a model of sequences.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LatentsConfig {
    /// The regions in which candidates are drawn.
    pub regions: RegionsConfig,
    /// How candidates differ from the latent of their region.
    pub perturbation: PerturbationConfig,
    /// The Gaussian process on latents.
    pub surrogate: SurrogateConfig,
    /// When and on which evaluations the model of sequences is trained further.
    pub refit: RefitConfig,
}

/// Boxes around good latents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RegionsConfig {
    /// The number of regions per round.
    pub count: usize,
    /// Candidates in each region.
    pub candidates: usize,
    /// The number of generations of candidates: after the first, the most promising candidates so far have tokens
    /// resampled or are joined.
    pub generations: usize,
    /// The initial side of a box, in standard deviations of the model's noise.
    pub length: f64,
    /// The rule by which the side grows and shrinks.
    pub rule: LengthRule,
    /// The temperature of the softmax over scores, scaled to [0, 1], from which the centres are drawn; 0 takes the
    /// best.
    pub temperature: f64,
    /// Whether the surrogate evaluates a candidate at the latent of the sequence that it decodes to, which is the
    /// sequence that will be scored. Otherwise it evaluates the candidate itself, and learns the score at the
    /// proposed latent.
    pub encode_again: bool,
}

impl Default for RegionsConfig {
    fn default() -> Self {
        Self {
            count: 5,
            candidates: 500,
            generations: 4,
            length: 6.4,
            rule: LengthRule::Known,
            temperature: 0.01,
            encode_again: true,
        }
    }
}

/// How candidates differ from the latent of their region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PerturbationConfig {
    /// The share of a latent's numbers that change on average.
    pub share: f64,
    /// The share of candidates with a few tokens resampled, half of them from the model given the tokens before,
    /// half of them uniformly, and the other tokens kept: one token, and each further one with probability 1/2.
    pub tokens: f64,
    /// The share of candidates that join the head of one good sequence with the tail of another, half of them with
    /// tokens also resampled.
    pub joins: f64,
    /// The number of best evaluations from which the other sequence is drawn.
    pub partners: usize,
    /// The share of candidates that keep the latents of a random number of first tokens and draw the others from
    /// N(0, I): the model ends the sequence in a new way, or extends it. For latents of several tokens.
    pub endings: f64,
    /// Change tokens more if their latents matter more for the decoded sequence (TACS), with this temperature:
    /// small values are sharper. Absent: all alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Draws of a token's latent for estimating its importance.
    pub draws: usize,
}

impl Default for PerturbationConfig {
    fn default() -> Self {
        Self {
            share: 0.1,
            tokens: 0.5,
            joins: 0.25,
            partners: 100,
            endings: 0.15,
            temperature: Some(400.0),
            draws: 4,
        }
    }
}

/// The features of a sequence for the Gaussian process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SurrogateInput {
    /// Its latent, which depends on positions.
    #[default]
    Latents,
    /// The counts of each token, and of each pair of tokens up to 6 positions apart, at any position.
    Pairs,
}

/// The Gaussian process on latents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SurrogateConfig {
    /// The features of a sequence.
    pub input: SurrogateInput,
    /// The covariance function.
    pub kernel: Family,
    /// The largest number of evaluations for an exact posterior; above it, `inducing` points approximate it.
    pub exact: usize,
    /// The number of inducing points.
    pub inducing: usize,
    /// The number of evaluations, half of them the best, to which its settings are fitted each round.
    pub fitted_to: usize,
    /// Steps of this fit.
    pub steps: usize,
    /// Random Fourier features per draw.
    pub features: usize,
}

impl Default for SurrogateConfig {
    fn default() -> Self {
        Self {
            input: SurrogateInput::Latents,
            kernel: Family::Matern,
            exact: 2000,
            inducing: 512,
            fitted_to: 300,
            steps: 40,
            features: 512,
        }
    }
}

impl SurrogateConfig {
    /// The size of the posterior.
    pub(super) fn size(&self) -> Size {
        Size {
            exact: self.exact,
            inducing: self.inducing,
        }
    }
}

/// When and on which evaluations the model of sequences is trained further.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RefitConfig {
    /// The number of new evaluations between refits; 0 for no refits.
    pub every: usize,
    /// The number of best evaluations to train on; infeasible ones are excluded.
    pub best: usize,
    /// The number of newest evaluations to train on as well.
    pub newest: usize,
}

impl Default for RefitConfig {
    fn default() -> Self {
        Self {
            every: 100,
            best: 1000,
            newest: 100,
        }
    }
}

impl LatentsConfig {
    /// Reports every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        problems.section("regions", |p| self.regions.check(p));
        problems.section("perturbation", |p| self.perturbation.check(p));
        problems.section("surrogate", |p| {
            let surrogate = &self.surrogate;
            p.require(
                surrogate.input == SurrogateInput::Latents || self.regions.encode_again,
                "input",
                "`pairs` with `regions.encode_again: false`",
                "`latents`, or `regions.encode_again: true`: pairs are of sequences",
            );
            p.at_least("exact", surrogate.exact, 1);
            let most = surrogate.exact <= 5000;
            p.require(most, "exact", surrogate.exact, "at most 5000");
            p.at_least("inducing", surrogate.inducing, 1);
            p.within("fitted_to", surrogate.fitted_to, 2..=2000);
            p.at_least("features", surrogate.features, 1);
        });
        problems.section("refit", |p| {
            let some = self.refit.every == 0 || self.refit.best + self.refit.newest > 0;
            let found = self.refit.best;
            p.require(some, "best", found, "at least 1, or `newest` at least 1");
        });
    }
}

impl RegionsConfig {
    fn check(&self, p: &mut Problems) {
        let (length, temperature) = (self.length, self.temperature);
        p.at_least("count", self.count, 1);
        p.within("candidates", self.candidates, 1..=65_536);
        let range = (1..=self.candidates).contains(&self.generations);
        p.require(range, "generations", self.generations, "1 to `candidates`");
        let positive = length.is_finite() && length > 0.0;
        p.require(positive, "length", length, "a number above 0, such as 6.4");
        let range = temperature.is_finite() && temperature >= 0.0;
        p.require(range, "temperature", temperature, "0 or more");
    }
}

impl PerturbationConfig {
    fn check(&self, p: &mut Problems) {
        let (share, tokens, joins, endings) = (self.share, self.tokens, self.joins, self.endings);
        let range = share > 0.0 && share <= 1.0;
        p.require(range, "share", share, "above 0 and at most 1");
        for (key, share) in [("tokens", tokens), ("joins", joins), ("endings", endings)] {
            p.require((0.0..=1.0).contains(&share), key, share, "0 to 1");
        }
        let together = tokens + joins + endings;
        let expected = "at most 1 together with `joins` and `endings`";
        p.require(together <= 1.0, "tokens", together, expected);
        if let Some(temperature) = self.temperature {
            let positive = temperature.is_finite() && temperature > 0.0;
            p.require(positive, "temperature", temperature, "above 0, or absent");
        }
        p.at_least("draws", self.draws, 1);
        p.at_least("partners", self.partners, 1);
    }
}
