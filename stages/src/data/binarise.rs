//! Binary data drawn with grey values as probabilities.

use crate::random::Streams;
use rand::RngExt;
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When to draw binary data from values, which are the probabilities of 1. Held-out and test rows are always drawn
/// once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Binarise {
    /// Once, keyed by the seed: an item has the same binary values in every epoch.
    Once,
    /// Anew in each epoch: a model cannot memorise the noise of one draw (Burda et al. 2016, arXiv 1509.00519).
    EachEpoch,
}

/// Draws binary data.
#[derive(Debug, Clone, Copy)]
pub struct Binariser {
    when: Binarise,
    streams: Streams,
}

impl Binariser {
    /// With draws as configured by `when`, from `streams`.
    pub fn new(when: Binarise, streams: Streams) -> Self {
        Self { when, streams }
    }

    /// Makes `rows` with values in [0, 1] binary, once for all, keyed by their `items`.
    pub fn of_items(&self, items: &[usize], rows: &mut [f32]) {
        let width = rows.len() / items.len().max(1);
        for (item, row) in items.iter().zip(rows.chunks_mut(width.max(1))) {
            draw(row, &mut self.streams.at("binary items", *item as u64));
        }
    }

    /// Makes the `rows` of a training `step` binary, once for all or for this step only.
    pub fn of_step(&self, step: u64, items: &[usize], rows: &mut [f32]) {
        match self.when {
            Binarise::Once => self.of_items(items, rows),
            // each epoch visits each row once
            Binarise::EachEpoch => draw(rows, &mut self.streams.at("binary steps", step)),
        }
    }
}

/// Replaces each of `values` by 1 with that probability, else by 0.
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

    /// Fails if a value is not its own probability, or a value of 0 or 1 can change.
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

    /// Fails if single draws depend on the step, on neighbouring rows or not on the seed, or draws per epoch do not
    /// change.
    #[test]
    fn once_is_by_seed_and_item_and_each_epoch_by_step() {
        use Binarise::{EachEpoch, Once};
        let first = of_step(Once, 1, 0, &ITEMS);
        assert_eq!(first, of_step(Once, 1, 9, &ITEMS));
        assert_ne!(first, of_step(Once, 2, 0, &ITEMS));
        // all items have the same values: draws of an item do not depend on its position
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
