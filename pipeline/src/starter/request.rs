//! What is asked for.

use clap::ValueEnum;
use std::path::Path;

/// The name of the JSON Schema beside the configuration.
pub const SCHEMA: &str = "latent-align.schema.json";

/// What to write a configuration for.
#[derive(Debug)]
pub struct Request<'a> {
    /// The file of the features, and which dataset if that was said.
    pub features: (&'a Path, Option<&'a str>),
    /// The file of what to encode.
    pub data: Option<&'a Path>,
    /// Which dataset of it.
    pub data_dataset: Option<&'a str>,
    /// Whether features of rank 3 are tokens.
    pub tokens: bool,
    /// How data of rank 3 is read.
    pub data_as: Option<DataAs>,
    /// The command as it was typed, to be typed again with one more option.
    pub typed: String,
    /// Where the configuration will be.
    pub out: &'a Path,
    /// Whether [`SCHEMA`] will be beside it.
    pub schema: bool,
}

/// How items of shape [H, W] are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DataAs {
    /// Images of H x W pixels with one channel
    Images,
    /// Vectors of H * W numbers
    Vectors,
}
