//! Likelihoods of integer levels, in bits per dimension.

use super::layout::Layout;
use super::noise::Noise;
use super::prior::PointShape;
use crate::data::Normaliser;
use std::f64::consts::LN_2;

/// Converts NLLs of points in nats into bits per dimension of the underlying integer levels.
///
/// The probability of levels k is the density of features integrated over the cube k + [0, 1)^D. By Jensen's
/// inequality it is at least the exponential of the mean log-density of k + u, so the mean NLL of dequantised
/// features is an upper bound of the mean NLL of levels. A feature x becomes the point (x - mean) A, so its NLL is
/// the point's NLL minus `log |det A|`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bits {
    /// `log |det A|` of a whole point.
    log_abs_det: f64,
    /// D, the number of elements of a feature.
    dimensions: usize,
}

impl Bits {
    /// The conversion for points of `shape`; None for features without uniform noise, or if the normalisation is
    /// not invertible.
    pub fn new(layout: &Layout, normaliser: &Normaliser, shape: PointShape) -> Option<Self> {
        if layout.noise != Some(Noise::Uniform) {
            return None;
        }
        let dimensions = shape.elements();
        let rows = dimensions / normaliser.output_width;
        Some(Self {
            log_abs_det: rows as f64 * normaliser.log_abs_det()?,
            dimensions,
        })
    }

    /// Bits per dimension of an NLL in nats, of a point or a mean over points.
    pub fn of(&self, nll: f64) -> f64 {
        self.of_difference(nll - self.log_abs_det)
    }

    /// Converts a difference of NLLs, such as a standard error.
    pub fn of_difference(&self, nll: f64) -> f64 {
        nll / (self.dimensions as f64 * LN_2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Moments;
    use crate::data::NormalisationConfig;

    fn bits(levels: usize, nll: f64) -> f64 {
        let config = NormalisationConfig {
            levels: Some(levels),
            ..NormalisationConfig::default()
        };
        // two tokens of three pixels
        let moments = Moments::of_rows(&[0.0, 1.0, 2.0, 1.0, 0.0, 1.0], 3, false);
        let normaliser = Normaliser::fit(&config, &moments, 0).unwrap();
        let layout = Layout {
            noise: Some(Noise::Uniform),
            ..Layout::default()
        };
        let shape = PointShape {
            tokens: 2,
            width: 3,
        };
        Bits::new(&layout, &normaliser, shape).unwrap().of(nll)
    }

    /// Values from the literature: N(0, 1) on numbers uniform on [-1, 1) has 1.085605 nats per dimension, or
    /// 8.566197 bits for 256 levels; zero nats are 7 bits for 256 levels and 3.087463 for 17.
    #[test]
    fn nats_of_points_become_bits_of_levels() {
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found}");
        near(bits(256, 6.0 * 1.085605), 8.566197);
        near(bits(256, 0.0), 7.0);
        near(bits(17, 0.0), 3.087463);
    }

    #[test]
    fn there_are_none_without_uniform_noise() {
        let shape = PointShape {
            tokens: 1,
            width: 2,
        };
        let normaliser = Normaliser::identity(2);
        for noise in [None, Some(Noise::Gaussian { sigma: 0.1 })] {
            let layout = Layout {
                noise,
                ..Layout::default()
            };
            assert_eq!(Bits::new(&layout, &normaliser, shape), None);
        }
    }
}
