//! A flow over sequences on disk: one file with the weights of flow and table [V, F], as trained (rows are scaled to length 1
//! where they are used), and in its header configuration and alphabet.

use super::config::SeqFlow;
use super::embedded::{Embedded, SequenceFlow};
use crate::error::{Error, Result};
use crate::persist::{header_json, load_weights, must_hold, read_header, save_weights};
use crate::random::Streams;
use crate::sequences::Alphabet;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The file.
const FILE: &str = "seqflow.safetensors";
/// Its format; 1 had contexts that read tokens with noise.
const FORMAT: &str = "latent-align seqflow 2";
/// How to get a file that can be read.
const REMEDY: &str = "pretrain the flow again";

/// What its header says.
#[derive(Serialize, Deserialize)]
struct Header {
    config: SeqFlow,
    alphabet: Alphabet,
}

/// Writes flow and table into the directory `dir`.
///
/// # Errors
/// File errors.
pub(super) fn write(model: &SequenceFlow, dir: &Path) -> Result<()> {
    let header = Header {
        config: model.config.clone(),
        alphabet: model.alphabet.clone(),
    };
    save_weights(
        &model.module,
        &dir.join(FILE),
        &header_json(FORMAT, &header),
    )
}

impl SequenceFlow {
    /// Reads what [`crate::priors::FittedSequences::write`] wrote into `dir`, to `device`.
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
        let Header { config, alphabet } = read_header(&path, FORMAT, REMEDY)?;
        let numbers = alphabet.size() as u128 * config.embedding.width as u128;
        must_hold(&path, numbers, REMEDY)?;
        let mut module = Embedded::new(&config, &alphabet, Streams::new(0), device);
        load_weights(&mut module, &path)?;
        Self::new(&config, &alphabet, module, device)
    }
}
