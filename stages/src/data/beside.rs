//! Datasets beside the data, with something for each item: labels, embeddings.

use crate::error::{Error, Result};
use latent_align_hdf5::{Dataset, read_dataset_f32};

/// Reads the dataset `name` of each file of `data`, one after the other: its shape and its values.
///
/// # Errors
/// As [`read_dataset_f32`]; with several files, an input error for one whose dataset does not have one entry for each
/// of its items, of the same shape as in the first file.
pub fn read_beside(data: &Dataset, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
    let (mut shape, mut values) = read_dataset_f32(data.path(), name)?;
    let mut files = data.files();
    let first = files.next().map_or(0, |(_, items)| items);
    let check = |path: &std::path::Path, found: &[usize], expected: &[usize]| match found
        == expected
    {
        true => Ok(()),
        false => Err(Error::input(format!(
            "`{name}` in {}: found shape {found:?}, expected {expected:?}, an entry for each item of {}",
            path.display(),
            data.name()
        ))),
    };
    for (number, (path, items)) in files.enumerate() {
        let item = shape.get(1..).unwrap_or_default().to_vec();
        if number == 0 {
            check(data.path(), &shape, &[&[first], item.as_slice()].concat())?;
        }
        let (found, read) = read_dataset_f32(path, name)?;
        check(path, &found, &[&[items], item.as_slice()].concat())?;
        shape[0] += items;
        values.extend(read);
    }
    Ok((shape, values))
}
