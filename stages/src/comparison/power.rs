//! Power of the energy test, without which a high p-value means nothing.

use super::collapse::spectrum;
use super::energy::energy_test;
use crate::random::Streams;
use rand::seq::SliceRandom as _;

const REPETITIONS: u64 = 20;
/// Permutations per p-value.
const PERMUTATIONS: usize = 99;
const LEVEL: f64 = 0.05;
/// The shift to detect, in standard deviations per dimension.
const SHIFT: f64 = 0.5;
/// Maximum number of points; more would only increase the power.
const AT_MOST: usize = 100;

/// The share of 20 repetitions in which the energy test at level 5 % distinguishes features from other features
/// shifted by half a standard deviation in every dimension. `features` are [m, d]; samples have `points` of
/// them, at most 100 and at most m / 2. The power of the test with `points` is no less.
pub fn power(features: &[f32], width: usize, points: usize, streams: Streams) -> f64 {
    let rows = features.len() / width;
    let points = points.min(AT_MOST).min(rows / 2);
    if points < 2 {
        return 0.0;
    }
    let variance = spectrum(features, width).variance;
    let shift: Vec<f32> = variance.iter().map(|v| (SHIFT * v.sqrt()) as f32).collect();
    let found = (0..REPETITIONS).filter(|&repetition| {
        let mut order: Vec<usize> = (0..rows).collect();
        order.shuffle(&mut streams.at("power", repetition));
        let row = |i: &usize| features[i * width..(i + 1) * width].iter().copied();
        let one: Vec<f32> = order[..points].iter().flat_map(row).collect();
        let other = order[points..2 * points].iter().flat_map(row);
        let other: Vec<f32> = (other.zip(shift.iter().cycle()))
            .map(|(x, s)| x + s)
            .collect();
        energy_test(&other, &one, width, 1, PERMUTATIONS, streams).p_value <= LEVEL
    });
    found.count() as f64 / REPETITIONS as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt as _;

    #[test]
    fn many_points_have_power_and_few_have_none() {
        let streams = Streams::of_stage("test", 3);
        let mut rng = streams.at("features", 0);
        let features: Vec<f32> = (0..800).map(|_| rng.random::<f32>()).collect();
        assert!(power(&features, 2, 1000, streams) >= 0.9);
        assert!(power(&features, 2, 4, streams) < 0.5);
        assert!(power(&features[..16], 2, 1000, streams) < 0.5);
        assert_eq!(power(&features[..4], 2, 1000, streams), 0.0);
    }
}
