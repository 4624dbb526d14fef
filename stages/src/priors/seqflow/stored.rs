//! A flow over sequences on disk: beside the files of every prior `embedding.safetensors`, which holds the table [V, F] as
//! trained (rows are scaled to length 1 where they are used), and in its header the alphabet.

use super::embedded::{Embedded, SequenceFlow};
use crate::data::Normaliser;
use crate::error::{Error, Result};
use crate::persist::{header_json, load_weights, must_hold, read_header, save_weights};
use crate::priors::ModelConfig;
use crate::priors::artifact::{Flow, Stored, stored};
use crate::priors::layout::Layout;
use crate::random::Streams;
use crate::sequences::Alphabet;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The format of the file.
const FORMAT: &str = "latent-align embedding 1";
/// How to get a file that can be read.
const REMEDY: &str = "pretrain the flow again";

/// What its header says.
#[derive(Serialize, Deserialize)]
struct Header {
    alphabet: Alphabet,
}

fn table_of(dir: &Path) -> PathBuf {
    dir.join("embedding.safetensors")
}

/// Writes flow and table into the directory `dir`.
///
/// # Errors
/// File errors.
pub(super) fn write(model: &SequenceFlow, dir: &Path) -> Result<()> {
    let flow = Flow {
        prior: model.prior(),
        normaliser: Normaliser::scale(model.shape.width, 1.0),
        layout: Layout::default(),
        target: None,
    };
    flow.save(&ModelConfig::SeqFlow(model.config.clone()), dir)?;
    let alphabet = model.alphabet.clone();
    let header = header_json(FORMAT, &Header { alphabet });
    save_weights(&model.module.embedding, &table_of(dir), &header)
}

impl SequenceFlow {
    /// Reads what [`crate::priors::FittedSequences::write`] wrote into `dir`, to `device`.
    ///
    /// # Errors
    /// File errors; input errors for files of another kind of prior, or that do not belong together.
    pub fn read(dir: &Path, device: &Device) -> Result<Self> {
        let Stored { model, shape, .. } = stored(dir)?;
        let path = table_of(dir);
        let refuse = |found: String| {
            Error::input(format!(
                "{}: found {found}, expected a flow over sequences, `model: {{kind: seqflow}}` with `features.tokeniser`",
                dir.display()
            ))
        };
        let ModelConfig::SeqFlow(config) = &model else {
            return Err(refuse(format!("a flow of the kind `{}`", model.name())));
        };
        if !path.is_file() {
            return Err(refuse(
                "a flow over numbers: it has no embedding.safetensors".into(),
            ));
        }
        let Header { alphabet } = read_header(&path, FORMAT, REMEDY)?;
        if alphabet.longest() != shape.tokens || config.embedding.width != shape.width {
            return Err(refuse(format!(
                "sequences of {} tokens of width {} beside a flow over points [{}, {}]",
                alphabet.longest(),
                config.embedding.width,
                shape.tokens,
                shape.width
            )));
        }
        must_hold(&path, alphabet.size() as u128 * shape.width as u128, REMEDY)?;
        let mut module = Embedded::new(config, &alphabet, Streams::new(0), device);
        load_weights(&mut module.network, &dir.join("flow.safetensors"))?;
        load_weights(&mut module.embedding, &path)?;
        Self::new(config, &alphabet, module, device)
    }
}
