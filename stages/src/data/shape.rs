//! The shape of a row of data, and the meaning of a dataset's axes for an autoencoder or a classifier.

use crate::error::{Error, Result};
use crate::problems::Problems;
use latent_align_hdf5::Dataset;
use serde::{Deserialize, Serialize};

/// The shape of one row of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataShape {
    /// Channels, or the width of a vector.
    pub channels: usize,
    /// Height of an image; 1 for a vector.
    pub height: usize,
    /// Width of an image; 1 for a vector.
    pub width: usize,
}

impl DataShape {
    /// Reports every size out of range.
    pub fn check(self, problems: &mut Problems) {
        let sizes = [
            ("channels", self.channels),
            ("height", self.height),
            ("width", self.width),
        ];
        for (key, size) in sizes {
            problems.within(key, size, 1..=1 << 26);
        }
    }

    /// Numbers per row.
    pub fn elements(self) -> usize {
        self.channels * self.height * self.width
    }

    /// Whether items of shape `held` have the same numbers in the same order as rows of this shape: vectors in
    /// any shape; images in theirs, flat, or without the axis of a single channel.
    pub fn can_be(self, held: &[usize]) -> bool {
        match self.height * self.width {
            1 => held.iter().product::<usize>() == self.channels,
            _ => can_be(held, [self.channels, self.height, self.width]),
        }
    }
}

/// A last axis up to this length after two longer ones looks like channels.
const MOST_CHANNELS: usize = 4;

impl DataShape {
    /// The shape of an item of `dataset`: that of its images [N, C, H, W], or of vectors, or `said` in the
    /// configuration. `convolutional` layers need images. `key` is the key of the data.
    ///
    /// # Errors
    /// Input errors for channels-last images, vectors where images are needed, and items that do not match the
    /// configured shape.
    pub fn of(
        dataset: &Dataset,
        said: Option<[usize; 3]>,
        convolutional: bool,
        key: &str,
    ) -> Result<Self> {
        let held = &dataset.shape()[1..];
        if let Some(said) = said {
            return match can_be(held, said) {
                true => Ok(image(said)),
                false => Err(Error::input(format!(
                    "{}: found items of shape {held:?}, expected a shape compatible with `shape: \
                     {said:?}` under {key}: {said:?} itself, [H, W] for one channel, or flat",
                    dataset.describe()
                ))),
            };
        }
        refuse_channels_last(dataset, key)?;
        match *held {
            [channels, height, width] => Ok(image([channels, height, width])),
            _ if convolutional => Err(Error::input(format!(
                "{}: found items of shape {held:?}, expected images [N, C, H, W] for `architecture: {{kind: \
                 convolutional}}`; if these are images, `shape: {}` under {key} says so, and vectors take \
                 `kind: dense`",
                dataset.describe(),
                match *held {
                    [height, width] => format!("[1, {height}, {width}]"),
                    _ => "[C, H, W]".to_owned(),
                }
            ))),
            _ => Ok(image([dataset.item_width(), 1, 1])),
        }
    }
}

fn image([channels, height, width]: [usize; 3]) -> DataShape {
    DataShape {
        channels,
        height,
        width,
    }
}

/// Whether items of shape `held` are images of shape `said` with the same order of numbers.
fn can_be(held: &[usize], said: [usize; 3]) -> bool {
    let count = |shape: &[usize]| shape.iter().map(|&n| n as u128).product::<u128>();
    let [channels, height, _] = said;
    count(held) == count(&said)
        && match *held {
            [_, _, _] => held == said,
            // the axis of a single channel is missing, or pixels are flat
            [first, _] => first == channels || (channels == 1 && first == height),
            _ => true,
        }
}

/// Images whose channels seem to come last, as in other programs: a description, and how to transpose them.
pub(super) fn channels_last(dataset: &Dataset) -> Option<(String, &'static str)> {
    let [_, a, b, last] = *dataset.shape() else {
        return None;
    };
    let seems = last <= MOST_CHANNELS && a > MOST_CHANNELS && b > MOST_CHANNELS;
    seems.then(|| {
        (
            format!("channels last, {a} x {b} pixels of {last}"),
            "move them with numpy: `x.transpose(0, 3, 1, 2)`",
        )
    })
}

/// Refuses channels-last images. `key` is the key of the data.
///
/// # Errors
/// An input error that says how to fix it.
pub fn refuse_channels_last(dataset: &Dataset, key: &str) -> Result<()> {
    let (Some((found, fix)), [_, a, b, last]) = (channels_last(dataset), dataset.shape()) else {
        return Ok(());
    };
    Err(Error::input(format!(
        "{}: found {found}, expected images [N, C, H, W]; {fix}. If they are {a} channels of {b} x {last} pixels indeed, \
         `shape: [{a}, {b}, {last}]` under {key} says so",
        dataset.describe()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{OutData, write_datasets};

    fn of(shape: &[usize], said: Option<[usize; 3]>, convolutional: bool) -> Result<[usize; 3]> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("data.h5");
        let values = vec![0; shape.iter().product()];
        write_datasets(&file, &[("images", shape, OutData::U8(&values))], &[])?;
        let dataset = Dataset::open(&file, "images")?;
        let found = DataShape::of(&dataset, said, convolutional, "train_autoencoder.data")?;
        Ok([found.channels, found.height, found.width])
    }

    #[test]
    fn images_vectors_and_what_is_said_of_them_have_one_shape() {
        for (held, said, convolutional, expected) in [
            (&[2, 3, 8, 8][..], None, true, [3, 8, 8]),
            (&[2, 1, 28, 28], None, false, [1, 28, 28]),
            (&[2, 64, 4, 4], None, true, [64, 4, 4]),
            (&[2, 3, 9, 2], None, true, [3, 9, 2]),
            (&[2, 12], None, false, [12, 1, 1]),
            (&[2, 3, 4], None, false, [12, 1, 1]),
            (&[2, 28, 28], Some([1, 28, 28]), true, [1, 28, 28]),
            (&[2, 3, 64], Some([3, 8, 8]), true, [3, 8, 8]),
            (&[2, 784], Some([1, 28, 28]), true, [1, 28, 28]),
            (&[2, 32, 32, 3], Some([32, 32, 3]), true, [32, 32, 3]),
        ] {
            assert_eq!(of(held, said, convolutional).unwrap(), expected, "{held:?}");
        }
    }

    #[test]
    fn what_is_not_of_the_shape_is_refused_with_what_mends_it() {
        for (held, said, expected) in [
            (&[2, 32, 32, 3][..], None, "x.transpose(0, 3, 1, 2)"),
            (&[2, 28, 28, 1], None, "28 x 28 pixels of 1"),
            (
                &[2, 28, 28],
                None,
                "`shape: [1, 28, 28]` under train_autoencoder.data",
            ),
            (
                &[2, 784],
                None,
                "`shape: [C, H, W]` under train_autoencoder.data",
            ),
            (&[2, 784], Some([1, 28, 27]), "items of shape [784]"),
            (
                &[2, 32, 32, 3],
                Some([3, 32, 32]),
                "items of shape [32, 32, 3]",
            ),
            (&[2, 28, 28], Some([4, 14, 14]), "items of shape [28, 28]"),
            (
                &[2, 4],
                Some([1 << 26, 1 << 26, 1 << 12]),
                "items of shape [4]",
            ),
        ] {
            let why = of(held, said, true).unwrap_err().to_string();
            assert!(why.contains(expected), "{expected} is missing from {why}");
        }
    }
}
