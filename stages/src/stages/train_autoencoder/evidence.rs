//! The evidence of a linear-Gaussian model, in closed form.

use crate::autoencoders::Autoencoder;
use crate::error::{Error, Result};
use crate::tensors::{from_f32, to_f64};
use burn::tensor::Tensor;
use nalgebra::{DMatrix, DVector};
use std::f64::consts::TAU;

/// The NLL in nats of each of `rows` [n, C, H, W] if the decoder of `model` is linear:
/// `x = W z + b + noise` with z ~ N(0, I) of `tokens` x `width` numbers and noise of `variance` per
/// element, so that `x ~ N(b, W W^T + variance I)`, the model of probabilistic PCA (Tipping and Bishop
/// 1999).
///
/// # Errors
/// If reading from the device fails, or a variance is not positive.
pub fn linear_gaussian_nll(
    model: &Autoencoder,
    tokens: usize,
    width: usize,
    variance: f64,
    rows: Tensor<4>,
) -> Result<Vec<f64>> {
    nll_of(|z| model.decode(z), tokens, width, variance, rows)
}

/// As [`linear_gaussian_nll`], for any linear `decode` [n * tokens, width] -> [n, C, H, W].
pub(super) fn nll_of(
    decode: impl Fn(Tensor<2>) -> Tensor<4>,
    tokens: usize,
    width: usize,
    variance: f64,
    rows: Tensor<4>,
) -> Result<Vec<f64>> {
    let latents = tokens * width;
    let rows = rows.flatten::<2>(1, 3);
    let [n, elements] = rows.dims();
    // decode zero and each unit vector
    let mut units = vec![0.0; (1 + latents) * latents];
    for i in 0..latents {
        units[(1 + i) * latents + i] = 1.0;
    }
    let units = from_f32(units, [(1 + latents) * tokens, width], &rows.device());
    let decoded = to_f64(decode(units).flatten::<2>(1, 3))?;
    let offset = DVector::from_column_slice(&decoded[..elements]);
    let weights = DMatrix::from_fn(elements, latents, |i, k| {
        decoded[(1 + k) * elements + i] - offset[i]
    });
    // Woodbury: (W W^T + s I)^-1 = (I - W (s I + W^T W)^-1 W^T) / s
    let inner = weights.tr_mul(&weights) + DMatrix::identity(latents, latents) * variance;
    let inner = inner.cholesky().ok_or_else(|| {
        Error::Numerical(format!(
            "the covariance of a linear decoder with noise of variance {variance} is not positive"
        ))
    })?;
    let log_det = inner.ln_determinant() + (elements as f64 - latents as f64) * variance.ln();
    let values = to_f64(rows)?;
    Ok((0..n)
        .map(|row| {
            let x = DVector::from_column_slice(&values[row * elements..(row + 1) * elements]);
            let x = x - &offset;
            let along = weights.tr_mul(&x);
            let square = (x.norm_squared() - along.dot(&inner.solve(&along))) / variance;
            0.5 * (square + log_det + elements as f64 * TAU.ln())
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;
    use burn::tensor::Device;

    /// Against the density of N(b, W W^T + s I) with a directly inverted covariance.
    #[test]
    fn the_evidence_is_the_density_of_the_gaussian_that_the_model_draws_from() {
        let device = Device::flex();
        let (latents, elements, n, variance) = (2, 3, 4, 0.3);
        let streams = Streams::new(1);
        let w = streams.normal("w", 0, latents * elements);
        let b = streams.normal("b", 0, elements);
        let x = streams.normal("x", 0, n * elements);
        let decode = |z: Tensor<2>| {
            let rows = z.dims()[0];
            let w = from_f32::<2>(w.clone(), [latents, elements], &device);
            let b = from_f32::<2>(b.clone(), [1, elements], &device).repeat_dim(0, rows);
            (z.matmul(w) + b).reshape([rows, elements, 1, 1])
        };
        let rows = from_f32(x.clone(), [n, elements, 1, 1], &device);
        let found = nll_of(decode, 1, latents, variance, rows).unwrap();
        let wide = |v: &[f32]| v.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let w = DMatrix::from_row_slice(latents, elements, &wide(&w));
        let covariance = w.tr_mul(&w) + DMatrix::identity(elements, elements) * variance;
        let determinant = covariance.determinant();
        let inverse = covariance.try_inverse().unwrap();
        for (row, found) in x.chunks(elements).zip(found) {
            let x = DVector::from_vec(wide(row)) - DVector::from_vec(wide(&b));
            let square = x.dot(&(&inverse * &x));
            let expected = 0.5 * (square + determinant.ln() + elements as f64 * TAU.ln());
            assert!((found - expected).abs() < 1e-4, "{found} {expected}");
        }
    }
}
