//! Atomic writing of HDF5 files.
//!
//! libhdf5 can crash on a full disk and leaves an unreadable file if it is killed, so it never writes
//! to the final path: small files are built in memory and written as plain bytes, large ones
//! ([`crate::DatasetWriter`]) next to the final path. Then: fsync, rename, fsync of the directory. All
//! data is checksummed (fletcher32), since HDF5 would otherwise return corrupted data silently.

use crate::error::{Error, Result, reason};
use crate::guard::Asked;
use crate::name::absolute;
use crate::open::{open_dataset, open_file};
use crate::raw::{Readable, file_image, read_items, write_items};
use crate::superblock::seal;
use crate::temporary::{self, folder_of};
use half::f16;
use hdf5::types::VarLenUnicode;
use hdf5::{File, H5Type, Location};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Approximate size of a chunk in bytes, the unit of checksums and compression.
const CHUNK_BYTES: usize = 256 << 10;

/// The values of a dataset, row-major.
#[derive(Debug, Clone, Copy)]
pub enum OutData<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// Double precision.
    F64(&'a [f64]),
    /// Bytes.
    U8(&'a [u8]),
    /// Integers.
    I64(&'a [i64]),
    /// Half precision.
    F16(&'a [f16]),
}

/// The type of the values of a dataset to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    F16,
    F32,
    F64,
    U8,
    I64,
}

impl Number {
    /// Its name, as listings show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::U8 => "u8",
            Self::I64 => "i64",
        }
    }
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// UTF-8 text.
    Text(String),
    /// A real number.
    Float(f64),
    /// An integer.
    Int(i64),
    /// Real numbers of the given shape, row-major.
    Array(Vec<usize>, Vec<f64>),
}

/// Writes `datasets` (name, shape, values; a name may contain groups) and attributes of the file to
/// `path`, replacing an existing file: chunked, shuffled, compressed by gzip, checksummed. Holds the
/// compressed file in memory.
///
/// # Errors
/// File errors; the previous file at `path` then remains.
///
/// # Panics
/// If a shape does not match its values.
pub fn write_datasets(
    path: &Path,
    datasets: &[(&str, &[usize], OutData<'_>)],
    attributes: &[(&str, Attribute)],
) -> Result<()> {
    let described: Vec<Described> = (datasets.iter())
        .map(|&(name, shape, values)| Described {
            name,
            shape,
            values,
            about: &[],
        })
        .collect();
    write_described(path, &described, attributes)
}

/// A dataset to write, with its own attributes.
#[derive(Debug, Clone, Copy)]
pub struct Described<'a> {
    /// Its name, which may contain groups.
    pub name: &'a str,
    pub shape: &'a [usize],
    pub values: OutData<'a>,
    /// Attributes, such as the space and units of the values.
    pub about: &'a [(&'a str, Attribute)],
}

