//! Datasets written item by item, for files larger than memory.

use crate::error::{Error, Result, reason};
use crate::raw::write_items;
use crate::write::{Attribute, Number, OutData, Partial, create_dataset, write_attribute};
use half::f16;
use hdf5::{Dataset, File};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};

/// A file of datasets being written. It appears at its path only on [`Self::commit`].
#[derive(Debug)]
pub struct DatasetWriter {
    // Closing a file on a full disk crashes libhdf5 (h5py#914), so the handles are dropped only
    // after a successful flush; otherwise they leak until the process ends.
    file: ManuallyDrop<File>,
    datasets: Vec<Growing>,
    partial: Partial,
    path: PathBuf,
}

/// A dataset of f32 to write: name, shape and attributes.
pub type NewDataset<'a> = (&'a str, &'a [usize], &'a [(String, Attribute)]);

/// A dataset of any type to write.
#[derive(Debug, Clone)]
pub struct Planned {
    pub name: String,
    pub shape: Vec<usize>,
    pub number: Number,
    /// Its attributes.
    pub about: Vec<(String, Attribute)>,
}

#[derive(Debug)]
struct Growing {
    handle: ManuallyDrop<Dataset>,
    shape: Vec<usize>,
    number: Number,
    written: usize,
}

impl DatasetWriter {
    /// Starts a file at `path` with the dataset `name` of shape `shape` and its attributes. It is
    /// checksummed but not compressed: samples of a continuous distribution do not compress.
    ///
    /// # Errors
    /// File errors.
    pub fn create(
        path: &Path,
        name: &str,
        shape: &[usize],
        attributes: &[(String, Attribute)],
    ) -> Result<Self> {
        Self::create_all(path, &[(name, shape, attributes)])
    }

    /// As [`Self::create`], with several datasets.
    ///
    /// # Errors
    /// File errors.
    pub fn create_all(path: &Path, datasets: &[NewDataset<'_>]) -> Result<Self> {
        let planned: Vec<Planned> = (datasets.iter())
            .map(|&(name, shape, about)| Planned {
                name: name.to_owned(),
                shape: shape.to_vec(),
                number: Number::F32,
                about: about.to_vec(),
            })
            .collect();
        Self::create_planned(path, &planned)
    }

    /// As [`Self::create_all`], with values of any type. Bytes and integers are compressed.
    ///
    /// # Errors
    /// File errors.
    pub fn create_planned(path: &Path, datasets: &[Planned]) -> Result<Self> {
        let partial = Partial::beside(path)?;
        let failed = |e: hdf5::Error| Error::file(path, reason(&e));
        let file = File::with_options()
            .with_fcpl(|p| p.obj_track_times(false))
            .with_fapl(|p| p.libver_v110())
            .create_excl(&partial.path)
            .map_err(failed)?;
        let mut writer = Self {
            file: ManuallyDrop::new(file),
            datasets: Vec::new(),
            partial,
            path: path.to_owned(),
        };
        for Planned {
            name,
            shape,
            number,
            about,
        } in datasets
        {
            let file = &writer.file;
            let handle = match number {
                Number::F16 => create_dataset::<f16>(file, name, shape, false),
                Number::F32 => create_dataset::<f32>(file, name, shape, false),
                Number::F64 => create_dataset::<f64>(file, name, shape, false),
                Number::U8 => create_dataset::<u8>(file, name, shape, true),
                Number::I64 => create_dataset::<i64>(file, name, shape, true),
            };
            let handle = ManuallyDrop::new(handle.map_err(failed)?);
            for (name, value) in about {
                write_attribute(&handle, name, value).map_err(failed)?;
            }
            writer.datasets.push(Growing {
                handle,
                shape: shape.clone(),
                number: *number,
                written: 0,
            });
        }
        Ok(writer)
    }

    /// Writes the next items, row-major.
    ///
    /// # Errors
    /// File errors, such as a full disk.
    pub fn append(&mut self, values: &[f32]) -> Result<()> {
        self.append_to(0, values)
    }

    /// As [`Self::append`], to dataset `number` in the order of creation.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_to(&mut self, number: usize, values: &[f32]) -> Result<()> {
        self.append_values(number, OutData::F32(values))
    }

    /// As [`Self::append_to`], with values of any type; libhdf5 converts them to that of the dataset.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_values(&mut self, number: usize, values: OutData<'_>) -> Result<()> {
        let dataset = &mut self.datasets[number];
        let (handle, shape, first) = (&dataset.handle, &dataset.shape, dataset.written);
        let (written, count) = match values {
            OutData::F16(v) => (write_items(handle, shape, first, v), v.len()),
            OutData::F32(v) => (write_items(handle, shape, first, v), v.len()),
            OutData::F64(v) => (write_items(handle, shape, first, v), v.len()),
            OutData::U8(v) => (write_items(handle, shape, first, v), v.len()),
            OutData::I64(v) => (write_items(handle, shape, first, v), v.len()),
        };
        if let Err(e) = written {
            return Err(self.failed(number, &e));
        }
        let width: usize = dataset.shape[1..].iter().product();
        dataset.written += count / width;
        Ok(())
    }

    /// Finishes the file and moves it to its path.
    ///
    /// # Errors
    /// File errors, such as a full disk; the previous file then remains.
    ///
    /// # Panics
    /// If items are missing.
    pub fn commit(self) -> Result<()> {
        for dataset in &self.datasets {
            assert_eq!(dataset.written, dataset.shape[0], "items are missing");
        }
        self.file.flush().map_err(|e| self.failed(0, &e))?;
        let Self {
            file,
            datasets,
            mut partial,
            ..
        } = self;
        for dataset in datasets {
            drop(ManuallyDrop::into_inner(dataset.handle));
        }
        drop(ManuallyDrop::into_inner(file));
        partial.commit()
    }

    fn failed(&self, number: usize, error: &hdf5::Error) -> Error {
        let Growing {
            shape,
            written,
            number,
            ..
        } = &self.datasets[number];
        let size = match number {
            Number::U8 => 1,
            Number::F16 => 2,
            Number::F32 => 4,
            Number::F64 | Number::I64 => 8,
        };
        let bytes = shape.iter().product::<usize>() * size;
        Error::file(
            &self.path,
            format!(
                "writing stopped after {written} of {} items ({bytes} bytes in all); is the disk full? {}",
                shape[0],
                reason(error)
            ),
        )
    }
}
