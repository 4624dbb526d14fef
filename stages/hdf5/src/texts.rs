//! Datasets of text, such as names of items.

use crate::error::{Error, Result, reason};
use crate::guard::Asked;
use crate::name::absolute;
use crate::open::{open_dataset, open_file};
use crate::raw::{Readable, read_items};
use crate::text::FileText;
use crate::tree::type_name;
use hdf5::types::{FixedAscii, FixedUnicode, TypeDescriptor, VarLenAscii, VarLenUnicode};
use std::path::Path;

/// Maximum size of a fixed-length text in bytes.
const LONGEST: usize = 1024;

/// Reads the dataset `name` `[n]` of the HDF5 file `path`, one text per item.
///
/// # Errors
/// Input errors for a file or a dataset that is missing or damaged, of another rank, or not text.
pub fn read_texts(path: &Path, name: &str) -> Result<Vec<String>> {
    fn texts<T: Readable + FileText>(
        dataset: &hdf5::Dataset,
        shape: &[usize],
    ) -> hdf5::Result<Vec<String>> {
        let read = read_items::<T>(dataset, shape, 0..shape[0])?;
        Ok(read.iter().map(FileText::text).collect())
    }
    let file = open_file(path, &Asked::dataset(name))?;
    let dataset = open_dataset(&file, path, name)?;
    let place = format!("`{}` in {}", absolute(name), path.display());
    let failed = |e: hdf5::Error| Error::input(format!("{place} cannot be read: {}", reason(&e)));
    let shape = dataset.get_shape().map_err(failed)?;
    let dtype = dataset.dtype().map_err(failed)?;
    let of_text = dtype.to_descriptor().ok();
    let refuse = |found: String| {
        Err(Error::input(format!(
            "{place}: found {found}, expected [N] texts, one an item; write them with h5py: \
             `file.create_dataset(name, data=names, dtype=h5py.string_dtype())`"
        )))
    };
    if shape.len() != 1 {
        return refuse(format!("shape {shape:?}"));
    }
    let read = match of_text {
        Some(TypeDescriptor::VarLenUnicode) => texts::<VarLenUnicode>(&dataset, &shape),
        Some(TypeDescriptor::VarLenAscii) => texts::<VarLenAscii>(&dataset, &shape),
        Some(TypeDescriptor::FixedUnicode(n)) if n <= LONGEST => {
            texts::<FixedUnicode<LONGEST>>(&dataset, &shape)
        }
        Some(TypeDescriptor::FixedAscii(n)) if n <= LONGEST => {
            texts::<FixedAscii<LONGEST>>(&dataset, &shape)
        }
        _ => return refuse(type_name(&dtype)),
    };
    read.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::{OutData, write_datasets};

    /// Fails if texts of a kind that h5py writes are cut, padded or reordered.
    #[test]
    fn texts_of_any_length_are_read_in_order_and_numbers_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("names.h5");
        let numbers = [0.0; 3];
        write_datasets(&path, &[("numbers", &[3], OutData::F32(&numbers))], &[]).unwrap();
        let file = hdf5::File::open_rw(&path).unwrap();
        let names = ["HOT DOG", "", "Cr\u{ea}pe"];
        let any: Vec<VarLenUnicode> = names.iter().map(|n| n.parse().unwrap()).collect();
        let made = file.new_dataset::<VarLenUnicode>().shape([3]);
        made.create("any").unwrap().write_raw(&any).unwrap();
        let fixed = ["a", "bcd"].map(|n| FixedAscii::<3>::from_ascii(n).unwrap());
        let made = file.new_dataset::<FixedAscii<3>>().shape([2]);
        made.create("fixed").unwrap().write_raw(&fixed).unwrap();
        drop(file);
        assert_eq!(read_texts(&path, "any").unwrap(), names);
        assert_eq!(read_texts(&path, "fixed").unwrap(), ["a", "bcd"]);
        let told = read_texts(&path, "numbers").unwrap_err().to_string();
        assert!(
            told.contains("`/numbers`") && told.contains("f32"),
            "{told}"
        );
    }
}
