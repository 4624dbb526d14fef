//! The energy distance in one dimension, computed by sorting instead of pairwise distances.

/// Distance between the marginals of two samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Marginal {
    /// `2 E|y - x| - E|y - y'| - E|x - x'|`, which is twice the integral of the squared difference of
    /// the distribution functions (Székely & Rizzo 2013).
    pub energy_distance: f64,
    /// Its expectation if the first sample were drawn from the second's distribution.
    pub of_fresh_sample: f64,
}

/// Compares `latents` with `features`, both finite and not empty. Takes O(n log n) time.
pub fn marginal_distance(latents: &[f64], features: &[f64]) -> Marginal {
    let (n, m) = (latents.len() as f64, features.len() as f64);
    let steps = |values: &[f64], own: bool| -> Vec<(f64, bool)> {
        values.iter().map(|v| (*v, own)).collect()
    };
    let mut all = steps(latents, true);
    all.extend(steps(features, false));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut integral, mut mean_distance) = ((0.0, 0.0), 0.0, 0.0);
    for pair in all.windows(2) {
        if pair[0].1 {
            below.0 += 1.0;
        } else {
            below.1 += 1.0;
        }
        let length = pair[1].0 - pair[0].0;
        let difference: f64 = below.0 / n - below.1 / m;
        integral += length * difference * difference;
        // E|x - x'| over distinct pairs is 2 sum of F (1 - F) with counts, over m (m - 1)
        mean_distance += 2.0 * length * below.1 * (m - below.1) / (m * (m - 1.0).max(1.0));
    }
    Marginal {
        energy_distance: 2.0 * integral,
        of_fresh_sample: (1.0 / n + 1.0 / m) * mean_distance,
    }
}

#[cfg(test)]
mod tests {
    use super::super::energy_test;
    use super::*;
    use crate::random::Streams;

    #[test]
    fn it_is_the_energy_distance_of_points_on_a_line() {
        let streams = Streams::new(0);
        let latents = streams.normal("latents", 0, 150);
        let features: Vec<f32> = (streams.normal("features", 0, 200).into_iter())
            .map(|x| 0.5 * x + 0.3)
            .collect();
        let pairs = energy_test(&latents, &features, 1, 1, 1, streams);
        let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
        let found = marginal_distance(&wide(&latents), &wide(&features));
        assert!((found.energy_distance - pairs.energy_distance).abs() < 1e-6);
        assert!((found.of_fresh_sample - pairs.of_fresh_sample).abs() < 1e-6);
        assert!(found.energy_distance > 3.0 * found.of_fresh_sample);
    }

    #[test]
    fn equal_samples_have_no_distance() {
        let found = marginal_distance(&[1.0, 2.0, 2.0], &[2.0, 1.0, 2.0]);
        assert_eq!(found.energy_distance, 0.0);
    }
}
