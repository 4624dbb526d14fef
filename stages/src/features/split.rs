//! The held-out split: a seeded decision per item that needs no list and no order.

use super::hash::{Purpose, mix, unit};
use serde::Serialize;

/// Which side of the split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Items the flow or the autoencoder trains on.
    Train,
    /// Items kept for evaluation.
    HeldOut,
}

/// A seeded, stateless split by item: the tokens of one item stay together, and an item stays where
/// it is when the file grows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Split {
    seed: u64,
    fraction: f64,
}

impl Split {
    /// Holds out each item with probability `fraction`.
    pub fn new(seed: u64, fraction: f64) -> Self {
        Self { seed, fraction }
    }

    /// The share of items held out, in expectation.
    pub fn fraction(&self) -> f64 {
        self.fraction
    }

    /// True if hash(seed, item), uniform on [0, 1), is below the fraction.
    #[inline]
    pub fn is_held_out(&self, item: usize) -> bool {
        unit(mix(self.seed, Purpose::Split, &[item as u64])) < self.fraction
    }

    /// The side of `item`.
    #[inline]
    pub fn part(&self, item: usize) -> Part {
        if self.is_held_out(item) {
            Part::HeldOut
        } else {
            Part::Train
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_the_fraction_and_the_seed_decides_which() {
        let held = |seed| -> Vec<usize> {
            let split = Split::new(seed, 0.1);
            (0..100_000).filter(|&i| split.is_held_out(i)).collect()
        };
        let (a, b) = (held(1), held(2));
        // Binomial(1e5, 0.1): standard deviation 95.
        assert!((9_600..10_400).contains(&a.len()), "{}", a.len());
        assert_eq!(a, held(1));
        let both = a.iter().filter(|i| b.binary_search(i).is_ok()).count();
        assert!(
            (850..1150).contains(&both),
            "splits of two seeds must be independent: {both}"
        );
    }

    #[test]
    fn fraction_zero_holds_nothing_out() {
        let split = Split::new(7, 0.0);
        assert!((0..1000).all(|i| split.part(i) == Part::Train));
    }
}
