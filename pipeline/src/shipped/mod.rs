//! Flows that are part of the program, for experiments without target features: `flow: words-16`.
//!
//! Each was pretrained by a shipped experiment, `configs/flows/NAME.yaml`, and copied by `make flows`. A run unpacks it
//! into its store as an artifact of `pretrain-flow`.

use latent_align_stages::context::Summary;
use latent_align_stages::problems::quoted;
use latent_align_stages::{Error, Result};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::Path;

/// A flow with the files of its artifact.
#[derive(Debug)]
pub struct ShippedFlow {
    /// The name in `flow: NAME`.
    pub name: &'static str,
    /// The width of its points.
    pub width: usize,
    /// What its points are.
    pub about: &'static str,
    record: &'static str,
    files: [(&'static str, &'static [u8]); 4],
}

/// How a flow was made, in `made.json`.
#[derive(Debug, Deserialize)]
struct Record {
    /// Its figures when it was trained.
    figures: Map<String, Value>,
}

/// The flow in `configs/flows/NAME/`.
macro_rules! flow {
    ($name:literal, $width:literal, $about:literal) => {
        ShippedFlow {
            name: $name,
            width: $width,
            about: $about,
            record: include_str!(concat!("../../../configs/flows/", $name, "/made.json")),
            files: [
                flow!($name, "flow.safetensors"),
                flow!($name, "normalisation.safetensors"),
                flow!($name, "held_out.h5"),
                flow!($name, "test.h5"),
            ],
        }
    };
    ($name:literal, $file:literal) => {
        (
            $file,
            include_bytes!(concat!("../../../configs/flows/", $name, "/", $file)) as &[u8],
        )
    };
}

/// All flows that are part of the program.
pub static FLOWS: [ShippedFlow; 2] = [
    flow!(
        "words-16",
        16,
        "word embeddings (MiniLM), projected to 16 dimensions"
    ),
    flow!("words-64", 64, "word embeddings (MiniLM) of 64 dimensions"),
];

/// The flow called `name`, if there is one.
pub fn named(name: &str) -> Option<&'static ShippedFlow> {
    FLOWS.iter().find(|flow| flow.name == name)
}

/// The names of all flows, as in "`a` or `b`".
pub fn names() -> String {
    quoted(&FLOWS.each_ref().map(|flow| flow.name))
}

impl ShippedFlow {
    /// What identifies the artifact: the name, and the digest of its files.
    pub fn identity(&self) -> Value {
        let mut digest = blake3::Hasher::new();
        for (file, bytes) in self.files {
            digest.update(file.as_bytes());
            digest.update(blake3::hash(bytes).as_bytes());
        }
        let digest = digest.finalize().to_hex();
        json!({"shipped": {"flow": self.name, "digest": digest.as_str()}})
    }

    /// Writes its files into the folder `dir`; returns the figures of its training.
    ///
    /// # Errors
    /// File errors.
    pub fn unpack(&self, dir: &Path) -> Result<Summary> {
        for (name, bytes) in self.files {
            let file = dir.join(name);
            std::fs::write(&file, bytes).map_err(|e| Error::file(&file, e))?;
        }
        let record: Record = serde_json::from_str(self.record)
            .map_err(|e| Error::input(format!("{}: its record cannot be read ({e})", self.name)))?;
        let figures = record.figures.into_iter();
        Ok(Summary {
            figures: figures
                .filter_map(|(name, value)| Some((name, value.as_f64()?)))
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests;
