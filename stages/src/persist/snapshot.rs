//! The state of a training between two steps: what a resumed one continues from, bit for bit.

use super::weights::{METADATA, read_whole, save_tensors};
use crate::error::{Error, Result};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The name and version of the format; one that differs is not read.
const FORMAT: &str = "latent-align-training-1";

/// Arrays and counts by name. Random streams are functions of the step, so their state is the step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    header: Header,
    arrays: BTreeMap<String, Vec<f32>>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Header {
    format: String,
    /// Steps that are done.
    step: u64,
    /// The last one measured.
    held_out_loss: Option<f64>,
    numbers: BTreeMap<String, u64>,
}

/// Something whose state is part of a training's.
pub trait Resumable {
    /// Puts the state into `snapshot`, every name under `name`.
    ///
    /// # Errors
    /// When the device cannot return it, or when it is not finite: such a state is not worth keeping.
    fn save(&self, name: &str, snapshot: &mut Snapshot) -> Result<()>;

    /// Takes the state that [`Self::save`] put there.
    ///
    /// # Errors
    /// [`Error::Input`] when it is missing or misshapen.
    fn restore(&mut self, name: &str, snapshot: &Snapshot) -> Result<()>;
}

impl Snapshot {
    /// The state of `parts` after `step` steps; `held_out_loss` is the last one measured. Parts that are
    /// not finite at the same step are asked in this order, and the last is blamed: losses after weights.
    ///
    /// # Errors
    /// As [`Resumable::save`]; of divergences the first.
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
        // weights that are not finite are those of a loss that was not, some steps before
        let failed = parts
            .iter()
            .filter_map(|(name, part)| part.save(name, &mut snapshot).err())
            .reduce(Error::earlier);
        failed.map_or(Ok(snapshot), Err)
    }

    /// Steps that are done.
    pub fn step(&self) -> u64 {
        self.header.step
    }

    /// The last held-out loss measured, if any was.
    pub fn held_out_loss(&self) -> Option<f64> {
        self.header.held_out_loss
    }

    /// Keeps an array.
    pub fn put(&mut self, name: impl Into<String>, values: Vec<f32>) {
        self.arrays.insert(name.into(), values);
    }

    /// Keeps a count.
    pub fn put_number(&mut self, name: impl Into<String>, value: u64) {
        self.header.numbers.insert(name.into(), value);
    }

    /// The array `name`.
    ///
    /// # Errors
    /// [`Error::Input`] when there is none.
    pub fn get(&self, name: &str) -> Result<&[f32]> {
        self.arrays
            .get(name)
            .map(Vec::as_slice)
            .ok_or_else(|| missing(name))
    }

    /// The array `name` of `count` elements.
    ///
    /// # Errors
    /// [`Error::Input`] when there is none, or one of another length.
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
    /// [`Error::Input`] when there is none.
    pub fn number(&self, name: &str) -> Result<u64> {
        let found = self.header.numbers.get(name).copied();
        found.ok_or_else(|| missing(name))
    }

    /// Writes all of it to `path`, in safetensors.
    ///
    /// # Errors
    /// [`Error::File`] when the disk refuses.
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

    /// Reads what [`Self::write`] wrote.
    ///
    /// # Errors
    /// [`Error::File`] or [`Error::Input`] when it cannot be read or is of another format.
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
            // not aligned in the file, so not to be cast in place
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
