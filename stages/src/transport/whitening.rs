//! Whitens latents to mean zero and identity covariance over all dimensions.

use crate::data::{Moments, NormalisationConfig, Normaliser, Projection, Whiten};
use crate::error::{Error, Result};
use nalgebra::{DMatrix, SymmetricEigen};

/// A warning is given if the smallest eigenvalue is below this fraction of the largest.
const WARNED: f64 = 1e-4;
/// Below this fraction, the inverse map loses information: f32 has 24 bits.
const REFUSED: f64 = 1e-8;

/// Full whitening and its condition.
#[derive(Debug, Clone)]
pub struct Whitening {
    /// The map: (x - mean) times the symmetric inverse square root of the covariance.
    pub normaliser: Normaliser,
    /// The smallest and the largest eigenvalue of the covariance.
    pub eigenvalues: [f64; 2],
}

impl Whitening {
    /// Computes the whitening of `rows` [n, width].
    ///
    /// # Errors
    /// An input error for too few rows, and for a covariance too close to singular to invert.
    pub fn of(rows: &[f32], width: usize) -> Result<Self> {
        let count = rows.len() / width;
        if count <= width {
            return Err(Error::input(format!(
                "transport: found {count} training rows of latents of {width} numbers, expected more than {width}; \
                 use more rows, or a smaller train_autoencoder.latent"
            )));
        }
        let moments = Moments::of_rows(rows, width, true);
        let covariance = moments.covariance.clone().expect("asked for");
        let eigen = SymmetricEigen::new(DMatrix::from_row_slice(width, width, &covariance));
        let eigenvalues = [eigen.eigenvalues.min(), eigen.eigenvalues.max()];
        let [least, most] = eigenvalues;
        // NaN fails too
        let regular = least > REFUSED * most;
        if !regular {
            let flat = eigen.eigenvalues.iter();
            let flat = flat.filter(|&&v| v <= REFUSED * most).count();
            return Err(Error::input(format!(
                "transport: found latents that do not vary in {flat} of {width} directions (eigenvalues of their \
                 covariance from {least:.2e} to {most:.2e}), expected a smallest one above {REFUSED:.0e} of the \
                 largest: they cannot be whitened; make train_autoencoder.latent smaller, or train the \
                 autoencoder for longer"
            )));
        }
        let config = NormalisationConfig {
            centre: true,
            whiten: Whiten::Full,
            projection: Projection::None,
            levels: None,
            logit: None,
        };
        Ok(Self {
            normaliser: Normaliser::fit(&config, &moments, 0)?,
            eigenvalues,
        })
    }

    /// A warning for a nearly singular covariance; None otherwise.
    pub fn warning(&self) -> Option<String> {
        let [least, most] = self.eigenvalues;
        (least < WARNED * most).then(|| {
            format!(
                "the covariance of the latents is near singular: eigenvalues from {least:.2e} to \
                 {most:.2e}; a flow fits such latents badly, and the inverse map loses digits: \
                 make train_autoencoder.latent smaller, or add transport.noise"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    /// Rows [n, 3] whose last column differs from the sum of the others by noise of `spread`.
    fn rows(spread: f32) -> Vec<f32> {
        let mut rows = Streams::new(1).normal("rows", 0, 3 * 500);
        for row in rows.chunks_mut(3) {
            row[2] = row[0] + row[1] + spread * row[2];
        }
        rows
    }

    /// Fails if columns are scaled one by one, which leaves them correlated.
    #[test]
    fn whitened_rows_have_covariance_one() {
        let rows = rows(0.5);
        let whitening = Whitening::of(&rows, 3).unwrap();
        let moments = Moments::of_rows(&whitening.normaliser.apply(&rows), 3, true);
        for (i, value) in moments.covariance.unwrap().into_iter().enumerate() {
            let expected = if i % 4 == 0 { 1.0 } else { 0.0 };
            assert!((value - expected).abs() < 1e-4, "{i}: {value}");
        }
        assert_eq!(whitening.warning(), None);
    }

    #[test]
    fn a_covariance_near_singular_is_warned_of_and_a_singular_one_refused_with_its_eigenvalues() {
        let near = Whitening::of(&rows(1e-3), 3).unwrap();
        let told = near.warning().unwrap();
        assert!(told.contains("near singular: eigenvalues from "), "{told}");
        let told = Whitening::of(&rows(0.0), 3).unwrap_err().to_string();
        assert!(told.contains("do not vary in 1 of 3 directions"), "{told}");
        let told = Whitening::of(&rows(1.0)[..9], 3).unwrap_err().to_string();
        assert!(told.contains("found 3 training rows"), "{told}");
        let nothing = Whitening::of(&[1.0; 30], 3).unwrap_err().to_string();
        assert!(nothing.contains("3 of 3 directions"), "{nothing}");
    }
}
