//! How the sides of trust regions grow and shrink.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What makes the side of a region grow and shrink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LengthRule {
    /// NF-BO: times 1.2 where more than 95 % of the sequences that candidates decode to are known, divided by it where fewer
    /// than 80 % are, so that the regions are as small as what is new in them allows.
    #[default]
    Known,
    /// TuRBO: twice the side, at most twice the first, after three rounds in a row with a better score; half after as many
    /// without as a latent has numbers for each evaluation of a round (4 to 20); from the start again below 2^-7 of the
    /// first.
    Turbo,
}

/// What a round has shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shown {
    /// The share of the candidates' sequences that were known.
    pub known: f64,
    /// Whether a proposal of the last round was better than all before it.
    pub better: bool,
}

/// The side of the regions, and what changes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Length {
    rule: LengthRule,
    first: f64,
    /// In standard deviations of the model's noise.
    pub side: f64,
    successes: u32,
    failures: u32,
}

/// Rounds with a better score after which TuRBO doubles a side.
const SUCCESSES: u32 = 3;

/// The largest side over the first: a box that holds all latents that a model was trained on.
const LARGEST: f64 = 8.0;

impl Length {
    /// The first side.
    pub fn new(rule: LengthRule, first: f64) -> Self {
        Self {
            rule,
            first,
            side: first,
            successes: 0,
            failures: 0,
        }
    }

    /// After a round that has shown `shown`; `patience` rounds without a better score halve the side of TuRBO's regions.
    pub fn after(&mut self, shown: Shown, patience: u32) {
        match self.rule {
            LengthRule::Known if shown.known > 0.95 => self.side *= 1.2,
            LengthRule::Known if shown.known < 0.8 => self.side /= 1.2,
            LengthRule::Known => {}
            LengthRule::Turbo => self.turbo(shown.better, patience),
        }
        self.side = self.side.min(LARGEST * self.first);
    }

    /// Where nothing new was found.
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

/// The rounds without a better score after which TuRBO halves a side, for latents of `elements` numbers and `count`
/// evaluations a round.
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
            true, true, true, // held at twice the first
            false, false, false, false, // four in a row
            false, false, true, false, false, false, false, // and four after a success
        ];
        let by_hand = [
            1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0,
            1.0, 1.0, 0.5,
        ];
        let rounds: Vec<_> = better.iter().map(|&better| (0.0, better)).collect();
        assert_eq!(trace(LengthRule::Turbo, &rounds), by_hand);
        // eight halvings go below 2^-7: from the start again
        let restart = trace(LengthRule::Turbo, &[(0.0, false); 32]);
        assert_eq!((restart[27], restart[31]), (1.0 / 128.0, 1.0));
        assert_eq!(
            [(512, 10), (1280, 50), (8, 10)].map(|(d, n)| patience(d, n)),
            [20, 20, 4]
        );
    }
}
