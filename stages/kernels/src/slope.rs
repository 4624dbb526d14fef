//! Gradient of a bias followed by an activation.

use crate::fresh::Fresh;
use crate::level::for_each_level;
use crate::parallel::*;
use crate::segments::add_row;
use std::mem::MaybeUninit;

/// Rows per partial sum.
const SEGMENT: usize = 64;

/// `gradient` times `slope`, the derivative of an activation at each of [rows, columns] elements, and its column
/// sums, which are the gradient of the bias.
pub fn slope_gradient(gradient: &[f32], slope: &[f32], columns: usize) -> (Vec<f32>, Vec<f32>) {
    assert_eq!(gradient.len(), slope.len(), "a slope for each number");
    assert!(
        slope.len().is_multiple_of(columns),
        "rows that are not whole"
    );
    let mut out = Fresh::new(gradient.len());
    let segment = (SEGMENT * columns).max(1);
    let sums: Vec<Vec<f32>> = (
        out.room().par_chunks_mut(segment),
        gradient.par_chunks(segment),
        slope.par_chunks(segment),
    )
        .map(|(out, gradient, slope)| {
            let mut sums = vec![0.0; columns];
            rows(gradient, slope, out, &mut sums);
            sums
        })
        .collect();
    let mut total = vec![0.0; columns];
    for sums in sums {
        add_row(&sums, &mut total);
    }
    // SAFETY: the segments cover the elements, and each is written in full.
    return (unsafe { out.written() }, total);

    for_each_level! {
        fn rows(gradient: &[f32], slope: &[f32], out: &mut [MaybeUninit<f32>], sums: &mut [f32]) {
            let columns = sums.len();
            for ((gradient, slope), out) in (gradient.chunks_exact(columns))
                .zip(slope.chunks_exact(columns))
                .zip(out.chunks_exact_mut(columns))
            {
                for i in 0..columns {
                    let value = gradient[i] * slope[i];
                    out[i].write(value);
                    sums[i] += value;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails if a segment is omitted from the sums or counted twice.
    #[test]
    fn gradients_are_products_and_their_sums() {
        let (rows, columns) = (150, 3);
        let gradient: Vec<f32> = (0..rows * columns).map(|i| (i % 7) as f32 - 3.0).collect();
        let slope: Vec<f32> = (0..rows * columns).map(|i| (i % 5) as f32 * 0.5).collect();
        let (found, sums) = slope_gradient(&gradient, &slope, columns);
        let exact: Vec<f32> = gradient.iter().zip(&slope).map(|(g, s)| g * s).collect();
        assert_eq!(found, exact);
        for (column, sum) in sums.iter().enumerate() {
            assert_eq!(*sum, exact[column..].iter().step_by(columns).sum::<f32>());
        }
    }
}
