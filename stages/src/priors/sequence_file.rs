//! A sequence model on disk: one file with its weights, and configuration and alphabet in the header.

use crate::error::Result;
use crate::persist::{header_json, load_weights, must_hold, read_header, save_weights};
use crate::sequences::Alphabet;
use burn::module::Module;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How to obtain a readable file.
const REMEDY: &str = "pretrain the model again";

/// The header, besides the format.
#[derive(Serialize, Deserialize)]
struct Header<C> {
    config: C,
    alphabet: Alphabet,
}

/// Writes `module` to the file `path` in `format`.
///
/// # Errors
/// File errors.
pub(super) fn write<C: Serialize + Clone, M: Module>(
    module: &M,
    path: &Path,
    format: &str,
    (config, alphabet): (&C, &Alphabet),
) -> Result<()> {
    let (config, alphabet) = (config.clone(), alphabet.clone());
    save_weights(
        module,
        path,
        &header_json(format, &Header { config, alphabet }),
    )
}

/// Reads the output of [`write()`] into the module made by `new`; the file must hold at least `at_least`
/// numbers.
///
/// # Errors
/// File errors; input errors for files of another kind.
pub(super) fn read<C: DeserializeOwned, M: Module>(
    path: &Path,
    format: &str,
    at_least: impl Fn(&C, &Alphabet) -> u128,
    new: impl Fn(&C, &Alphabet) -> M,
) -> Result<(C, Alphabet, M)> {
    let Header { config, alphabet } = read_header(path, format, REMEDY)?;
    must_hold(path, at_least(&config, &alphabet), REMEDY)?;
    let mut module = new(&config, &alphabet);
    load_weights(&mut module, path)?;
    Ok((config, alphabet, module))
}
