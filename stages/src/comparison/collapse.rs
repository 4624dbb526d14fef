//! Diagnostics of collapse: the alignment loss has no entropy term, so latents may gather at the modes
//! of the target and still have a low loss.

use nalgebra::{DMatrix, SymmetricEigen};
use rayon::prelude::*;

/// Statistics of one set of points.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectrum {
    /// Variance per dimension.
    pub variance: Vec<f64>,
    /// `exp(entropy of the covariance's normalised eigenvalues)` (Roy & Vetterli 2007), between 1
    /// and d.
    pub effective_rank: f64,
}

/// Neighbours that define a coverage ball.
const NEIGHBOURS: usize = 5;

/// Variance and effective rank of `points` [n, d].
pub fn spectrum(points: &[f32], width: usize) -> Spectrum {
    let covariance = covariance(points, width);
    Spectrum {
        variance: (0..width).map(|i| covariance[(i, i)]).collect(),
        effective_rank: effective_rank(covariance),
    }
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    (a.iter().zip(b))
        .map(|(a, b)| f64::from(a - b).powi(2))
        .sum::<f64>()
        .sqrt()
}

/// The share of `features` [m, d] with at least one of `latents` [n, d] within their k-nearest-neighbour
/// ball (Naeem et al. 2020, arXiv 2002.09797), k = 5; 1 - 2^-5 = 0.97 for a fresh sample of equal size.
/// Takes O(m (n + m) d) time.
pub fn coverage(latents: &[f32], features: &[f32], width: usize) -> f64 {
    let m = features.len() / width;
    let covered = (features.par_chunks(width))
        .filter(|x| {
            let mut distances: Vec<f64> = features.chunks(width).map(|y| distance(x, y)).collect();
            let k = NEIGHBOURS.min(m - 1); // index 0 is the point itself
            let radius = *distances.select_nth_unstable_by(k, f64::total_cmp).1;
            latents.chunks(width).any(|y| distance(x, y) <= radius)
        })
        .count();
    covered as f64 / m as f64
}

fn covariance(rows: &[f32], width: usize) -> DMatrix<f64> {
    let n = rows.len() / width;
    let mut matrix = DMatrix::from_row_iterator(n, width, rows.iter().map(|&x| f64::from(x)));
    for mut column in matrix.column_iter_mut() {
        let mean = column.mean();
        column.add_scalar_mut(-mean);
    }
    matrix.transpose() * &matrix / (n - 1) as f64
}

fn effective_rank(covariance: DMatrix<f64>) -> f64 {
    let eigenvalues = SymmetricEigen::new(covariance).eigenvalues;
    let total: f64 = eigenvalues.iter().map(|l| l.max(0.0)).sum();
    if total == 0.0 {
        return 1.0;
    }
    let entropy: f64 = (eigenvalues.iter())
        .map(|l| l.max(0.0) / total)
        .filter(|p| *p > 0.0)
        .map(|p| -p * p.ln())
        .sum();
    entropy.exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    fn gaussian(seed: u64, n: usize, scales: [f32; 3]) -> Vec<f32> {
        let mut rows = Streams::new(seed).normal("test", 0, 3 * n);
        for row in rows.chunks_mut(3) {
            for (x, s) in row.iter_mut().zip(scales) {
                *x *= s;
            }
        }
        rows
    }

    #[test]
    fn a_fresh_sample_passes() {
        let covered = coverage(&gaussian(0, 800, [1.0; 3]), &gaussian(1, 800, [1.0; 3]), 3);
        assert!(covered > 0.93, "{covered}");
        assert!(spectrum(&gaussian(0, 800, [1.0; 3]), 3).effective_rank > 2.95);
    }

    #[test]
    fn a_collapsed_sample_is_found_out() {
        let collapsed = gaussian(0, 800, [0.05, 0.05, 0.0]);
        let covered = coverage(&collapsed, &gaussian(1, 800, [1.0; 3]), 3);
        let own = spectrum(&collapsed, 3);
        assert!(covered < 0.1, "{covered}");
        assert!((own.effective_rank - 2.0).abs() < 0.05, "{own:?}");
        assert!(own.variance[2] == 0.0 && (own.variance[0] - 0.0025).abs() < 5e-4);
    }
}
