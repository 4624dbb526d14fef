//! The request for a configuration.

use crate::shipped::ShippedFlow;
use clap::ValueEnum;
use latent_align_stages::data::Files;
use std::path::Path;

/// The name of the JSON Schema beside the configuration.
pub const SCHEMA: &str = "latent-align.schema.json";

/// The request for a configuration.
#[derive(Debug)]
pub struct Request<'a> {
    /// The files of the features, and the dataset if specified; with a flow, the one of data to encode.
    pub features: (&'a Files, Option<&'a str>),
    /// The files of the features as the configuration names them: perhaps a pattern.
    pub named: &'a Files,
    /// A flow that is part of the program, in place of features.
    pub flow: Option<&'static ShippedFlow>,
    /// The file of data to encode.
    pub data: Option<&'a Path>,
    /// The dataset in it.
    pub data_dataset: Option<&'a str>,
    /// Whether features of rank 3 are tokens.
    pub tokens: bool,
    /// How data of rank 3 is read.
    pub data_as: Option<DataAs>,
    /// The command as typed, to suggest it with one more option.
    pub typed: String,
    /// Path of the configuration.
    pub out: &'a Path,
    /// Whether [`SCHEMA`] is written beside it.
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
