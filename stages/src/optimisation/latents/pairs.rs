//! Position-independent features of sequences: counts of each token, and of each pair of tokens a few positions
//! apart.
//!
//! An inserted or deleted token shifts the positions of all tokens after it, but changes few of these counts.
//! Square roots of counts are hashed with random signs into a fixed number of values each (count sketch: Charikar
//! et al., "Finding Frequent Items in Data Streams", 2002), so that squared distances are unbiased.

use crate::gaussian_process::Points;
use crate::sequences::Sequence;
use std::collections::BTreeMap;

/// The largest distance of the two tokens of a pair.
const REACH: usize = 6;
/// Sketch width for the counts of tokens, and for those of pairs at each distance.
const WIDTH: usize = 128;

/// The counts of sequences as points: token counts, and pair counts at each distance, are one token of the point
/// each.
#[derive(Debug, Clone)]
pub(super) struct Pairs {
    /// The divisor of each.
    scales: [f64; REACH + 1],
}

impl Pairs {
    /// Scaled so that the numbers of `sequences` have a mean variance of 1.
    pub fn of(sequences: &[&Sequence]) -> Self {
        let rows: Vec<Vec<f32>> = sequences.iter().map(|sequence| counts(sequence)).collect();
        let mut scales = [1.0; REACH + 1];
        for (group, scale) in scales.iter_mut().enumerate() {
            let of = |column: usize| rows.iter().map(move |row| f64::from(row[column]));
            let count = rows.len().max(1) as f64;
            let variances = (group * WIDTH..(group + 1) * WIDTH).map(|column| {
                let mean = of(column).sum::<f64>() / count;
                of(column).map(|value| (value - mean).powi(2)).sum::<f64>() / count
            });
            let variance = variances.sum::<f64>() / WIDTH as f64;
            if variance > 0.0 {
                *scale = variance.sqrt();
            }
        }
        Self { scales }
    }

    /// The points of `sequences`.
    pub fn points<'a>(&self, sequences: impl Iterator<Item = &'a Sequence>) -> Points {
        let mut rows = Vec::new();
        for sequence in sequences {
            let row = counts(sequence).into_iter().enumerate();
            rows.extend(row.map(|(i, value)| (f64::from(value) / self.scales[i / WIDTH]) as f32));
        }
        Points::new(&rows, REACH + 1, WIDTH)
    }
}

/// [(REACH + 1) WIDTH].
fn counts(sequence: &[u32]) -> Vec<f32> {
    let mut times: BTreeMap<(usize, u32, u32), f32> = BTreeMap::new();
    for (place, &token) in sequence.iter().enumerate() {
        *times.entry((0, token, 0)).or_default() += 1.0;
        for (apart, &other) in (1..=REACH).zip(&sequence[place + 1..]) {
            *times.entry((apart, token, other)).or_default() += 1.0;
        }
    }
    let mut row = vec![0.0; (REACH + 1) * WIDTH];
    for ((apart, token, other), times) in times {
        let hash = mixed(u64::from(token) << 32 | u64::from(other));
        let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
        row[apart * WIDTH + hash as usize % WIDTH] += sign * times.sqrt();
    }
    row
}

/// The finaliser of SplitMix64.
fn mixed(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::{mean, variance_of_mean};
    use crate::random::Streams;
    use rand::RngExt;

    fn square(a: &[u32], b: &[u32]) -> f32 {
        let pairs = counts(a).into_iter().zip(counts(b));
        pairs.map(|(a, b)| (a - b).powi(2)).sum()
    }

    /// Fails if positions matter, since a token inserted in front shifts all others; or if two tokens can be
    /// exchanged without effect.
    #[test]
    fn what_moves_by_a_place_stays_near_and_another_order_does_not() {
        let mut rng = Streams::new(1).at("pairs", 0);
        let random: Vec<u32> = (0..40).map(|_| rng.random_range(1..30)).collect();
        let other: Vec<u32> = (0..40).map(|_| rng.random_range(1..30)).collect();
        let moved = [&[7], &random[..]].concat();
        let far = square(&random, &other);
        assert!(square(&random, &moved) < 0.1 * far);
        let turned: Vec<u32> = random.iter().rev().copied().collect();
        assert_eq!(counts(&random)[..WIDTH], counts(&turned)[..WIDTH]);
        assert!(square(&random, &turned) > 0.5 * far);
    }

    #[test]
    fn numbers_have_a_variance_of_1() {
        let mut rng = Streams::new(1).at("pairs", 1);
        let mut sequence = || -> Sequence { (0..20).map(|_| rng.random_range(1..20)).collect() };
        let sequences: Vec<Sequence> = (0..50).map(|_| sequence()).collect();
        let all: Vec<&Sequence> = sequences.iter().collect();
        let scales = Pairs::of(&all).scales;
        for (group, scale) in scales.into_iter().enumerate() {
            let numbers = |column: usize| {
                let of = move |sequence: &&Sequence| f64::from(counts(sequence)[column]) / scale;
                let numbers: Vec<f64> = all.iter().map(of).collect();
                variance_of_mean(&numbers) * numbers.len() as f64
            };
            let variances: Vec<f64> = (group * WIDTH..(group + 1) * WIDTH).map(numbers).collect();
            // the sample variance is 50 / 49 times that of the population
            assert!((mean(&variances) - 50.0 / 49.0).abs() < 1e-6, "{group}");
        }
        let points = Pairs { scales }.points(sequences.iter());
        assert_eq!(
            (points.tokens(), points.width(), points.count()),
            (7, 128, 50)
        );
    }
}
