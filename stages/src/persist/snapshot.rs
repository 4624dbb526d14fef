//! The state of a training between two steps, from which it resumes bit for bit.

use super::weights::{METADATA, read_whole, save_tensors};
use crate::error::{Error, Result};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Name and version of the format; others are not read.
const FORMAT: &str = "latent-align-training-1";

/// Arrays and counts by name. Random streams are functions of the step, so the step is their state.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    header: Header,
    arrays: BTreeMap<String, Vec<f32>>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Header {
    format: String,
    /// Completed steps.
    step: u64,
    /// The last measured one.
    held_out_loss: Option<f64>,
    numbers: BTreeMap<String, u64>,
}

/// A part of a training's state.
pub trait Resumable {
    /// Puts the state into `snapshot`, under names that start with `name`.
    ///
    /// # Errors
    /// If the device cannot return it, or it is not finite and therefore not worth keeping.
    fn save(&self, name: &str, snapshot: &mut Snapshot) -> Result<()>;

    /// Restores the state that [`Self::save`] wrote.
    ///
    /// # Errors
    /// [`Error::Input`] if it is missing or misshapen.
    fn restore(&mut self, name: &str, snapshot: &Snapshot) -> Result<()>;
}

impl Snapshot {
    /// The state of `parts` after `step` steps; `held_out_loss` is the last measured one. Parts are saved
    /// in this order; if several are not finite at the same step, the last is reported: losses after
    /// weights.
    ///
    /// # Errors
    /// As [`Resumable::save`]; the first divergence if there are several.
    pub fn of(
        step: u64,
        held_out_loss: Option<f64>,
        parts: &[(&str, &dyn Resumable)],
    ) -> Result<Self> {
        let mut snapshot = Self {
            header: Header {
                format: FORMAT.into(),
                step,
                held_out_loss,
                numbers: BTreeMap::new(),
            },
            arrays: BTreeMap::new(),
        };
        // weights that are not finite follow from an earlier loss that was not
        let failed = parts
            .iter()
            .filter_map(|(name, part)| part.save(name, &mut snapshot).err())
            .reduce(Error::earlier);
        failed.map_or(Ok(snapshot), Err)
    }

    /// Completed steps.
    pub fn step(&self) -> u64 {
        self.header.step
    }

    /// The last measured held-out loss, if any.
    pub fn held_out_loss(&self) -> Option<f64> {
        self.header.held_out_loss
    }

    /// Stores an array.
    pub fn put(&mut self, name: impl Into<String>, values: Vec<f32>) {
        self.arrays.insert(name.into(), values);
    }

    /// Stores a count.
    pub fn put_number(&mut self, name: impl Into<String>, value: u64) {
        self.header.numbers.insert(name.into(), value);
    }

    /// The array `name`.
    ///
    /// # Errors
    /// [`Error::Input`] if there is none.
    pub fn get(&self, name: &str) -> Result<&[f32]> {
        self.arrays
            .get(name)
            .map(Vec::as_slice)
            .ok_or_else(|| missing(name))
    }

    /// The array `name` of `count` elements.
    ///
    /// # Errors
    /// [`Error::Input`] if there is none, or it has another length.
    pub fn get_exactly(&self, name: &str, count: usize) -> Result<Vec<f32>> {
        let values = self.get(name)?;
        if values.len() == count {
            return Ok(values.to_vec());
        }
        Err(Error::input(format!(
            "the training's state holds {} elements of {name}, expected {count}",
            values.len()
        )))
    }

    /// The count `name`.
    ///
    /// # Errors
    /// [`Error::Input`] if there is none.
    pub fn number(&self, name: &str) -> Result<u64> {
        let found = self.header.numbers.get(name).copied();
        found.ok_or_else(|| missing(name))
    }

    /// Writes the snapshot to `path` in safetensors.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let failed = |e: &dyn std::fmt::Display| Error::file(path, e);
        let header = serde_json::to_string(&self.header).map_err(|e| failed(&e))?;
        let views = self.arrays.iter().map(|(name, values)| {
            let bytes = bytemuck::cast_slice(values);
            TensorView::new(Dtype::F32, vec![values.len()], bytes).map(|view| (name, view))
        });
        let views: Vec<_> = views.collect::<Result<_, _>>().map_err(|e| failed(&e))?;
        save_tensors(views, header, path)
    }

    /// Reads the output of [`Self::write`].
    ///
    /// # Errors
    /// [`Error::File`] or [`Error::Input`] if it cannot be read or has another format.
    pub fn read(path: &Path) -> Result<Self> {
        let failed = |e: &dyn std::fmt::Display| Error::file(path, e);
        let bytes = read_whole(path)?;
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| failed(&e))?;
        let header = metadata.metadata().as_ref().and_then(|m| m.get(METADATA));
        let header = header.ok_or_else(|| failed(&"found no header of a training's state"))?;
        let header: Header = serde_json::from_str(header).map_err(|e| failed(&e))?;
        if header.format != FORMAT {
            return Err(Error::input(format!(
                "{}: found format `{}`, expected `{FORMAT}`; use the version of latent-align that \
                 wrote it, or remove it to train from the start",
                path.display(),
                header.format
            )));
        }
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| failed(&e))?;
        let mut arrays = BTreeMap::new();
        for (name, view) in tensors.iter() {
            if view.dtype() != Dtype::F32 {
                return Err(failed(&format!(
                    "{name} is {:?}, expected F32",
                    view.dtype()
                )));
            }
            // not aligned in the file, so it cannot be cast in place
            let values = view.data().chunks_exact(4);
            let values = values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            arrays.insert(name.to_owned(), values.collect());
        }
        Ok(Self { header, arrays })
    }
}

fn missing(name: &str) -> Error {
    Error::input(format!(
        "the training's state holds no {name}; it is that of another version of latent-align"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reads_back_bit_for_bit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.safetensors");
        let mut state = Snapshot::of(7, Some(0.1), &[]).unwrap();
        state.put("a", vec![1.5, -0.0, f32::MIN_POSITIVE / 2.0]);
        state.put("empty", vec![]);
        state.put_number("taken", u64::MAX);
        state.write(&path).unwrap();
        let read = Snapshot::read(&path).unwrap();
        assert_eq!(read, state);
        assert_eq!(read.get("a").unwrap()[1].to_bits(), (-0.0f32).to_bits());
        assert_eq!((read.step(), read.held_out_loss()), (7, Some(0.1)));
        assert!(read.get("b").is_err());
        assert!(read.get_exactly("a", 2).is_err());
        assert!(read.number("lost").is_err());
    }

    #[test]
    fn what_is_no_state_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.safetensors");
        assert!(Snapshot::read(&path).is_err());
        for bytes in [
            &b""[..],
            b"garbage that is longer than a header",
            &[255; 64],
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert!(Snapshot::read(&path).is_err());
        }
    }
}
