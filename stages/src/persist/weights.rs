//! Weights on disk: safetensors with PyTorch's names and layouts, so that Python can read them directly.

use crate::error::{Error, Result};
use burn::module::Module;
use burn::store::{
    BurnToPyTorchAdapter, ModuleSnapshot, PyTorchToBurnAdapter, SafetensorsStore,
    SafetensorsStoreError,
};
use safetensors::View;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt::Display;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// The only key of the header's metadata. There is only one because the format writes several in random order,
/// and equal weights must give equal bytes.
pub const METADATA: &str = "latent_align";

/// Upper bound of the size of weight files, by far larger than a machine's memory.
const LARGEST: u64 = 64 << 30;
/// The largest header that the format allows.
const LARGEST_HEADER: u64 = 100_000_000;

/// Size of `path` in bytes.
///
/// # Errors
/// A file error if the file does not exist or cannot be accessed.
pub fn file_size(path: &Path) -> Result<u64> {
    let metadata = std::fs::metadata(path);
    Ok(metadata.map_err(|e| Error::file(path, e))?.len())
}

/// Refuses the file of weights `path` if it is too small for `parameters`, the number implied by its header,
/// before memory is allocated. `remedy` is as in [`read_header`].
///
/// # Errors
/// An input error that names the file, the parameters and the bytes; a file error if it cannot be accessed.
pub fn must_hold(path: &Path, parameters: u128, remedy: &str) -> Result<()> {
    let size = file_size(path)?;
    if parameters.saturating_mul(4) > u128::from(size) {
        return Err(Error::input(format!(
            "{}: its header describes a network of at least {parameters} parameters, which do not \
             fit into {size} bytes; {remedy}",
            path.display()
        )));
    }
    Ok(())
}

/// The bytes of a file of weights or of a training's state, unless it is implausibly large.
///
/// # Errors
/// A file error if it cannot be read, or is larger than any weights.
pub fn read_whole(path: &Path) -> Result<Vec<u8>> {
    let size = file_size(path)?;
    if size > LARGEST {
        return Err(Error::file(
            path,
            format!("found {size} bytes, expected at most {LARGEST}: these are not weights"),
        ));
    }
    std::fs::read(path).map_err(|e| Error::file(path, e))
}

/// Writes every parameter of `module` to `path`, with `metadata` (JSON) in the header.
///
/// # Errors
/// A file error if it cannot be written.
pub fn save_weights<M: Module>(module: &M, path: &Path, metadata: &str) -> Result<()> {
    let mut store = SafetensorsStore::from_file(path)
        .overwrite(true)
        .clear_metadata()
        .metadata(METADATA, metadata)
        .with_to_adapter(BurnToPyTorchAdapter);
    with_usual_permissions(path, || {
        (module.save_into(&mut store)).map_err(|error| Error::file(path, error))
    })
}

/// Writes `tensors` and the header's `metadata` to the safetensors file `path`.
///
/// # Errors
/// A file error if it cannot be written.
pub fn save_tensors<S: AsRef<str> + Ord + Display, V: View>(
    tensors: impl IntoIterator<Item = (S, V)>,
    metadata: String,
    path: &Path,
) -> Result<()> {
    let metadata = HashMap::from([(METADATA.to_owned(), metadata)]);
    with_usual_permissions(path, || {
        safetensors::serialize_to_file(tensors, Some(metadata), path)
            .map_err(|error| Error::file(path, error))
    })
}

/// Gives the output of `write` at `path` the default permissions of new files: the library creates files that
/// only their owner may read, regardless of the umask.
fn with_usual_permissions(path: &Path, write: impl FnOnce() -> Result<()>) -> Result<()> {
    let failed = |e| Error::file(path, e);
    let usual = File::create(path).and_then(|file| file.metadata());
    let usual = usual.map_err(failed)?.permissions();
    write()?;
    std::fs::set_permissions(path, usual).map_err(failed)
}

