//! Safetensors: a header in JSON, and plain numbers.

use super::raw::{Feed, Raw, Stored};
use latent_align_stages::{Error, Result};
use safetensors::Dtype;
use safetensors::tensor::Metadata;
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
    let failed = |e: std::io::Error| Error::file(path, e);
    let damaged = |why: &dyn std::fmt::Display| {
        Error::input(format!(
            "{}: found a damaged safetensors file ({why}), expected tensors; copy or save it again",
            path.display()
        ))
    };
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let mut size = [0; 8];
    file.read_exact(&mut size).map_err(|e| damaged(&e))?;
    let size = u64::from_le_bytes(size);
    if size > LONGEST.min(length.saturating_sub(8)) {
        return Err(damaged(&format!(
            "a header of {size} bytes in a file of {length}"
        )));
    }
    let mut header = Vec::new();
    file.take(size).read_to_end(&mut header).map_err(failed)?;
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|e| damaged(&e))?;
    let held = length - 8 - size;
    if metadata.data_len() as u64 != held {
        return Err(damaged(&format!(
            "{held} bytes of numbers instead of {}",
            metadata.data_len()
        )));
    }
    let mut raws = Vec::new();
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else {
            continue;
        };
        if !only.is_empty() && !only.contains(&name) {
            continue;
        }
        let place = format!("{} ({name})", path.display());
        let Some(stored) = type_of(info.dtype) else {
            return Err(Error::input(format!(
                "{place}: found the type {:?}, expected bool, integers, f16, bf16, f32 or f64; convert it, \
                 `x.to(torch.float32)`",
                info.dtype
            )));
        };
        let (start, end) = info.data_offsets;
        let count = info
            .shape
            .iter()
            .try_fold(stored.size(), |n, &axis| n.checked_mul(axis));
        if start > end || end as u64 > held || count != Some(end - start) {
            return Err(damaged(&format!(
                "bytes {start} to {end} for `{name}` of shape {:?}",
                info.shape
            )));
        }
        let (start, length) = (8 + size + start as u64, (end - start) as u64);
        let owned = path.to_owned();
        let feed: Feed = Box::new(move |take| {
            let failed = |e: std::io::Error| Error::file(&owned, e);
            let mut file = File::open(&owned).map_err(failed)?;
            file.seek(SeekFrom::Start(start)).map_err(failed)?;
            take(&mut BufReader::new(file.take(length)))
        });
        raws.push(Raw {
            place,
            name: Some(name),
            shape: info.shape.clone(),
            stored,
            is_big_endian: false,
            feed,
        });
    }
    Ok(raws)
}

fn type_of(dtype: Dtype) -> Option<Stored> {
    Some(match dtype {
        Dtype::BOOL => Stored::Bool,
        Dtype::U8 => Stored::U8,
        Dtype::I8 => Stored::I8,
        Dtype::U16 => Stored::U16,
        Dtype::I16 => Stored::I16,
        Dtype::U32 => Stored::U32,
        Dtype::I32 => Stored::I32,
        Dtype::U64 => Stored::U64,
        Dtype::I64 => Stored::I64,
        Dtype::F16 => Stored::F16,
        Dtype::BF16 => Stored::BF16,
        Dtype::F32 => Stored::F32,
        Dtype::F64 => Stored::F64,
        _ => return None,
    })
}