/// As [`write_datasets`], for datasets with attributes.
///
/// # Errors
/// As [`write_datasets`].
///
/// # Panics
/// As [`write_datasets`].
pub fn write_described(
    path: &Path,
    datasets: &[Described<'_>],
    attributes: &[(&str, Attribute)],
) -> Result<()> {
    write_image(path, |file| {
        for (name, value) in attributes {
            write_attribute(file, name, value)?;
        }
        for dataset in datasets {
            let written = write_dataset(file, dataset.name, dataset.shape, dataset.values)?;
            for (name, value) in dataset.about {
                write_attribute(&written, name, value)?;
            }
        }
        Ok(())
    })
}

/// Builds a file in memory with `fill` and writes it to `path`.
pub(crate) fn write_image(path: &Path, fill: impl FnOnce(&File) -> hdf5::Result<()>) -> Result<()> {
    let build = || -> hdf5::Result<Vec<u8>> {
        let file = File::with_options()
            .with_fcpl(|p| p.obj_track_times(false))
            .with_fapl(|p| p.core_options(1 << 20, false).libver_v110())
            .create(path)?;
        fill(&file)?;
        file.flush()?;
        let mut image = file_image(&file)?;
        seal(&mut image);
        file.close()?;
        Ok(image)
    };
    let image = build().map_err(|e| Error::file(path, reason(&e)))?;
    let mut partial = Partial::beside(path)?;
    let written = std::fs::File::create_new(&partial.path).and_then(|mut f| f.write_all(&image));
    written.map_err(|e| {
        Error::file(
            path,
            format!("{} bytes cannot be written: {e}", image.len()),
        )
    })?;
    partial.commit()
}

/// Creates the dataset `name` of the given shape: chunked along the first axis and checksummed.
pub(crate) fn create_dataset<T: H5Type>(
    file: &File,
    name: &str,
    shape: &[usize],
    compress: bool,
) -> hdf5::Result<hdf5::Dataset> {
    // no timestamps, so that equal data gives equal bytes
    let builder = file.new_dataset::<T>().obj_track_times(false);
    let name = absolute(name);
    if shape.contains(&0) || shape.is_empty() {
        // nothing to split into chunks
        return builder.shape(shape.to_vec()).create(name.as_str());
    }
    let item = shape[1..].iter().product::<usize>() * size_of::<T>();
    let mut chunk = shape.to_vec();
    chunk[0] = (CHUNK_BYTES / item.max(1)).clamp(1, shape[0]);
    let builder = builder.shape(shape.to_vec()).chunk(chunk);
    // shuffled bytes compress better, but take time to reorder
    let builder = match compress {
        true => builder.shuffle().deflate(4),
        false => builder,
    };
    builder.fletcher32().create(name.as_str())
}

/// Writes a complete dataset into an open file.
pub(crate) fn write_dataset(
    file: &File,
    name: &str,
    shape: &[usize],
    values: OutData<'_>,
) -> hdf5::Result<hdf5::Dataset> {
    fn all<T: H5Type>(
        file: &File,
        name: &str,
        shape: &[usize],
        values: &[T],
    ) -> hdf5::Result<hdf5::Dataset> {
        assert_eq!(
            shape.iter().product::<usize>(),
            values.len(),
            "the shape {shape:?} of `{name}` does not fit its values"
        );
        let dataset = create_dataset::<T>(file, name, shape, true)?;
        write_items(&dataset, shape, 0, values)?;
        Ok(dataset)
    }
    match values {
        OutData::F32(values) => all(file, name, shape, values),
        OutData::F64(values) => all(file, name, shape, values),
        OutData::U8(values) => all(file, name, shape, values),
        OutData::I64(values) => all(file, name, shape, values),
        OutData::F16(values) => all(file, name, shape, values),
    }
}

/// Writes one attribute of a file, group or dataset.
pub(crate) fn write_attribute(
    location: &Location,
    name: &str,
    value: &Attribute,
) -> hdf5::Result<()> {
    match value {
        Attribute::Text(text) => {
            let text: VarLenUnicode = text
                .parse()
                .map_err(|e| format!("attribute `{name}` cannot be stored: {e:?}"))?;
            let attribute = location.new_attr::<VarLenUnicode>().create(name)?;
            attribute.write_scalar(&text)
        }
        Attribute::Float(value) => location.new_attr::<f64>().create(name)?.write_scalar(value),
        Attribute::Int(value) => location.new_attr::<i64>().create(name)?.write_scalar(value),
        Attribute::Array(shape, values) => location
            .new_attr::<f64>()
            .shape(shape.clone())
            .create(name)?
            .write_raw(values.as_slice()),
    }
}

/// Reads a complete dataset of any rank as f32; for files written by this crate.
///
/// # Errors
/// Input errors for a file or dataset that is missing or damaged, or has no numbers convertible to f32.
pub fn read_dataset_f32(path: &Path, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
    read_dataset(path, name, "f32")
}

/// As [`read_dataset_f32`], for integers.
///
/// # Errors
/// As [`read_dataset_f32`].
pub fn read_dataset_i64(path: &Path, name: &str) -> Result<(Vec<usize>, Vec<i64>)> {
    read_dataset(path, name, "i64")
}

/// Reads a complete dataset; libhdf5 converts its numbers to `T`, called `kind` in messages.
///
/// # Errors
/// As [`read_dataset_f32`].
pub fn read_dataset<T: Readable>(
    path: &Path,
    name: &str,
    kind: &str,
) -> Result<(Vec<usize>, Vec<T>)> {
    let file = open_file(path, &Asked::dataset(name))?;
    let dataset = open_dataset(&file, path, name)?;
    let failed = |e: hdf5::Error| {
        Error::input(format!(
            "`{}` in {} cannot be read as {kind}: {}",
            absolute(name),
            path.display(),
            reason(&e)
        ))
    };
    let shape = dataset.get_shape().map_err(failed)?;
    let values = match shape.first() {
        Some(&items) => read_items::<T>(&dataset, &shape, 0..items),
        None => dataset.read_raw::<T>(),
    };
    Ok((shape, values.map_err(failed)?))
}

/// The shape of the dataset `name` in the HDF5 file `path`.
///
/// # Errors
/// Input errors for a file or a dataset that is missing or damaged.
pub fn dataset_shape(path: &Path, name: &str) -> Result<Vec<usize>> {
    let file = open_file(path, &Asked::dataset(name))?;
    Ok(open_dataset(&file, path, name)?.shape())
}

/// Whether the HDF5 file `path` has a dataset `name`.
///
/// # Errors
/// Input errors for a file that is missing or damaged.
pub fn has_dataset(path: &Path, name: &str) -> Result<bool> {
    Ok(open_file(path, &Asked::dataset(name))?.link_exists(name))
}

/// A temporary file next to its final path, removed unless committed.
#[derive(Debug)]
pub(crate) struct Partial {
    pub(crate) path: PathBuf,
    target: PathBuf,
    committed: bool,
}

impl Partial {
    /// Chooses a name in the directory of `target`, and removes files that killed processes left there
    /// for the same target; creates nothing. The creator must refuse an existing file, in particular a
    /// malicious link.
    pub(crate) fn beside(target: &Path) -> Result<Self> {
        let name = target
            .file_name()
            .ok_or_else(|| Error::file(target, "expected the path of a file"))?
            .to_string_lossy();
        temporary::remove_abandoned(folder_of(target), |of| of == name);
        Ok(Self {
            path: temporary::beside(target),
            target: target.to_owned(),
            committed: false,
        })
    }

    /// Syncs the file and renames it to its final name.
    pub(crate) fn commit(&mut self) -> Result<()> {
        let dir = folder_of(&self.target);
        let done = std::fs::File::open(&self.path)
            .and_then(|f| f.sync_all())
            .and_then(|()| std::fs::rename(&self.path, &self.target))
            .and_then(|()| std::fs::File::open(dir)?.sync_all());
        done.map_err(|e| Error::file(&self.target, e))?;
        self.committed = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.committed {
            // best effort: the caller already reports the failure
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
