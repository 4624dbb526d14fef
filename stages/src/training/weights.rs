//! Weights on disk: safetensors with PyTorch's names and layouts, so that Python reads them as they
//! are.

use crate::error::{Error, Result};
use burn::module::Module;
use burn::store::{
    BurnToPyTorchAdapter, ModuleSnapshot, PyTorchToBurnAdapter, SafetensorsStore,
    SafetensorsStoreError,
};
use safetensors::SafeTensors;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;

/// The one key of the header's metadata. There is only one because the format writes several in
/// random order, and equal weights shall be equal bytes.
pub const METADATA: &str = "latent_align";

/// No file of weights that fits a machine's memory is larger.
const LARGEST: u64 = 64 << 30;

/// The bytes that `path` has.
pub fn file_size(path: &Path) -> Result<u64> {
    let metadata = std::fs::metadata(path);
    Ok(metadata.map_err(|e| Error::file(path, e))?.len())
}

/// Refuses the file of weights `path` if its header is that of a network of at least `parameters`, for
/// which memory would be taken, and it is too small for them. `remedy` is as in [`read_header`].
pub fn must_hold(path: &Path, parameters: u128, remedy: &str) -> Result<()> {
    let size = file_size(path)?;
    if parameters.saturating_mul(4) > u128::from(size) {
        return Err(Error::input(format!(
            "{}: its header is that of a network of at least {parameters} parameters, which {size} bytes do \
             not hold; {remedy}",
            path.display()
        )));
    }
    Ok(())
}

/// The bytes of a file of weights or of a training's state; one that is far too large is not read.
pub fn read_whole(path: &Path) -> Result<Vec<u8>> {
    let size = file_size(path)?;
    if size > LARGEST {
        return Err(Error::file(
            path,
            format!("found {size} bytes, expected at most {LARGEST}: these are no weights"),
        ));
    }
    std::fs::read(path).map_err(|e| Error::file(path, e))
}

/// Writes every parameter of `module` to `path`, with `metadata` (JSON) in the header.
pub fn save_weights<M: Module>(module: &M, path: &Path, metadata: &str) -> Result<()> {
    let mut store = SafetensorsStore::from_file(path)
        .overwrite(true)
        .clear_metadata()
        .metadata(METADATA, metadata)
        .with_to_adapter(BurnToPyTorchAdapter);
    module
        .save_into(&mut store)
        .map_err(|error| Error::file(path, error))
}

/// What [`save_weights`] takes as metadata: the fields of `header` after the name of their format.
pub fn header_json(format: &str, header: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Stamped<'a, H> {
        format: &'a str,
        #[serde(flatten)]
        header: &'a H,
    }
    serde_json::to_string(&Stamped { format, header }).expect("plain data serialises")
}

/// The header that [`save_weights`] put into `path`, if it is of `format`. `remedy` says how to get a
/// file that is, such as `pretrain the flow again`.
pub fn read_header<H: DeserializeOwned>(path: &Path, format: &str, remedy: &str) -> Result<H> {
    let bytes = read_whole(path)?;
    let (_, metadata) =
        SafeTensors::read_metadata(&bytes).map_err(|error| Error::file(path, error))?;
    let metadata = metadata.metadata().clone().unwrap_or_default();
    let header = metadata.get(METADATA).map_or("{}", String::as_str);
    let header: serde_json::Value =
        serde_json::from_str(header).map_err(|error| Error::file(path, error))?;
    if header["format"] != format {
        return Err(Error::input(format!(
            "{}: found format {}, expected \"{format}\"; {remedy} or use the version of \
             latent-align that wrote it",
            path.display(),
            header["format"]
        )));
    }
    serde_json::from_value(header).map_err(|error| Error::file(path, error))
}

/// Reads every parameter of `module` from `path`; a missing, unknown or misshapen one is an error.
pub fn load_weights<M: Module>(module: &mut M, path: &Path) -> Result<()> {
    if !path.is_file() {
        return Err(Error::file(path, "no such file; expected weights there"));
    }
    load(module, SafetensorsStore::from_file(path), path)
}

/// As [`load_weights`], from the bytes of a safetensors file that came from `origin`.
pub fn load_weights_from_bytes<M: Module>(
    module: &mut M,
    bytes: Vec<u8>,
    origin: &Path,
) -> Result<()> {
    load(module, SafetensorsStore::from_bytes(Some(bytes)), origin)
}

fn load<M: Module>(module: &mut M, store: SafetensorsStore, origin: &Path) -> Result<()> {
    let mut store = store
        .with_from_adapter(PyTorchToBurnAdapter)
        // what is missing or misshapen is reported below, in our words
        .allow_partial(true)
        .validate(false);
    let result = module
        .load_from(&mut store)
        .map_err(|error: SafetensorsStoreError| Error::file(origin, error))?;
    if !result.missing.is_empty() || !result.errors.is_empty() {
        let missing: Vec<&str> = result.missing.iter().map(|m| m.0.as_str()).collect();
        let wrong: Vec<String> = result.errors.iter().map(ToString::to_string).collect();
        return Err(Error::input(format!(
            "{}: found no usable tensor for: {}; expected all the weights of this architecture",
            origin.display(),
            [missing.join(", "), wrong.join("; ")].join(" ").trim(),
        )));
    }
    if !result.unused.is_empty() {
        return Err(Error::input(format!(
            "{}: found tensors that this model does not have: {}; expected the weights of the \
             same architecture",
            origin.display(),
            result.unused.join(", ")
        )));
    }
    Ok(())
}
