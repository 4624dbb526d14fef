//! A classifier on disk: `classifier.safetensors`, with a header from which it can be rebuilt.

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
/// The format; readers refuse others.
const FORMAT: &str = "latent-align classifier 1";
/// How to obtain a readable file.
const REMEDY: &str = "train the classifier again";

/// The header of `classifier.safetensors`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassifierHeader {
    /// The layers before the features.
    pub architecture: ArchitectureConfig,
    /// F, the number of penultimate activations.
    pub features: usize,
    /// K, the number of classes.
    pub classes: usize,
    pub shape: DataShape,
    /// Divisor of the data's values.
    pub maximum: f64,
}

impl Classifier {
    /// Writes the weights and `header` into the directory `dir`.
    ///
    /// # Errors
    /// A file error if the weights cannot be written.
    pub fn save(&self, header: &ClassifierHeader, dir: &Path) -> Result<()> {
        save_weights(self, &dir.join(FILE), &header_json(FORMAT, header))
    }

    /// Reads the classifier in the directory `dir` onto `device` with frozen weights.
    ///
    /// # Errors
    /// File errors; an input error if the weights are not a classifier's, with every field of their header
    /// that is out of range.
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
