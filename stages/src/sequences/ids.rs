//! An HDF5 dataset of integer tokens [N, L].

use crate::data::{list, read_dataset_i64};
use crate::error::{Error, Result};
use std::path::Path;

/// The rows of the dataset `name` of the file `path`, each up to the number `fill`, as text: numbers separated by
/// spaces.
///
/// # Errors
/// File errors; input errors for a dataset of another shape or type, an empty row, and a token after `fill`.
pub(super) fn read(path: &Path, name: &str, fill: Option<i64>) -> Result<Vec<String>> {
    let place = format!("`{name}` in {}", path.display());
    let bare = name.trim_start_matches('/');
    let held = list(path)?;
    let about = held.iter().find(|d| d.name.trim_start_matches('/') == bare);
    if let Some(about) = about
        && !about.dtype.starts_with(['i', 'u'])
    {
        return Err(Error::input(format!(
            "{place}: found numbers of type {}, expected integers such as u8, u16 or i32; convert \
             them with numpy, `.astype('u2')`",
            about.dtype
        )));
    }
    let (shape, values) = read_dataset_i64(path, name)?;
    let [count, length] = shape[..] else {
        return Err(Error::input(format!(
            "{place}: found shape {shape:?}, expected [N, L]: N sequences of at most L tokens"
        )));
    };
    if count * length == 0 {
        return Err(Error::input(format!(
            "{place}: found shape {shape:?}, expected sequences"
        )));
    }
    let text = |(number, row): (usize, &[i64])| {
        let end = (fill.and_then(|fill| row.iter().position(|&id| id == fill))).unwrap_or(length);
        if end == 0 {
            return Err(Error::input(format!(
                "{place}: row {number} is empty, expected a token before the fill {}; remove the row",
                row[0]
            )));
        }
        if let Some(at) = row[end..].iter().position(|&id| Some(id) != fill) {
            return Err(Error::input(format!(
                "{place}: row {number} has the token {} at {} after the fill {}, expected only the fill up to its end",
                row[end + at],
                end + at,
                row[end]
            )));
        }
        let ids: Vec<String> = row[..end].iter().map(ToString::to_string).collect();
        Ok(ids.join(" "))
    };
    values.chunks_exact(length).enumerate().map(text).collect()
}
