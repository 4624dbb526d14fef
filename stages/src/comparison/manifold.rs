//! Precision and recall of samples (Kynkaanniemi et al. 2019, arXiv 1904.06991): the share of samples within the
//! neighbourhoods of real points, and of real points within the neighbourhoods of samples. A point's neighbourhood
//! is the ball to its k-th nearest neighbour in its own set.

use rayon::prelude::*;

/// The share of `points` within the neighbourhoods of `of`, both row-major of `width`; `of` has more than k points.
pub fn within_reach(points: &[f32], of: &[f32], width: usize, k: usize) -> f64 {
    let reach: Vec<f64> = (of.par_chunks(width).enumerate())
        .map(|(i, a)| {
            let others = (of.chunks(width).enumerate()).filter(|(j, _)| *j != i);
            let mut distances: Vec<f64> = others.map(|(_, b)| squared(a, b)).collect();
            let (_, at, _) = distances.select_nth_unstable_by(k - 1, f64::total_cmp);
            *at
        })
        .collect();
    let inside = (points.par_chunks(width))
        .filter(|point| {
            let mut balls = of.chunks(width).zip(&reach);
            balls.any(|(centre, &reach)| squared(point, centre) <= reach)
        })
        .count();
    inside as f64 / (points.len() / width) as f64
}

fn squared(a: &[f32], b: &[f32]) -> f64 {
    let squares = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2));
    squares.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails if a point counts as its own neighbour, or the sets are swapped.
    #[test]
    fn reach_is_to_the_kth_neighbour_of_the_other_set() {
        // on a line: radii to the 1st neighbour are 1, 1, 8; to the 2nd 9, 8, 9
        let of = [0.0, 1.0, 9.0];
        let points = [-1.0, -1.5, 1.9, 17.0, 17.5];
        assert_eq!(within_reach(&points, &of, 1, 1), 3.0 / 5.0);
        // to the 2nd: 9, 8, 9
        assert_eq!(
            within_reach(&[-9.0, -9.5, 18.0, 18.5], &of, 1, 2),
            2.0 / 4.0
        );
        // precision and recall differ: samples of one of two modes
        let (real, samples) = ([0.0, 0.1, 5.0, 5.1], [0.02, 0.05, 0.08]);
        assert_eq!(within_reach(&samples, &real, 1, 1), 1.0);
        assert_eq!(within_reach(&real, &samples, 1, 2), 0.5);
    }
}
