//! Export of a run's weights and their description.

use super::{Artifact, Files, Source};
use ::safetensors::SafeTensors;
use anyhow::Result;
use latent_align_hdf5::as_safetensors;
use latent_align_stages::Error;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// The weights of `source` as `STAGE/NAME.safetensors`, with `arrays` also its HDF5 outputs, and
/// `metadata.json`.
///
/// # Errors
/// [`Error::Input`] if there is nothing to export; an error for a file that differs from its manifest, or
/// cannot be read.
pub fn safetensors(source: &Source, arrays: bool) -> Result<Files> {
    let mut files = Files::default();
    let mut stages = Map::new();
    for artifact in &source.artifacts {
        let mut tensors = Map::new();
        for (name, bytes) in exported(artifact, arrays)? {
            tensors.insert(name.clone(), about(&name, &bytes)?);
            files.add(Path::new(artifact.stage().name()).join(&name), bytes);
        }
        let manifest = &artifact.manifest;
        let stage = json!({
            "fingerprint": manifest.fingerprint,
            "seed": manifest.seed,
            "finished": manifest.finished,
            "program": manifest.program,
            "config": manifest.config,
            "files": tensors,
        });
        stages.insert(artifact.stage().to_string(), stage);
    }
    if files.0.is_empty() {
        return Err(Error::input(format!(
            "{}: found no weights, expected a flow, an autoencoder or a classifier; `--arrays` exports HDF5 \
             outputs, where there are some",
            source.name
        ))
        .into());
    }
    let metadata = json!({ "name": source.name, "stages": stages });
    let metadata = serde_json::to_string_pretty(&metadata)? + "\n";
    files.add("metadata.json", metadata.into_bytes());
    Ok(files)
}

/// The files of an artifact by name.
fn exported(artifact: &Artifact, arrays: bool) -> Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    for name in artifact.outputs("safetensors") {
        if let Some(path) = artifact.output(name)? {
            let bytes = std::fs::read(&path).map_err(|e| Error::file(&path, e))?;
            found.push((name.to_owned(), bytes));
        }
    }
    for name in artifact.outputs("h5").filter(|_| arrays) {
        if let Some(path) = artifact.output(name)? {
            let name = PathBuf::from(name).with_extension("safetensors");
            found.push((name.display().to_string(), as_safetensors(&path)?));
        }
    }
    Ok(found)
}

/// Type and shape of each tensor, and the metadata of the header.
fn about(name: &str, bytes: &[u8]) -> Result<Value> {
    let failed = |e: &dyn std::fmt::Display| Error::file(Path::new(name), e);
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| failed(&e))?;
    let mut tensors = Map::new();
    for (name, info) in metadata.tensors() {
        let about = json!({ "dtype": info.dtype, "shape": info.shape });
        tensors.insert(name, about);
    }
    tensors.sort_keys();
    let header = metadata.metadata().clone().unwrap_or_default();
    let header = header
        .get("latent_align")
        .and_then(|text| serde_json::from_str(text).ok());
    Ok(json!({ "tensors": tensors, "header": header.unwrap_or(Value::Null) }))
}
