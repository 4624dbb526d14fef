//! Conversion between features in the shape of the data and points.

use super::artifact::Flow;
use super::bits::Bits;
use super::layout::{Cut, Layout};
use super::noise::{Noise, Noising};
use crate::data::{Inverse, Patches};

impl Flow {
    /// Shape of the features of a point: a feature `[D]`, tokens [T, D], or an image [C, H, W].
    pub fn feature_shape(&self) -> Vec<usize> {
        let width = self.normaliser.input_width;
        match (self.layout.cut, self.normalised_rows()) {
            (Cut::Patches(Patches { image, .. }), _) => {
                vec![image.channels, image.height, image.width]
            }
            (_, 1) => vec![width],
            (_, tokens) => vec![tokens, width],
        }
    }

    /// Number of normalised rows per point.
    pub(super) fn normalised_rows(&self) -> usize {
        self.prior.shape().elements() / self.normaliser.output_width
    }

    /// Converts features, one after another, to points [n, T d].
    pub fn points_of(&self, features: &[f32]) -> Vec<f32> {
        match self.layout.cut {
            Cut::Patches(patches) => self.normaliser.apply(&patches.cut(features)),
            _ => self.normaliser.apply(features),
        }
    }

    /// Converts points [n, T d] to features, one after another; None if the normalisation is not invertible.
    /// Uniform noise added to integer levels is removed.
    pub fn features_of(&self) -> Option<Inverse> {
        let undo = self.normaliser.inverter()?;
        let Layout {
            cut, noise, range, ..
        } = self.layout;
        let [least, most] = range
            .unwrap_or([f64::NEG_INFINITY, f64::INFINITY])
            .map(|v| v as f32);
        Some(Box::new(move |points| {
            let mut features = undo(points);
            if noise == Some(Noise::Uniform) {
                (features.iter_mut()).for_each(|x| *x = x.floor().clamp(least, most));
            }
            match cut {
                Cut::Patches(patches) => patches.join(&features),
                _ => features,
            }
        }))
    }

    /// Adds the training noise of features to points.
    pub fn noising(&self) -> Option<Noising> {
        let noise = self.layout.noise?;
        Some(Noising::new(noise, &self.normaliser))
    }

    /// Converts NLLs of points into bits per dimension; None if features are not integer levels.
    pub fn bits(&self) -> Option<Bits> {
        Bits::new(&self.layout, &self.normaliser, self.prior.shape())
    }
}
