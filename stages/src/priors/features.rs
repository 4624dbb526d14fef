//! From features in the shape of the data to points, and back.

use super::artifact::Flow;
use super::bits::Bits;
use super::layout::{Cut, Layout};
use super::noise::{Noise, Noising};
use crate::data::{Inverse, Patches};

impl Flow {
    /// The shape of the features of a point, in the data: a feature `[D]`, tokens [T, D], or an image [C, H, W].
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

    /// The rows of the normalisation that a point is.
    pub(super) fn normalised_rows(&self) -> usize {
        self.prior.shape().elements() / self.normaliser.output_width
    }

    /// Features, one after another, as points [n, T d].
    pub fn points_of(&self, features: &[f32]) -> Vec<f32> {
        match self.layout.cut {
            Cut::Patches(patches) => self.normaliser.apply(&patches.cut(features)),
            _ => self.normaliser.apply(features),
        }
    }

    /// What makes features, one after another, of points [n, T d]; none where the normalisation cannot be undone. Where
    /// uniform noise was added to whole levels, it is taken away again.
    pub fn features_of(&self) -> Option<Inverse> {
        let undo = self.normaliser.inverter()?;
        let Layout { cut, noise, range } = self.layout;
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

    /// What adds the noise that features had in training to points.
    pub fn noising(&self) -> Option<Noising> {
        let noise = self.layout.noise?;
        Some(Noising::new(noise, &self.normaliser))
    }

    /// What turns NLLs of points into bits a dimension; none where features are no levels.
    pub fn bits(&self) -> Option<Bits> {
        Bits::new(&self.layout, &self.normaliser, self.prior.shape())
    }
}
