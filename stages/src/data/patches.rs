//! Cutting images into square patches, and reassembling them.

use super::shape::{DataShape, channels_last};
use crate::error::{Error, Result};
use crate::problems::Problems;
use latent_align_hdf5::Dataset;
use serde::{Deserialize, Serialize};

/// Cuts images [C, H, W] into T = H W / P^2 tokens of C P^2 numbers: patches row by row, in each of them channels
/// first, then rows, then columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patches {
    /// P, the side of a patch in pixels.
    pub side: usize,
    /// The shape of an image.
    pub image: DataShape,
}

impl Patches {
    /// Patches of `side` pixels of the images in `dataset`: [N, C, H, W], or [N, H, W] with one channel.
    ///
    /// # Errors
    /// Input errors for a dataset of vectors, channels-last images, and a side that does not divide the image size.
    pub(super) fn of(dataset: &Dataset, side: usize) -> Result<Self> {
        let refuse = |found: String, expected: &str| {
            Err(Error::input(format!(
                "pretrain_flow.rows: found `{{patches: {side}}}` for {}, {found}, expected {expected}",
                dataset.describe()
            )))
        };
        if let Some((found, fix)) = channels_last(dataset) {
            return refuse(found, &format!("images [N, C, H, W]; {fix}"));
        }
        let [channels, height, width] = match *dataset.shape() {
            [_, channels, height, width] => [channels, height, width],
            [_, height, width] => [1, height, width],
            _ => {
                let fix = format!(
                    "images [N, C, H, W] or [N, H, W]; flat images become some with numpy: `x.reshape(n, c, h, w)`, and \
                     vectors are cut by `rows: {{split: {side}}}`"
                );
                return refuse("which are vectors".to_owned(), &fix);
            }
        };
        let divides = |n: &usize| height.is_multiple_of(*n) && width.is_multiple_of(*n);
        if side == 0 || !divides(&side) {
            let known: Vec<_> = (1..=height.min(width)).filter(divides).collect();
            let known: Vec<_> = known.iter().map(usize::to_string).collect();
            let found = format!("images of {height} x {width} pixels");
            let expected = format!("a side that divides both: {}", known.join(", "));
            return refuse(found, &expected);
        }
        Ok(Self {
            side,
            image: DataShape {
                channels,
                height,
                width,
            },
        })
    }

    /// Reports every size out of range, as in a damaged file.
    pub fn check(self, problems: &mut Problems) {
        self.image.check(problems);
        let DataShape { height, width, .. } = self.image;
        let divides =
            self.side > 0 && height.is_multiple_of(self.side) && width.is_multiple_of(self.side);
        problems.require(
            divides,
            "side",
            self.side,
            &format!("one that divides {height} and {width}"),
        );
    }

    /// T.
    pub fn tokens(self) -> usize {
        (self.image.height / self.side) * (self.image.width / self.side)
    }

    /// C P^2.
    pub fn width(self) -> usize {
        self.image.channels * self.side * self.side
    }

    /// Images [n, C, H, W] as tokens [n, T, C P^2].
    ///
    /// # Panics
    /// If `images` is not a whole number of images.
    pub fn cut(self, images: &[f32]) -> Vec<f32> {
        let mut tokens = vec![0.0; images.len()];
        self.each_number(images.len(), |image, token| tokens[token] = images[image]);
        tokens
    }

    /// Tokens [n, T, C P^2] as images [n, C, H, W].
    ///
    /// # Panics
    /// If `tokens` are not those of a whole number of images.
    pub fn join(self, tokens: &[f32]) -> Vec<f32> {
        let mut images = vec![0.0; tokens.len()];
        self.each_number(tokens.len(), |image, token| images[image] = tokens[token]);
        images
    }

    /// Calls `work` with the index of every number among images and among tokens.
    fn each_number(self, numbers: usize, mut work: impl FnMut(usize, usize)) {
        let Self { side, image } = self;
        let DataShape {
            channels,
            height,
            width,
        } = image;
        assert!(numbers.is_multiple_of(image.elements()));
        let mut token = 0;
        for first in (0..numbers).step_by(image.elements()) {
            for top in (0..height).step_by(side) {
                for left in (0..width).step_by(side) {
                    for channel in 0..channels {
                        for row in top..top + side {
                            let start = first + (channel * height + row) * width + left;
                            for column in start..start + side {
                                work(column, token);
                                token += 1;
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{NonFinite, OutData, SourceConfig, write_datasets};

    /// Fails if rows and columns, or channels and rows, are swapped.
    #[test]
    fn patches_go_row_by_row_and_come_together_again() {
        let patches = Patches {
            side: 2,
            image: DataShape {
                channels: 2,
                height: 4,
                width: 6,
            },
        };
        assert_eq!((patches.tokens(), patches.width()), (6, 8));
        let images: Vec<f32> = (0..2 * 48).map(|i| i as f32).collect();
        let tokens = patches.cut(&images);
        // rows 0 and 1, columns 2 and 3 of both channels
        assert_eq!(tokens[8..16], [2., 3., 8., 9., 26., 27., 32., 33.]);
        // the second image, rows 2 and 3, columns 0 and 1
        let at = 48 + 3 * 8;
        assert_eq!(tokens[at..at + 4], [60., 61., 66., 67.]);
        assert_eq!(patches.join(&tokens), images);
    }

    #[test]
    fn what_cannot_be_cut_is_refused_with_what_mends_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("images.h5");
        for (shape, side, expected) in [
            (&[2, 64][..], 2, "which are vectors"),
            (
                &[2, 1, 8, 6],
                4,
                "8 x 6 pixels, expected a side that divides both: 1, 2",
            ),
            (&[2, 8, 6], 0, "8 x 6 pixels"),
            (&[2, 32, 32, 3], 4, "x.transpose(0, 3, 1, 2)"),
        ] {
            let values = vec![0; shape.iter().product()];
            write_datasets(&file, &[("images", shape, OutData::U8(&values))], &[]).unwrap();
            let source = SourceConfig {
                file: file.clone().into(),
                dataset: "images".into(),
                non_finite: NonFinite::Refuse,
            };
            let why = Patches::of(&source.open().unwrap(), side).unwrap_err();
            let why = why.to_string();
            assert!(why.contains(expected), "{expected} is missing from {why}");
            assert!(why.contains("pretrain_flow.rows"), "{why}");
        }
    }
}
