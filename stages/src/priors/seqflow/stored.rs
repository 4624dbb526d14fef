//! A flow over sequences on disk: one file with the weights of the flow and the table [V, F] as trained (rows are
//! normalised on use), and configuration and alphabet in its header.

use super::config::SeqFlow;
use super::embedded::{Embedded, SequenceFlow};
use crate::error::{Error, Result};
use crate::priors::sequence_file;
use crate::random::Streams;
use crate::sequences::Alphabet;
use burn::tensor::Device;
use std::path::Path;

/// The file.
const FILE: &str = "seqflow.safetensors";
/// In format 1, contexts read tokens with noise.
const FORMAT: &str = "latent-align seqflow 2";
/// Writes flow and table into the directory `dir`.
///
/// # Errors
/// File errors.
pub(super) fn write(model: &SequenceFlow, dir: &Path) -> Result<()> {
    let about = (&model.config, &model.alphabet);
    sequence_file::write(&model.module, &dir.join(FILE), FORMAT, about)
}

impl SequenceFlow {
    /// Reads the output of [`crate::priors::FittedSequences::write`] in `dir` to `device`.
    ///
    /// # Errors
    /// File errors; input errors for files of another kind of prior.
    pub fn read(dir: &Path, device: &Device) -> Result<Self> {
        let path = dir.join(FILE);
        if !path.is_file() {
            return Err(Error::input(format!(
                "{}: found no {FILE}, expected a flow over sequences, `model: {{kind: seqflow}}` with `features.tokeniser`",
                dir.display()
            )));
        }
        let numbers = |config: &SeqFlow, alphabet: &Alphabet| {
            alphabet.size() as u128 * config.embedding.width as u128
        };
        let (config, alphabet, module) =
            sequence_file::read(&path, FORMAT, numbers, |config, alphabet| {
                Embedded::new(config, alphabet, Streams::new(0), device)
            })?;
        Self::new(&config, &alphabet, module, device)
    }
}
