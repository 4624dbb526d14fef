//! Tensors in files that both sides read.

use anyhow::{Context as _, Result};
use latent_align_stages::random::Streams;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::BTreeMap;
use std::path::Path;

/// f32 tensors by name, row-major.
#[derive(Default)]
pub struct Tensors(BTreeMap<String, (Vec<usize>, Vec<f32>)>);

impl Tensors {
    pub fn add<const D: usize>(&mut self, name: &str, shape: [usize; D], values: Vec<f32>) {
        self.0.insert(name.to_owned(), (shape.to_vec(), values));
    }

    /// Removes and returns the values of `name`.
    pub fn take(&mut self, name: &str) -> Result<Vec<f32>> {
        let found = self.0.remove(name);
        Ok(found.with_context(|| format!("no tensor `{name}`"))?.1)
    }

    /// Adds N(0, scale^2) to every number, so that none is zero.
    pub fn perturb(&mut self, scale: f32, streams: Streams) {
        for (name, (_, values)) in &mut self.0 {
            let noise = streams.normal(name, 0, values.len());
            for (value, noise) in values.iter_mut().zip(noise) {
                *value += scale * noise;
            }
        }
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        let bytes = self.0.iter().map(|(name, (shape, values))| {
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            (name, shape.clone(), bytes)
        });
        let bytes: Vec<_> = bytes.collect();
        let views = bytes.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
            (name, view.expect("as many values as the shape says"))
        });
        let written = safetensors::serialize_to_file(views, None, path);
        written.with_context(|| path.display().to_string())
    }

    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        let mut tensors = Self::default();
        for (name, view) in SafeTensors::deserialize(&bytes)?.iter() {
            let values = view.data().chunks_exact(4);
            let values = values.map(|b| f32::from_le_bytes(b.try_into().expect("four bytes")));
            let entry = (view.shape().to_vec(), values.collect());
            tensors.0.insert(name.to_owned(), entry);
        }
        Ok(tensors)
    }
}
