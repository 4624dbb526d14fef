//! A classifier on disk: `classifier.safetensors`, its header enough to build it again.

use super::model::Classifier;
use crate::architectures::ArchitectureConfig;
use crate::data::DataShape;
use crate::error::{Error, Result};
use crate::persist::{header_json, load_weights, read_header, save_weights};
use crate::problems::Problems;
use crate::random::Streams;
use burn::module::Module;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The file in an artifact's directory.
const FILE: &str = "classifier.safetensors";
/// Its format; a reader refuses another one.
const FORMAT: &str = "latent-align classifier 1";
/// How to get a file that can be read.
const REMEDY: &str = "train the classifier again";

/// What the header of `classifier.safetensors` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassifierHeader {
    /// The layers before the features.
    pub architecture: ArchitectureConfig,
    /// F, how many penultimate activations.
    pub features: usize,
    /// K.
    pub classes: usize,
    /// The shape of a row of data.
    pub shape: DataShape,
    /// What the data's values were divided by.
    pub maximum: f64,
}

impl Classifier {
    /// Writes the weights and `header` into the directory `dir`.
    ///
    /// # Errors
    /// A file error where the weights cannot be written.
    pub fn save(&self, header: &ClassifierHeader, dir: &Path) -> Result<()> {
        save_weights(self, &dir.join(FILE), &header_json(FORMAT, header))
    }

    /// Reads the classifier in the directory `dir` onto `device`, its weights frozen.
    ///
    /// # Errors
    /// File errors; an input error for weights that are no classifier's, with every field of their header that
    /// is out of range.
    pub fn load(dir: &Path, device: &Device) -> Result<(Self, ClassifierHeader)> {
        let path = dir.join(FILE);
        let header: ClassifierHeader = read_header(&path, FORMAT, REMEDY)?;
        let mut problems = Problems::new();
        problems.within("classes", header.classes, 1..=65_536);
        (header.architecture).check_stored(
            problems,
            header.shape,
            header.maximum,
            header.features as u128,
            &path,
            REMEDY,
        )?;
        let mut classifier = Self::new(
            &header.architecture,
            header.features,
            header.classes,
            header.shape,
            Streams::new(0),
            device,
        )
        .ok_or_else(|| {
            Error::input(format!(
                "{}: found free points, expected a classifier",
                path.display()
            ))
        })?;
        load_weights(&mut classifier, &path)?;
        Ok((classifier.no_grad(), header))
    }
}
