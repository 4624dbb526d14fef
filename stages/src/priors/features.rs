//! From features in the shape of the data to points, and back.

use super::artifact::Flow;
use super::layout::Cut;
use crate::data::{Inverse, Patches};

impl Flow {
    /// The shape of the features of a point, in the data: a feature [D], tokens [T, D], or an image [C, H, W].
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

    /// What makes features, one after another, of points [n, T d]; none where the normalisation cannot be undone.
    pub fn features_of(&self) -> Option<Inverse> {
        let undo = self.normaliser.inverter()?;
        Some(match self.layout.cut {
            Cut::Patches(patches) => Box::new(move |points| patches.join(&undo(points))),
            _ => undo,
        })
    }
}
