//! NumPy's archives of arrays: a zip file of `NAME.npy`.

use super::npy::Header;
use super::raw::{Feed, Raw};
use latent_align_stages::{Error, Result};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use zip::ZipArchive;

/// What NumPy calls an array that was saved without a name.
const UNNAMED: &str = "arr_0";

/// The arrays of the file at `path`, those in `only` if any are given. The only one, if saved without a name, has none.
///
/// # Errors
/// [`Error::Input`] for a damaged archive and for arrays that cannot be converted.
pub fn open(path: &Path, only: &[String]) -> Result<Vec<Raw>> {
    let mut archive = archive(path)?;
    let mut names = Vec::new();
    for name in archive.file_names() {
        names.push(name.map_err(|e| damaged(path, &e))?.into_owned());
    }
    let mut raws = Vec::new();
    for file in &names {
        let Some(name) = file.strip_suffix(".npy") else {
            return Err(Error::input(format!(
                "{}: found the file {file}, expected arrays NAME.npy; save them with `np.savez`",
                path.display()
            )));
        };
        if !only.is_empty() && !only.iter().any(|o| o == name) {
            continue;
        }
        let place = format!("{} ({name})", path.display());
        let mut entry = archive.by_name(file).map_err(|e| damaged(path, &e))?;
        let length = entry.size();
        let (header, start) = Header::read(&mut entry, &place)?;
        if header.is_in_columns {
            return Err(Error::input(format!(
                "{place}: found an array in Fortran order, column by column, expected rows; save it with \
                 `np.ascontiguousarray(x)`, or alone with `np.save`"
            )));
        }
        header.check_length(length.saturating_sub(start as u64), &place)?;
        let (owned, file) = (path.to_owned(), file.clone());
        let feed: Feed = Box::new(move |take| {
            let mut archive = self::archive(&owned)?;
            let mut entry = archive.by_name(&file).map_err(|e| damaged(&owned, &e))?;
            Header::read(&mut entry, &owned.display().to_string())?;
            take(&mut entry)
        });
        let shown = (names.len() > 1 || name != UNNAMED).then(|| name.to_owned());
        raws.push(header.into_raw(place, shown, feed));
    }
    Ok(raws)
}

fn archive(path: &Path) -> Result<ZipArchive<BufReader<File>>> {
    let file = File::open(path).map_err(|e| Error::file(path, e))?;
    ZipArchive::new(BufReader::new(file)).map_err(|e| damaged(path, &e))
}

fn damaged(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::input(format!(
        "{}: found a damaged archive ({why}), expected one that `np.savez` wrote; copy or save it again",
        path.display()
    ))
}