/// The metadata for [`save_weights`]: the name of the format, then the fields of `header`.
pub fn header_json(format: &str, header: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Stamped<'a, H> {
        format: &'a str,
        #[serde(flatten)]
        header: &'a H,
    }
    serde_json::to_string(&Stamped { format, header }).expect("plain data serialises")
}

/// The header that [`save_weights`] wrote to `path`, if it has `format`. `remedy` says how to obtain a valid
/// file, such as `pretrain the flow again`.
///
/// # Errors
/// A file error if it is not a safetensors file with such a header; an input error for another format.
pub fn read_header<H: DeserializeOwned>(path: &Path, format: &str, remedy: &str) -> Result<H> {
    let metadata = read_metadata(path)?;
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

/// The metadata of a safetensors file; only the header is read.
fn read_metadata(path: &Path) -> Result<HashMap<String, String>> {
    #[derive(Deserialize)]
    struct Header {
        #[serde(rename = "__metadata__", default)]
        metadata: HashMap<String, String>,
    }
    let failed = |error: std::io::Error| Error::file(path, error);
    let mut file = File::open(path).map_err(failed)?;
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(failed)?;
    let length = u64::from_le_bytes(length);
    let held = file_size(path)?.saturating_sub(8);
    if length > held.min(LARGEST_HEADER) {
        return Err(Error::file(
            path,
            format!("found a header of {length} bytes in {held}: these are not weights"),
        ));
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header).map_err(failed)?;
    let header: Header =
        serde_json::from_slice(&header).map_err(|error| Error::file(path, error))?;
    Ok(header.metadata)
}

/// Reads every parameter of `module` from `path`; a missing, unknown or misshapen one is an error.
///
/// # Errors
/// A file error if it is not a safetensors file; an input error that names every parameter that is missing,
/// misshapen or unknown.
pub fn load_weights<M: Module>(module: &mut M, path: &Path) -> Result<()> {
    if !path.is_file() {
        return Err(Error::file(path, "no such file; expected weights there"));
    }
    load(module, SafetensorsStore::from_file(path), path)
}

/// As [`load_weights`], from the bytes of a safetensors file read from `origin`.
///
/// # Errors
/// As [`load_weights`].
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
        // missing or misshapen parameters are reported below, with our message
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A sparse safetensors file with a tensor of `floats` numbers, which takes no disk space.
    fn sparse(path: &Path, floats: u64, cut: u64) {
        let bytes = 4 * floats;
        let header = format!(
            r#"{{"__metadata__":{{"{METADATA}":"{{\"format\":\"f 1\",\"width\":3}}"}},"w":{{"dtype":"F32","shape":[{floats}],"data_offsets":[0,{bytes}]}}}}"#
        );
        let mut start = (header.len() as u64).to_le_bytes().to_vec();
        start.extend(header.as_bytes());
        std::fs::write(path, &start).unwrap();
        let file = File::options().write(true).open(path).unwrap();
        file.set_len(start.len() as u64 + bytes - cut).unwrap();
    }

    #[test]
    fn a_header_is_read_without_the_weights_after_it() {
        #[derive(Deserialize)]
        struct Width {
            width: usize,
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("flow.safetensors");
        sparse(&path, 1 << 40, 0); // 4 TiB, more than is ever read whole
        let header: Width = read_header(&path, "f 1", "train again").unwrap();
        assert_eq!(header.width, 3);
        let error = read_header::<Width>(&path, "f 2", "train again")
            .err()
            .unwrap();
        assert!(
            error.to_string().contains("expected \"f 2\"; train again"),
            "{error}"
        );
    }

    #[test]
    fn a_header_longer_than_its_file_is_refused_before_memory_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("flow.safetensors");
        for bytes in [
            &b""[..],
            b"1234567",
            &[0xff; 64],
            &[9, 0, 0, 0, 0, 0, 0, 0, b'{'],
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = read_metadata(&path).unwrap_err().to_string();
            assert!(error.contains("flow.safetensors"), "{error}");
        }
    }
}
