//! Maximum mean discrepancy of two samples and its permutation test.

use super::relabelling::{Pairs, Sums, null_interval, p_value};
use crate::random::Streams;

/// Result of the kernel test.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelTest {
    /// The unbiased estimate of the squared maximum mean discrepancy (Gretton et al. 2012, eq. 3) with the kernel
    /// `exp(-|x - y|^2 / (2 h^2))`: from about 0 for equal distributions to 2, for any number of points.
    pub squared_mmd: f64,
    /// Central 95 % interval under random permutations.
    pub null: [f64; 2],
    /// The share of permutations with a value at least as large.
    pub p_value: f64,
    /// h: the median distance between rows of the pooled samples.
    pub bandwidth: f64,
}

/// Compares two samples from the `distances` between their rows, by `permutations` permutations of whole groups.
/// Pairs within a group are ignored. Takes O((n + m)^2) memory and O(permutations (n + m)^2) time.
pub fn kernel_test(distances: &Pairs, permutations: usize, streams: Streams) -> KernelTest {
    let mut of_pairs: Vec<f32> = distances.of_different_rows().collect();
    let middle = of_pairs.len() / 2;
    let bandwidth = match of_pairs.is_empty() {
        true => 0.0,
        false => *of_pairs.select_nth_unstable_by(middle, f32::total_cmp).1,
    };
    // all rows are equal: the bandwidth does not matter
    let wide = if bandwidth > 0.0 { bandwidth } else { 1.0 };
    let kernel = distances.map(|distance| (-0.5 * (distance / wide).powi(2)).exp());
    let mmd = |sums: &Sums| {
        let [within, beyond, between] = kernel.unbiased_means(sums);
        within + beyond - 2.0 * between
    };
    let found = mmd(&kernel.given());
    let relabelled = kernel.relabelled(permutations, streams, mmd);
    KernelTest {
        squared_mmd: found,
        p_value: p_value(found, &relabelled),
        null: null_interval(relabelled),
        bandwidth: f64::from(bandwidth),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::relabelling::euclidean;

    fn test(latents: &[f32], features: &[f32], width: usize, permutations: usize) -> KernelTest {
        let distances = Pairs::new(latents, features, width, 1, euclidean);
        kernel_test(&distances, permutations, Streams::new(0))
    }

    fn gaussian(seed: u64, n: usize, shift: f32) -> Vec<f32> {
        let rows = Streams::new(seed).normal("kernel test", 0, n);
        rows.into_iter().map(|x| shift + x).collect()
    }

    /// With the kernel of width h, `E k(x, y)` of N(0, 1) and N(a, 1) in one dimension is
    /// `h / sqrt(h^2 + 2) exp(-a^2 / (2 (h^2 + 2)))`. Fails if the bandwidth is squared or halved.
    #[test]
    fn the_discrepancy_of_shifted_gaussians_has_its_known_value() {
        let (latents, features) = (gaussian(0, 1500, 1.0), gaussian(1, 1500, 0.0));
        let found = test(&latents, &features, 1, 1);
        let wide = found.bandwidth.powi(2) + 2.0;
        let expected = 2.0 * found.bandwidth / wide.sqrt() * (1.0 - (-0.5 / wide).exp());
        assert!(
            (found.squared_mmd - expected).abs() < 0.012,
            "{found:?} {expected}"
        );
        assert_eq!(found.p_value, 0.5);
    }

    #[test]
    fn equal_rows_are_not_told_apart() {
        let found = test(&[1.0; 40], &[1.0; 40], 2, 19);
        assert_eq!((found.squared_mmd, found.p_value), (0.0, 1.0));
    }
}
