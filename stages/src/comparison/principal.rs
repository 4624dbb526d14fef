//! The plane of the first two principal components of a set of points.

use crate::data::Moments;
use crate::error::{Error, Result};
use nalgebra::{DMatrix, SymmetricEigen};

/// A plane through the mean of a set of points.
#[derive(Debug, Clone, PartialEq)]
pub struct PrincipalPlane {
    mean: Vec<f64>,
    /// Unit vectors; the second is zero for points on a line.
    axes: [Vec<f64>; 2],
    /// The share of the set's variance along each axis.
    pub shares: [f64; 2],
}

impl PrincipalPlane {
    /// The plane of `rows` [n, width]. The largest entry of each axis is positive, so that equal sets
    /// have equal planes.
    ///
    /// # Errors
    /// A numerical error for fewer than two rows, or values that are not finite.
    pub fn of(rows: &[f32], width: usize) -> Result<Self> {
        if width == 0 || rows.len() < 2 * width {
            return Err(Error::Numerical(
                "principal components: expected at least two points".into(),
            ));
        }
        if !rows.iter().all(|v| v.is_finite()) {
            return Err(Error::Numerical(
                "principal components: found values that are not finite".into(),
            ));
        }
        let moments = Moments::of_rows(rows, width, true);
        let covariance = moments.covariance.expect("it was asked for");
        let eigen = SymmetricEigen::new(DMatrix::from_vec(width, width, covariance));
        let mut order: Vec<usize> = (0..width).collect();
        order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
        let total: f64 = eigen.eigenvalues.iter().map(|v| v.max(0.0)).sum();
        let axis = |rank: usize| match order.get(rank) {
            Some(i) => {
                let axis: Vec<f64> = eigen.eigenvectors.column(*i).iter().copied().collect();
                let largest = axis
                    .iter()
                    .copied()
                    .max_by(|a, b| a.abs().total_cmp(&b.abs()));
                let sign = largest.unwrap_or(1.0).signum();
                axis.into_iter().map(|v| v * sign).collect()
            }
            None => vec![0.0; width],
        };
        let share = |rank: usize| match order.get(rank) {
            Some(i) if total > 0.0 => eigen.eigenvalues[*i].max(0.0) / total,
            _ => 0.0,
        };
        Ok(Self {
            mean: moments.mean,
            axes: [axis(0), axis(1)],
            shares: [share(0), share(1)],
        })
    }

    /// Coordinates of the points `rows` [n, width] in the plane.
    pub fn project(&self, rows: &[f32]) -> Vec<(f64, f64)> {
        let along = |row: &[f32], axis: &[f64]| -> f64 {
            let centred = row.iter().zip(&self.mean).map(|(v, m)| f64::from(*v) - m);
            centred.zip(axis).map(|(v, a)| v * a).sum()
        };
        (rows.chunks_exact(self.mean.len()))
            .map(|row| (along(row, &self.axes[0]), along(row, &self.axes[1])))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    #[test]
    fn the_axes_of_a_turned_gaussian_are_found_with_their_shares() {
        // spreads 3, 1 and 0.1 along an orthonormal basis, off the origin
        let basis = [[0.6f32, 0.8, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, 1.0]];
        let normals = Streams::new(0).normal("test", 0, 3 * 4000);
        let rows: Vec<f32> = (normals.chunks(3))
            .flat_map(|z| {
                let scaled = [3.0 * z[0], z[1], 0.1 * z[2]];
                std::array::from_fn::<f32, 3, _>(|j| {
                    5.0 + (0..3).map(|i| scaled[i] * basis[i][j]).sum::<f32>()
                })
            })
            .collect();
        let plane = PrincipalPlane::of(&rows, 3).unwrap();
        assert!((plane.shares[0] - 9.0 / 10.01).abs() < 0.01, "{plane:?}");
        assert!((plane.shares[1] - 1.0 / 10.01).abs() < 0.01, "{plane:?}");
        // one step along each basis vector from the mean
        let step = |i: usize| -> Vec<f32> { basis[i].iter().map(|v| v + 5.0).collect() };
        let [first, second, third] = [0, 1, 2].map(|i| plane.project(&step(i))[0]);
        assert!(
            (first.0 - 1.0).abs() < 0.1 && first.1.abs() < 0.1,
            "{first:?}"
        );
        assert!((second.1.abs() - 1.0).abs() < 0.1, "{second:?}");
        assert!(third.0.hypot(third.1) < 0.1, "{third:?}");
    }

    #[test]
    fn one_dimension_is_the_first_axis_and_too_few_points_are_refused() {
        let plane = PrincipalPlane::of(&[1.0, 3.0, 5.0], 1).unwrap();
        assert_eq!(plane.shares, [1.0, 0.0]);
        assert_eq!(plane.project(&[5.0]), [(2.0, 0.0)]);
        assert!(PrincipalPlane::of(&[1.0, 2.0], 2).is_err());
        assert!(PrincipalPlane::of(&[1.0, f32::NAN], 1).is_err());
    }
}
