//! Energy distance of two samples and its permutation test.

use super::relabelling::{Pairs, Sums, euclidean, null_interval, p_value};
use crate::random::Streams;

/// Result of the energy test.
#[derive(Debug, Clone, PartialEq)]
pub struct EnergyTest {
    /// The energy distance `2 E|y - x| - E|y - y'| - E|x - x'|` (Szekely & Rizzo 2013) of the empirical
    /// distributions: never negative, zero only for equal samples.
    pub energy_distance: f64,
    /// Its expectation if the first sample were drawn from the second's distribution.
    pub of_fresh_sample: f64,
    /// Unbiased estimate of the distance between the distributions; it does not grow with the number of points, and
    /// scatters around zero if they are equal.
    pub unbiased: f64,
    /// Central 95 % interval under random permutations.
    pub null: [f64; 2],
    /// The share of permutations with a distance at least as large: small if the samples differ.
    pub p_value: f64,
    /// A test of the spread from the same distances.
    pub spread: SpreadTest,
}

/// Test of a difference in spread, to which the energy distance is insensitive, as it grows with the square of a
/// small contraction.
#[derive(Debug, Clone, PartialEq)]
pub struct SpreadTest {
    /// Mean distance between rows of the first sample divided by that of the second: 1 for equal distributions,
    /// 0.95 if the first is shrunk by 5 %; 1 if all rows are equal.
    pub ratio: f64,
    /// The share of permutations whose ratio is at least as far from 1 in either direction.
    pub p_value: f64,
}

/// The logarithm of the ratio of two mean distances; 0 if all rows are equal, or there are no pairs.
fn log_ratio(first: f64, second: f64) -> f64 {
    match first == second || first.is_nan() || second.is_nan() {
        true => 0.0,
        false => (first / second).ln(),
    }
}

/// Compares `latents` [n, d] with `features` [m, d] by `permutations` permutations. Takes O((n + m)^2) memory and
/// O(permutations (n + m)^2) time: use at most a few thousand rows.
///
/// Every `group` latents form a group, such as the tokens of one row of data, and are permuted together, as are
/// every `group` features. With as many features as latents, the p-value is then that of the hypothesis that single
/// latents follow the features' distribution, however those of a group depend on each other.
pub fn energy_test(
    latents: &[f32],
    features: &[f32],
    width: usize,
    group: usize,
    permutations: usize,
    streams: Streams,
) -> EnergyTest {
    let distances = Pairs::new(latents, features, width, group, euclidean);
    energy_test_of(&distances, permutations, streams)
}

/// The same from known `distances`.
pub fn energy_test_of(distances: &Pairs, permutations: usize, streams: Streams) -> EnergyTest {
    let [n, m] = distances.rows();
    let biased =
        |sums: &Sums| 2.0 * sums.between / (n * m) - sums.within / (n * n) - sums.beyond / (m * m);
    let unbiased = |sums: &Sums| {
        let [within, beyond, between] = distances.unbiased_means(sums);
        2.0 * between - within - beyond
    };
    let spread = |sums: &Sums| {
        let [within, beyond, _] = distances.unbiased_means(sums);
        log_ratio(within, beyond)
    };
    let given = distances.given();
    let all = |sums: &Sums| ((biased(sums), unbiased(sums)), spread(sums).abs());
    let relabelled = distances.relabelled(permutations, streams, all);
    let (energies, of_spreads): (Vec<(f64, f64)>, Vec<f64>) = relabelled.into_iter().unzip();
    let (of_samples, of_laws): (Vec<f64>, Vec<f64>) = energies.into_iter().unzip();
    EnergyTest {
        spread: SpreadTest {
            ratio: spread(&given).exp(),
            p_value: p_value(spread(&given).abs(), &of_spreads),
        },
        energy_distance: biased(&given),
        of_fresh_sample: (1.0 / n + 1.0 / m) * distances.mean_of_second(),
        unbiased: unbiased(&given),
        null: null_interval(of_laws),
        p_value: p_value(biased(&given), &of_samples),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaussian(seed: u64, n: usize, shift: f32, scale: f32) -> Vec<f32> {
        let rows = Streams::new(seed).normal("test", 0, 2 * n);
        rows.into_iter().map(|x| shift + scale * x).collect()
    }

    fn test(latents: &[f32], features: &[f32]) -> EnergyTest {
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

    /// Fails if points are permuted one by one: the four equal tokens of a row would then count as four rows, and
    /// more than half of the fresh samples would be rejected.
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

    /// Fails if a ratio is inverted, a p-value is one-sided, or the test reacts to a shift.
    #[test]
    fn a_contraction_and_its_opposite_are_seen_by_the_spread_and_a_shift_is_not() {
        let features = gaussian(1, 400, 0.0, 1.0);
        let spread = |shift, scale| test(&gaussian(0, 400, shift, scale), &features).spread;
        for scale in [0.8, 1.25f32] {
            let found = spread(0.0, scale);
            let off = (found.ratio / f64::from(scale) - 1.0).abs();
            assert!(off < 0.1 && found.p_value == 0.01, "{found:?}");
        }
        let shifted = spread(3.0, 1.0);
        assert!(
            shifted.p_value > 0.01 && (shifted.ratio - 1.0).abs() < 0.1,
            "{shifted:?}"
        );
        let equal = test(&[1.0; 40], &[1.0; 40]).spread;
        assert_eq!((equal.ratio, equal.p_value), (1.0, 1.0));
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
