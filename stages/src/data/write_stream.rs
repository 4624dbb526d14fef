//! One dataset written item by item, for files larger than memory.

use super::hdf5_error::reason;
use super::hdf5_raw::write_items;
use super::write::{Attribute, Partial, create_dataset, write_attribute};
use crate::error::{Error, Result};
use hdf5::{Dataset, File};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};

/// A file with one f32 dataset that is being written. Nothing is at its path before
/// [`Self::commit`].
#[derive(Debug)]
pub struct DatasetWriter {
    // Closing a file whose disk is full crashes libhdf5 (h5py#914), so the handles are dropped only
    // after a flush has succeeded; otherwise they leak until the process ends.
    file: ManuallyDrop<File>,
    dataset: ManuallyDrop<Dataset>,
    shape: Vec<usize>,
    written: usize,
    partial: Partial,
    path: PathBuf,
}

impl DatasetWriter {
    /// Starts `path` with the dataset `name` of shape `shape` and attributes of that dataset. It is
    /// checksummed but not compressed: samples of a continuous law do not compress.
    ///
    /// # Errors
    /// File errors.
    pub fn create(
        path: &Path,
        name: &str,
        shape: &[usize],
        attributes: &[(String, Attribute)],
    ) -> Result<Self> {
        let partial = Partial::beside(path)?;
        let failed = |e: hdf5::Error| Error::file(path, reason(&e));
        let file = File::with_options()
            .with_fcpl(|p| p.obj_track_times(false))
            .with_fapl(|p| p.libver_v110())
            .create_excl(&partial.path)
            .map_err(failed)?;
        let file = ManuallyDrop::new(file);
        let dataset = create_dataset::<f32>(&file, name, shape, false).map_err(failed)?;
        let dataset = ManuallyDrop::new(dataset);
        for (name, value) in attributes {
            write_attribute(&dataset, name, value).map_err(failed)?;
        }
        Ok(Self {
            file,
            dataset,
            shape: shape.to_vec(),
            written: 0,
            partial,
            path: path.to_owned(),
        })
    }

    /// Writes the next items, row-major.
    ///
    /// # Errors
    /// File errors, among them a full disk.
    pub fn append(&mut self, values: &[f32]) -> Result<()> {
        let width: usize = self.shape[1..].iter().product();
        write_items(&self.dataset, &self.shape, self.written, values)
            .map_err(|e| self.failed(&e))?;
        self.written += values.len() / width;
        Ok(())
    }

    /// Finishes the file and puts it at its path.
    ///
    /// # Errors
    /// File errors, among them a full disk; what was at the path before is then still there.
    ///
    /// # Panics
    /// If not all items were appended.
    pub fn commit(mut self) -> Result<()> {
        assert_eq!(self.written, self.shape[0], "items are missing");
        self.file.flush().map_err(|e| self.failed(&e))?;
        // SAFETY: each is dropped once, and `self` is not used for HDF5 after this.
        unsafe {
            ManuallyDrop::drop(&mut self.dataset);
            ManuallyDrop::drop(&mut self.file);
        }
        self.partial.commit()
    }

    fn failed(&self, error: &hdf5::Error) -> Error {
        let bytes = self.shape.iter().product::<usize>() * size_of::<f32>();
        Error::file(
            &self.path,
            format!(
                "writing stopped after {} of {} items ({bytes} bytes in all); is the disk full? {}",
                self.written,
                self.shape[0],
                reason(error)
            ),
        )
    }
}
