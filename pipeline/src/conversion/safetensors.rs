//! Safetensors: a header in JSON, and plain numbers.

use super::raw::{Feed, Raw, Stored};
use latent_align_stages::{Error, Result};
use safetensors::tensor::Metadata;
use std::fmt::Display;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Longest header in bytes, as in the format's own library.
const LONGEST: u64 = 100_000_000;

/// The tensors of the file at `path`, those in `only` if any are given.
///
/// # Errors
/// [`Error::Input`] for a damaged file and for types that cannot be converted.
pub fn open(path: &Path, only: &[String]) -> Result<Vec<Raw>> {
    let (metadata, numbers) = header(path)?;
    let names = metadata.offset_keys().into_iter();
    let chosen = names.filter(|name| only.is_empty() || only.contains(name));
    chosen
        .map(|name| raw(path, &metadata, numbers, name))
        .collect()
}

/// The header of the file at `path`, and the place of the first number after it.
fn header(path: &Path) -> Result<(Metadata, u64)> {
    let failed = |e: std::io::Error| Error::file(path, e);
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let mut size = [0; 8];
    file.read_exact(&mut size).map_err(|e| damaged(path, e))?;
    let size = u64::from_le_bytes(size);
    if size > LONGEST.min(length.saturating_sub(8)) {
        let why = format!("a header of {size} bytes in a file of {length}");
        return Err(damaged(path, why));
    }
    let mut header = Vec::new();
    file.take(size).read_to_end(&mut header).map_err(failed)?;
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|e| damaged(path, e))?;
    let (held, said) = (length - 8 - size, metadata.data_len());
    match said as u64 == held {
        true => Ok((metadata, 8 + size)),
        false => {
            let why = format!("{held} bytes of numbers instead of {said}");
            Err(damaged(path, why))
        }
    }
}

/// The tensor `name` of the file at `path`, whose numbers start at `numbers`.
fn raw(path: &Path, metadata: &Metadata, numbers: u64, name: String) -> Result<Raw> {
    let info = metadata.info(&name).expect("a name of the header");
    let place = format!("{} ({name})", path.display());
    let Some(stored) = Stored::like(info.dtype) else {
        return Err(Error::input(format!(
            "{place}: found the type {:?}, expected bool, integers, f16, bf16, f32 or f64; convert it, \
             `x.to(torch.float32)`",
            info.dtype
        )));
    };
    let ((start, end), shape) = (info.data_offsets, info.shape.clone());
    let mut axes = shape.iter();
    let count = axes.try_fold(stored.size(), |n, &axis| n.checked_mul(axis));
    if start > end || end > metadata.data_len() || count != Some(end - start) {
        let why = format!("bytes {start} to {end} for `{name}` of shape {shape:?}");
        return Err(damaged(path, why));
    }
    let (start, length) = (numbers + start as u64, (end - start) as u64);
    let owned = path.to_owned();
    let feed: Feed = Box::new(move |take| {
        let failed = |e: std::io::Error| Error::file(&owned, e);
        let mut file = File::open(&owned).map_err(failed)?;
        file.seek(SeekFrom::Start(start)).map_err(failed)?;
        take(&mut BufReader::new(file.take(length)))
    });
    Ok(Raw {
        place,
        name: Some(name),
        shape,
        stored,
        is_big_endian: false,
        feed,
    })
}

fn damaged(path: &Path, why: impl Display) -> Error {
    Error::input(format!(
        "{}: found a damaged safetensors file ({why}), expected tensors; copy or save it again",
        path.display()
    ))
}
