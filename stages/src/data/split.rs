//! The part of each item: a seeded decision per item, or given by a list or dataset.

use crate::random::keyed::{Purpose, mix, unit};
use serde::Serialize;
use std::ops::Range;
use std::sync::Arc;

/// A part of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Items the flow or the autoencoder trains on.
    Train,
    /// Held-out items, used for selection: learning curves, the best checkpoint, and a sweep's
    /// objective.
    HeldOut,
    /// Test items, never used for selection; for reported figures.
    Test,
}

impl Part {
    /// All parts, in the order of their stored values 0, 1, 2.
    pub const ALL: [Self; 3] = [Self::Train, Self::HeldOut, Self::Test];

    /// Name in figures and messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Train => "training",
            Self::HeldOut => "held-out",
            Self::Test => "test",
        }
    }

    /// Name in datasets and keys.
    pub fn key(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::HeldOut => "held_out",
            Self::Test => "test",
        }
    }
}

/// A split by item: the tokens of an item stay together. By default, an item's part is drawn by a hash
/// of seed and item, so that it does not change when the file grows.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    seed: u64,
    held_out: f64,
    test: f64,
    /// Items of separate datasets.
    datasets: Vec<(Range<usize>, Part)>,
    /// Items of index lists, ascending.
    listed: Arc<Vec<(usize, Part)>>,
    /// Items that equal an earlier one of another part, ascending, with that part.
    moved: Arc<Vec<(usize, Part)>>,
}

impl Split {
    /// Holds out each item with probability `held_out`; there is no test part.
    pub fn new(seed: u64, held_out: f64) -> Self {
        Self::drawn(seed, held_out, 0.0)
    }

    /// Holds out each item with probability `held_out`, and puts it into the test part with
    /// probability `test`.
    pub fn drawn(seed: u64, held_out: f64, test: f64) -> Self {
        Self {
            seed,
            held_out,
            test,
            datasets: Vec::new(),
            listed: Arc::default(),
            moved: Arc::default(),
        }
    }

    /// With these items assigned explicitly; `listed` is ascending without repetitions.
    pub(super) fn given(
        mut self,
        datasets: Vec<(Range<usize>, Part)>,
        listed: Vec<(usize, Part)>,
    ) -> Self {
        self.datasets = datasets;
        self.listed = Arc::new(listed);
        self
    }

    /// With each item of `moved`, ascending, assigned to its part.
    pub(super) fn with_moved(mut self, moved: Vec<(usize, Part)>) -> Self {
        self.moved = Arc::new(moved);
        self
    }

    /// The expected random shares of held-out and test items.
    pub(super) fn shares(&self) -> (f64, f64) {
        (self.held_out, self.test)
    }

    /// Whether `part` is given by a dataset or a list.
    pub(super) fn is_given(&self, part: Part) -> bool {
        self.datasets.iter().any(|(_, p)| *p == part) || self.listed.iter().any(|(_, p)| *p == part)
    }

    /// Whether any part is given.
    pub(super) fn has_given(&self) -> bool {
        !self.datasets.is_empty() || !self.listed.is_empty()
    }

    /// The part of `item` if given by a dataset or a list.
    #[inline]
    pub(super) fn given_part(&self, item: usize) -> Option<Part> {
        let of_dataset = self
            .datasets
            .iter()
            .find(|(items, _)| items.contains(&item));
        (of_dataset.map(|(_, part)| *part)).or_else(|| found(&self.listed, item))
    }

    /// Whether `item` is held out.
    #[inline]
    pub fn is_held_out(&self, item: usize) -> bool {
        self.part(item) == Part::HeldOut
    }

    /// The part of `item`: given, or else by hash(seed, item), uniform on [0, 1): held out below the
    /// first share, test below the sum of both.
    #[inline]
    pub fn part(&self, item: usize) -> Part {
        if let Some(part) = self.given_part(item).or_else(|| found(&self.moved, item)) {
            return part;
        }
        let place = unit(mix(self.seed, Purpose::Split, &[item as u64]));
        if place < self.held_out {
            Part::HeldOut
        } else if place < self.held_out + self.test {
            Part::Test
        } else {
            Part::Train
        }
    }
}

#[inline]
fn found(list: &[(usize, Part)], item: usize) -> Option<Part> {
    if list.is_empty() {
        return None;
    }
    let at = list.binary_search_by_key(&item, |entry| entry.0).ok()?;
    Some(list[at].1)
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

    #[test]
    fn a_test_part_takes_half_of_what_was_held_out_and_leaves_the_training_rows_as_they_were() {
        for whole in [0.1, 0.2] {
            let (two, three) = (
                Split::new(3, whole),
                Split::drawn(3, whole / 2.0, whole / 2.0),
            );
            let trained = |split: &Split| -> Vec<usize> {
                (0..20_000)
                    .filter(|&i| split.part(i) == Part::Train)
                    .collect()
            };
            assert_eq!(trained(&two), trained(&three));
            let count = |part| (0..20_000).filter(|&i| three.part(i) == part).count() as f64;
            let (held_out, test) = (count(Part::HeldOut), count(Part::Test));
            let expected = 10_000.0 * whole;
            assert!(
                (held_out - expected).abs() < 150.0 && (test - expected).abs() < 150.0,
                "{held_out} {test}"
            );
        }
    }
}
