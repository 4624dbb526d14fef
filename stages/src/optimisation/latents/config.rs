//! Settings of a search in latents.

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
    /// Which numbers of a latent a candidate changes.
    pub perturbation: PerturbationConfig,
    /// The Gaussian process on latents.
    pub surrogate: SurrogateConfig,
    /// When and on what the model of sequences goes on training.
    pub refit: RefitConfig,
}

/// Boxes about good latents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RegionsConfig {
    /// How many a round.
    pub count: usize,
    /// Candidates in each.
    pub candidates: usize,
    /// In how many generations they are made: those after the first have tokens of the most promising ones so far drawn anew or
    /// joined.
    pub generations: usize,
    /// The side of a box at first, in standard deviations of the model's noise.
    pub length: f64,
    /// What makes the side grow and shrink.
    pub rule: LengthRule,
    /// The temperature of the softmax over scores, scaled to [0, 1], by which the latents at their centres are drawn; 0 takes
    /// the best.
    pub temperature: f64,
    /// Whether the surrogate judges a candidate by the latent of the sequence that it decodes to, which is what will be
    /// evaluated. If not, it judges by the candidate itself, and learns the score at the latent that was proposed.
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

/// Which numbers of a latent a candidate changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PerturbationConfig {
    /// The share of a latent's numbers that change on average.
    pub share: f64,
    /// The share of candidates that have a few tokens drawn anew, half of them as the model has them after those before and half
    /// of them any, and keep the others: one, and each further one half as often.
    pub tokens: f64,
    /// The share of candidates that are the head of one good sequence and the tail of another, half of them with tokens
    /// drawn anew besides.
    pub joins: f64,
    /// How many of the best evaluations the other sequence is drawn from.
    pub partners: usize,
    /// The share of candidates that keep the latents of their first tokens, as many as chance will have it, and draw the
    /// others from N(0, I): the model ends the sequence anew, or goes on with it. For latents of several tokens.
    pub endings: f64,
    /// Change the tokens more whose latents matter more for the decoded sequence (TACS), as sharply as this temperature
    /// says: low is sharp. Absent, all alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Draws of a token's latent from which what it matters is estimated.
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

/// What the Gaussian process sees of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SurrogateInput {
    /// Its latent: what is at which place.
    #[default]
    Latents,
    /// How often it has each token, and each pair of tokens up to 6 places apart, wherever they are.
    Pairs,
}

/// The Gaussian process on latents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SurrogateConfig {
    /// What it sees of a sequence.
    pub input: SurrogateInput,
    /// How covariances fall with distance.
    pub kernel: Family,
    /// The most evaluations that it is exact for; above that, `inducing` points stand for all.
    pub exact: usize,
    /// Inducing points.
    pub inducing: usize,
    /// Evaluations, half of them the best, from which its settings are fitted each round.
    pub fitted_to: usize,
    /// Steps of that.
    pub steps: usize,
    /// Random Fourier features of a draw.
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
    /// The sizes of a posterior.
    pub(super) fn size(&self) -> Size {
        Size {
            exact: self.exact,
            inducing: self.inducing,
        }
    }
}

/// When and on what the model of sequences goes on training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RefitConfig {
    /// New evaluations after which it does; 0 for never.
    pub every: usize,
    /// The best evaluations that it trains on; infeasible ones are never among them.
    pub best: usize,
    /// The newest ones besides.
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
    /// Notes every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        problems.section("regions", |p| {
            let RegionsConfig {
                count,
                candidates,
                generations,
                length,
                temperature,
                ..
            } = &self.regions;
            p.at_least("count", *count, 1);
            let range = (1..=65_536).contains(candidates);
            p.require(range, "candidates", candidates, "1 to 65536");
            let range = (1..=*candidates).contains(generations);
            p.require(range, "generations", generations, "1 to `candidates`");
            let positive = length.is_finite() && *length > 0.0;
            p.require(positive, "length", length, "a number above 0, such as 6.4");
            let range = temperature.is_finite() && *temperature >= 0.0;
            p.require(range, "temperature", temperature, "0 or more");
        });
        problems.section("perturbation", |p| {
            let PerturbationConfig {
                share,
                tokens,
                joins,
                partners,
                endings,
                temperature,
                draws,
            } = &self.perturbation;
            let range = *share > 0.0 && *share <= 1.0;
            p.require(range, "share", share, "above 0 and at most 1");
            for (key, share) in [("tokens", tokens), ("joins", joins), ("endings", endings)] {
                p.require((0.0..=1.0).contains(share), key, share, "0 to 1");
            }
            let together = tokens + joins + endings;
            let range = together <= 1.0;
            p.require(
                range,
                "tokens",
                together,
                "at most 1 together with `joins` and `endings`",
            );
            if let Some(temperature) = temperature {
                let positive = temperature.is_finite() && *temperature > 0.0;
                p.require(positive, "temperature", temperature, "above 0, or absent");
            }
            p.at_least("draws", *draws, 1);
            p.at_least("partners", *partners, 1);
        });
        problems.section("surrogate", |p| {
            let judged =
                self.surrogate.input == SurrogateInput::Latents || self.regions.encode_again;
            p.require(
                judged,
                "input",
                "`pairs` with `regions.encode_again: false`",
                "`latents`, or `regions.encode_again: true`: pairs are of sequences",
            );
            p.at_least("exact", self.surrogate.exact, 1);
            let most = self.surrogate.exact <= 5000;
            p.require(most, "exact", self.surrogate.exact, "at most 5000");
            p.at_least("inducing", self.surrogate.inducing, 1);
            let range = (2..=2000).contains(&self.surrogate.fitted_to);
            p.require(range, "fitted_to", self.surrogate.fitted_to, "2 to 2000");
            p.at_least("features", self.surrogate.features, 1);
        });
        problems.section("refit", |p| {
            let some = self.refit.every == 0 || self.refit.best + self.refit.newest > 0;
            let found = self.refit.best;
            p.require(some, "best", found, "at least 1, or `newest` at least 1");
        });
    }
}
