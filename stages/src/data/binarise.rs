//! Grey values as probabilities: the binary data that is drawn from them.

use crate::random::Streams;
use rand::RngExt;
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When the binary data is drawn whose probabilities of 1 the values are. What is not trained on is always drawn once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Binarise {
    /// Once, by the seed: an item is the same binary one in every epoch.
    Once,
    /// Anew in each epoch: a model cannot learn the noise of one draw by heart (Burda et al. 2016, arXiv 1509.00519).
    EachEpoch,
}

/// The draws.
#[derive(Debug, Clone, Copy)]
pub struct Binariser {
    when: Binarise,
    streams: Streams,
}

impl Binariser {
    /// Draws as `when` says, from `streams`.
    pub fn new(when: Binarise, streams: Streams) -> Self {
        Self { when, streams }
    }

    /// Makes `rows` of values in [0, 1] binary, as many numbers each, once for all: each by its item of `items`.
    pub fn of_items(&self, items: &[usize], rows: &mut [f32]) {
        let width = rows.len() / items.len().max(1);
        for (item, row) in items.iter().zip(rows.chunks_mut(width.max(1))) {
            draw(row, &mut self.streams.at("binary items", *item as u64));
        }
    }

    /// Makes the `rows` of a training `step` binary, once for all or for this step alone.
    pub fn of_step(&self, step: u64, items: &[usize], rows: &mut [f32]) {
        match self.when {
            Binarise::Once => self.of_items(items, rows),
            // each epoch visits each row once
            Binarise::EachEpoch => draw(rows, &mut self.streams.at("binary steps", step)),
        }
    }
}

/// Makes each of `values` 1 with itself as the probability, else 0.
fn draw(values: &mut [f32], rng: &mut Pcg64) {
    for value in values {
        *value = f32::from(rng.random::<f32>() < *value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEMS: [usize; 3] = [4, 7, 900];
    const WIDTH: usize = 400;

    /// Values of 0, 1/4, 1/2, 3/4 and 1, in turn.
    fn grey() -> Vec<f32> {
        (0..ITEMS.len() * WIDTH)
            .map(|i| (i % 5) as f32 / 4.0)
            .collect()
    }

    fn of_step(when: Binarise, seed: u64, step: u64, items: &[usize]) -> Vec<f32> {
        let mut rows = grey();
        Binariser::new(when, Streams::new(seed)).of_step(step, items, &mut rows);
        rows
    }

    /// Red where a value is not its own probability, or one of 0 or 1 can change.
    #[test]
    fn values_are_the_probabilities_of_one() {
        for when in [Binarise::Once, Binarise::EachEpoch] {
            let mut ones = [0; 5];
            for step in 0..100 {
                let rows = of_step(when, step, step, &ITEMS);
                for (value, grey) in rows.iter().zip(grey()) {
                    assert!([0.0, 1.0].contains(value), "{value}");
                    ones[(grey * 4.0) as usize] += usize::from(*value == 1.0);
                }
            }
            let each = 100 * ITEMS.len() * WIDTH / 5;
            assert_eq!((ones[0], ones[4]), (0, each));
            for (level, ones) in ones.iter().enumerate() {
                let (expected, found) = (level as f64 / 4.0, *ones as f64 / each as f64);
                let error = (expected * (1.0 - expected) / each as f64).sqrt();
                assert!(
                    (found - expected).abs() < 5.0 * error + 1e-12,
                    "{level}: {found}"
                );
            }
        }
    }

    /// Red where what is drawn once depends on the step, on the rows beside it or not on the seed; and where what is drawn
    /// in each epoch stays.
    #[test]
    fn once_is_by_seed_and_item_and_each_epoch_by_step() {
        use Binarise::{EachEpoch, Once};
        let first = of_step(Once, 1, 0, &ITEMS);
        assert_eq!(first, of_step(Once, 1, 9, &ITEMS));
        assert_ne!(first, of_step(Once, 2, 0, &ITEMS));
        // the values of all items are alike: so are draws of one item, wherever it stands
        let turned = of_step(Once, 1, 0, &[7, 4, 900]);
        assert_eq!(first[..WIDTH], turned[WIDTH..2 * WIDTH]);
        assert_ne!(first[..WIDTH], first[WIDTH..2 * WIDTH]);

        let first = of_step(EachEpoch, 1, 0, &ITEMS);
        assert_eq!(first, of_step(EachEpoch, 1, 0, &ITEMS));
        assert_ne!(first, of_step(EachEpoch, 1, 1, &ITEMS));
        let mut unseen = grey();
        Binariser::new(EachEpoch, Streams::new(1)).of_items(&ITEMS, &mut unseen);
        assert_eq!(unseen, of_step(Once, 1, 5, &ITEMS));
    }
}
