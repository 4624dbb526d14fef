//! Whether two samples follow one distribution: the energy distance and its permutation test.

use crate::random::Streams;
use rand::seq::SliceRandom;
use rayon::prelude::*;

/// What the energy test says of two samples.
#[derive(Debug, Clone, PartialEq)]
pub struct TwoSample {
    /// The energy distance `2 E|y - x| - E|y - y'| - E|x - x'|` (Szekely & Rizzo 2013) of the samples
    /// as they are: never negative, zero only for equal samples.
    pub energy_distance: f64,
    /// Its expectation if the first sample were a fresh one of the second's distribution.
    pub of_fresh_sample: f64,
    /// The share of random relabellings whose distance is at least as large: small if the samples
    /// differ.
    pub p_value: f64,
}

/// Compares `latents` [n, d] with `features` [m, d] by `permutations` relabellings. Takes
/// O((n + m)^2) memory and O(permutations (n + m)^2) time: give at most a few thousand rows.
///
/// Every `group` latents belong together, such as the tokens of one row of data, and are relabelled
/// together, as are every `group` features: with as many features as latents the p-value is then that
/// of latents that follow the features' distribution one by one, however those of a group depend on each
/// other.
pub fn energy_test(
    latents: &[f32],
    features: &[f32],
    width: usize,
    group: usize,
    permutations: usize,
    streams: Streams,
) -> TwoSample {
    let rows: Vec<&[f32]> = latents
        .chunks(width)
        .chain(features.chunks(width))
        .collect();
    let (n, total) = (latents.len() / width, rows.len());
    assert!(n.is_multiple_of(group) && total.is_multiple_of(group));
    let m = total - n;
    let distances: Vec<f32> = (rows.par_iter())
        .flat_map_iter(|x| rows.iter().map(|y| distance(x, y)))
        .collect(); // [n + m, n + m]
    // collected in order before each sum, so that the result does not depend on the threads
    let row_sums: Vec<f64> = (distances.par_chunks(total))
        .map(|row| row.iter().map(|&d| f64::from(d)).sum())
        .collect();
    let all: f64 = row_sums.iter().sum();
    let of = |first: &[usize]| {
        let within: f64 = (first.iter())
            .map(|&i| {
                let row = &distances[i * total..(i + 1) * total];
                first.iter().map(|&j| f64::from(row[j])).sum::<f64>()
            })
            .sum();
        let touched: f64 = first.iter().map(|&i| row_sums[i]).sum();
        let between = touched - within;
        let beyond = all - within - 2.0 * between;
        let (n, m) = (n as f64, m as f64);
        2.0 * between / (n * m) - within / (n * n) - beyond / (m * m)
    };
    let given: Vec<usize> = (0..n).collect();
    let energy_distance = of(&given);
    let as_large = (0..permutations as u64)
        .into_par_iter()
        .filter(|&permutation| {
            let mut groups: Vec<usize> = (0..total / group).collect();
            let mut rng = streams.at("permutation", permutation);
            let (first, _) = groups.partial_shuffle(&mut rng, n / group);
            first.sort_unstable();
            let labels = first.iter().flat_map(|g| g * group..(g + 1) * group);
            of(&labels.collect::<Vec<_>>()) >= energy_distance
        })
        .count();
    let among_features: f64 = (n..total)
        .map(|i| {
            let row = &distances[i * total + n..(i + 1) * total];
            row.iter().map(|&d| f64::from(d)).sum::<f64>()
        })
        .sum();
    let mean_distance = among_features / (m * (m - 1)) as f64;
    TwoSample {
        energy_distance,
        of_fresh_sample: (1.0 / n as f64 + 1.0 / m as f64) * mean_distance,
        p_value: (as_large + 1) as f64 / (permutations + 1) as f64,
    }
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    (a.iter().zip(b))
        .map(|(a, b)| (a - b).powi(2))
        .sum::<f32>()
        .sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaussian(seed: u64, n: usize, shift: f32, scale: f32) -> Vec<f32> {
        let rows = Streams::new(seed).normal("test", 0, 2 * n);
        rows.into_iter().map(|x| shift + scale * x).collect()
    }

    fn test(latents: &[f32], features: &[f32]) -> TwoSample {
        energy_test(latents, features, 2, 1, 99, Streams::new(0))
    }

    #[test]
    fn fresh_samples_have_the_expected_distance_and_spread_p_values() {
        let (mut ratio, mut p_values) = (0.0, Vec::new());
        for seed in 0..20 {
            let found = test(
                &gaussian(2 * seed, 150, 0.0, 1.0),
                &gaussian(2 * seed + 1, 200, 0.0, 1.0),
            );
            ratio += found.energy_distance / found.of_fresh_sample / 20.0;
            p_values.push(found.p_value);
        }
        assert!((ratio - 1.0).abs() < 0.35, "{ratio}");
        let mean = p_values.iter().sum::<f64>() / 20.0;
        assert!((0.3..0.7).contains(&mean), "{mean}");
    }

    #[test]
    fn a_shift_and_a_contraction_are_found_out() {
        let features = gaussian(1, 200, 0.0, 1.0);
        for latents in [gaussian(0, 200, 0.5, 1.0), gaussian(0, 200, 0.0, 0.5)] {
            let found = test(&latents, &features);
            assert_eq!(found.p_value, 0.01, "{found:?}");
            assert!(
                found.energy_distance > 3.0 * found.of_fresh_sample,
                "{found:?}"
            );
        }
    }

    /// Red where points are relabelled one by one: the four tokens of a row, all equal, then count as
    /// four rows, and more than half of the fresh samples are rejected.
    #[test]
    fn tokens_that_repeat_each_other_do_not_count_as_many() {
        let rejected = (0..100)
            .filter(|&seed| {
                let rows = gaussian(2 * seed, 60, 0.0, 1.0);
                let latents: Vec<f32> = rows.chunks(2).flat_map(|row| row.repeat(4)).collect();
                let features = gaussian(2 * seed + 1, 240, 0.0, 1.0);
                let streams = Streams::new(seed);
                energy_test(&latents, &features, 2, 4, 99, streams).p_value <= 0.05
            })
            .count();
        assert!((1..=12).contains(&rejected), "{rejected}");
    }

    #[test]
    fn the_distance_of_shifted_gaussians_has_its_known_value() {
        // In one dimension 2 E|x + a - y| - 2 E|x - y| with a large shift a tends to 2a - 4/sqrt(pi).
        let line = |seed, shift: f32| -> Vec<f32> {
            let rows = Streams::new(seed).normal("test", 0, 2000);
            rows.into_iter().map(|x| x + shift).collect()
        };
        let found = energy_test(&line(0, 10.0), &line(1, 0.0), 1, 1, 1, Streams::new(0));
        let expected = 20.0 - 4.0 / std::f64::consts::PI.sqrt();
        assert!((found.energy_distance - expected).abs() < 0.2, "{found:?}");
    }
}
