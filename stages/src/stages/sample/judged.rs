//! Samples judged by a classifier, compared with test rows; held-out rows are judged in the same way for
//! reference.

use crate::classifiers::{Classifier, ClassifierHeader, LabelledFeatures};
use crate::comparison::{Gaussian, frechet_distance, within_reach};
use crate::context::Summary;
use crate::data::{DataShape, Part};
use crate::error::{Error, Result};
use crate::figures::sample as names;
use crate::tensors::{from_f32, to_f32};
use burn::tensor::Device;
use std::path::Path;

/// Index k of the neighbour that defines neighbourhoods.
const NEIGHBOUR: usize = 3;
/// Maximum number of rows per set for precision and recall, whose cost grows with the square.
const REACHING: usize = 2000;

/// A classifier and the rows it was not trained on.
pub struct Judge {
    classifier: Classifier,
    header: ClassifierHeader,
    real: LabelledFeatures,
    device: Device,
}

/// The classifier's outputs for samples.
#[derive(Default)]
pub struct Seen {
    /// Row-major [n, F].
    features: Vec<f32>,
    /// The class of each.
    classes: Vec<usize>,
}

impl Judge {
    /// Loads the classifier in the directory `dir`, for samples of `shape`.
    ///
    /// # Errors
    /// File errors; an input error for a classifier of another shape.
    pub fn load(dir: &Path, shape: DataShape, device: &Device) -> Result<Self> {
        let (classifier, header) = Classifier::load(dir, device)?;
        if header.shape != shape {
            return Err(Error::input(format!(
                "{}: found a classifier of {:?}, expected {shape:?}, the shape of samples; train \
                 both on the same dataset",
                dir.display(),
                header.shape
            )));
        }
        Ok(Self {
            classifier,
            header,
            real: LabelledFeatures::load(dir)?,
            device: device.clone(),
        })
    }

    /// Adds the outputs for `rows` [n, C * H * W], in the units of the data, to `seen`.
    ///
    /// # Errors
    /// Device errors.
    pub fn look(&self, rows: &[f32], seen: &mut Seen) -> Result<()> {
        let shape = self.header.shape;
        let count = rows.len() / shape.elements();
        let scale = 1.0 / self.header.maximum as f32;
        let rows = rows.iter().map(|v| v * scale).collect();
        let dims = [count, shape.channels, shape.height, shape.width];
        let data = from_f32(rows, dims, &self.device);
        seen.features
            .extend(to_f32(self.classifier.features(data.clone()))?);
        let logits = to_f32(self.classifier.logits(data))?;
        let most = |logits: &[f32]| {
            let classes = logits.iter().enumerate();
            classes.max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |c| c.0)
        };
        let of_row = logits.chunks_exact(logits.len() / count);
        seen.classes.extend(of_row.map(most));
        Ok(())
    }

    /// Adds the figures of `seen`; `asked` is the requested class of each sample.
    ///
    /// # Errors
    /// A numerical error for features that are not finite, and for fewer than two rows of a part.
    pub fn judge(&self, seen: &Seen, asked: Option<&[usize]>, summary: &mut Summary) -> Result<()> {
        let width = self.real.width();
        let of_part = |part: Part| -> Vec<f32> {
            let rows = self.real.values().chunks_exact(width);
            let own = rows.zip(self.real.parts()).filter(|(_, p)| *p == part);
            own.flat_map(|(row, _)| row.iter().copied()).collect()
        };
        let (held_out, test) = (of_part(Part::HeldOut), of_part(Part::Test));
        let (test, word) = match test.is_empty() {
            true => (held_out.clone(), Part::HeldOut.word()),
            false => (test, Part::Test.word()),
        };
        let real = Gaussian::of_rows(&test, width, &format!("the {word} rows"))?;
        let samples = Gaussian::of_rows(&seen.features, width, "samples")?;
        summary.add(names::DISTANCE, frechet_distance(&samples, &real));
        let floor = word == Part::Test.word() && !held_out.is_empty();
        if floor {
            let held_out = Gaussian::of_rows(&held_out, width, "the held-out rows")?;
            summary.add(names::DATA_DISTANCE, frechet_distance(&held_out, &real));
        }
        let some = |rows: &[f32]| crate::tensors::spread(rows, width, REACHING);
        let (real, drawn) = (some(&test), some(&seen.features));
        let enough = |rows: &[f32]| rows.len() / width > NEIGHBOUR;
        if enough(&real) && enough(&drawn) {
            let within = |points: &[f32], of: &[f32]| within_reach(points, of, width, NEIGHBOUR);
            summary.add(names::PRECISION, within(&drawn, &real));
            summary.add(names::RECALL, within(&real, &drawn));
            let other = some(&held_out);
            if floor && enough(&other) {
                summary.add(names::DATA_RECALL, within(&real, &other));
            }
        }
        if let Some(asked) = asked {
            let right = asked.iter().zip(&seen.classes).filter(|(a, b)| a == b);
            let share = right.count() as f64 / asked.len() as f64;
            summary.add(names::CLASS_ACCURACY, share);
        }
        Ok(())
    }
}
