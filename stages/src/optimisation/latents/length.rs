//! Rules for the sides of trust regions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The rule by which the side of a region grows and shrinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LengthRule {
    /// NF-BO: multiplied by 1.2 if more than 95 % of the sequences decoded from candidates are known, divided by
    /// 1.2 if fewer than 80 % are, so that regions are as small as possible while candidates are new.
    #[default]
    Known,
    /// TuRBO: doubled, up to twice the initial side, after three consecutive rounds with a better score; halved
    /// after as many rounds without one as a latent has numbers per evaluation of a round (4 to 20); reset below
    /// 2^-7 of the initial side.
    Turbo,
}

/// The result of a round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shown {
    /// The share of the candidates' sequences that were known.
    pub known: f64,
    /// Whether a proposal of the last round was better than all earlier ones.
    pub better: bool,
}

/// The side of the regions, and its state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Length {
    rule: LengthRule,
    first: f64,
    /// In standard deviations of the model's noise.
    pub side: f64,
    successes: u32,
    failures: u32,
}

/// Rounds with a better score after which TuRBO doubles the side.
const SUCCESSES: u32 = 3;

/// The largest side relative to the initial one: a box that contains all latents of the training data.
const LARGEST: f64 = 8.0;

impl Length {
    /// The initial side.
    pub fn new(rule: LengthRule, first: f64) -> Self {
        Self {
            rule,
            first,
            side: first,
            successes: 0,
            failures: 0,
        }
    }

    /// Updates the side after a round; `patience` rounds without a better score halve the side of TuRBO's regions.
    pub fn after(&mut self, shown: Shown, patience: u32) {
        match self.rule {
            LengthRule::Known if shown.known > 0.95 => self.side *= 1.2,
            LengthRule::Known if shown.known < 0.8 => self.side /= 1.2,
            LengthRule::Known => {}
            LengthRule::Turbo => self.turbo(shown.better, patience),
        }
        self.side = self.side.min(LARGEST * self.first);
    }

    /// Enlarges the regions if nothing new was found.
    pub fn grow(&mut self) {
        self.side = (1.2 * self.side).min(LARGEST * self.first);
    }

    fn turbo(&mut self, better: bool, patience: u32) {
        (self.successes, self.failures) = match better {
            true => (self.successes + 1, 0),
            false => (0, self.failures + 1),
        };
        if self.successes == SUCCESSES {
            (self.side, self.successes) = ((2.0 * self.side).min(2.0 * self.first), 0);
        } else if self.failures == patience {
            (self.side, self.failures) = (self.side / 2.0, 0);
        }
        if self.side < self.first / 128.0 {
            *self = Self::new(self.rule, self.first);
        }
    }
}

/// The number of rounds without a better score after which TuRBO halves a side, for latents of `elements` numbers
/// and `count` evaluations per round.
pub(super) fn patience(elements: usize, count: usize) -> u32 {
    elements.div_ceil(count.max(1)).clamp(4, 20) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(rule: LengthRule, rounds: &[(f64, bool)]) -> Vec<f64> {
        let mut length = Length::new(rule, 1.0);
        let sides = rounds.iter().map(|&(known, better)| {
            length.after(Shown { known, better }, 4);
            length.side
        });
        sides.collect()
    }

    #[test]
    fn the_share_of_known_sequences_moves_the_side_as_by_hand() {
        let rounds = [0.96, 0.95, 0.8, 0.79, 0.5, 1.0].map(|known| (known, false));
        let by_hand = [1.2, 1.2, 1.2, 1.0, 1.0 / 1.2, 1.0];
        for (found, by_hand) in trace(LengthRule::Known, &rounds).iter().zip(by_hand) {
            assert!((found - by_hand).abs() < 1e-12, "{found} {by_hand}");
        }
        let known = trace(LengthRule::Known, &[(1.0, false); 30]);
        assert_eq!(known[29], 8.0, "a box of all latents grows no more");
    }

    #[test]
    fn successes_and_failures_move_turbos_side_as_by_hand() {
        let better = [
            true, true, false, true, true, true, // three in a row at the sixth
            true, true, true, // true, true, true, // limited to twice the initial side
            false, false, false, false, // four in a row
            false, false, true, false, false, false, false, // and four after a success
        ];
        let by_hand = [
            1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0,
            1.0, 1.0, 0.5,
        ];
        let rounds: Vec<_> = better.iter().map(|&better| (0.0, better)).collect();
        assert_eq!(trace(LengthRule::Turbo, &rounds), by_hand);
        // eight halvings go below 2^-7: reset
        let restart = trace(LengthRule::Turbo, &[(0.0, false); 32]);
        assert_eq!((restart[27], restart[31]), (1.0 / 128.0, 1.0));
        assert_eq!(
            [(512, 10), (1280, 50), (8, 10)].map(|(d, n)| patience(d, n)),
            [20, 20, 4]
        );
    }
}
