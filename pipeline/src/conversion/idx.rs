//! IDX, the format of MNIST: a type, the lengths of the axes, and big-endian numbers; perhaps gzipped.

use super::raw::{Feed, Raw, Stored};
use flate2::read::MultiGzDecoder;
use latent_align_stages::{Error, Result};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// No gzipped file holds more bytes than this for each of its own.
const MOST_PACKED: u64 = 1032;

/// The array of the file at `path`. Bytes with three axes are images [N, H, W], which get an axis for their channel.
///
/// # Errors
/// [`Error::Input`] for a header that cannot be understood and a truncated file.
pub fn open(path: &Path) -> Result<Vec<Raw>> {
    let place = path.display().to_string();
    let (mut shape, stored) = header(&mut *reader(path)?, &place)?;
    let (length, is_gzipped) = (
        std::fs::metadata(path)
            .map_err(|e| Error::file(path, e))?
            .len(),
        is_gzipped(path)?,
    );
    let header_length = 4 + 4 * shape.len() as u64;
    let count = shape
        .iter()
        .try_fold(stored.size(), |n, &axis| n.checked_mul(axis));
    let fits = |count: usize| match is_gzipped {
        true => count as u64 <= length.saturating_mul(MOST_PACKED),
        false => count as u64 + header_length == length,
    };
    if !count.is_some_and(fits) {
        let packed = if is_gzipped { "gzipped " } else { "" };
        return Err(Error::input(format!(
            "{place}: found {length} {packed}bytes, expected {} for an IDX file of shape {shape:?}; the file is truncated or \
             damaged. Copy it again",
            count.map_or("fewer axes".to_owned(), |count| (count as u64
                + header_length)
                .to_string())
        )));
    }
    if let (Stored::U8, &[items, height, width]) = (stored, shape.as_slice()) {
        shape = vec![items, 1, height, width];
    }
    let owned = path.to_owned();
    let feed: Feed = Box::new(move |take| {
        let mut reader = reader(&owned)?;
        header(&mut *reader, &owned.display().to_string())?;
        take(&mut *reader)
    });
    Ok(vec![Raw {
        place,
        name: None,
        shape,
        stored,
        is_big_endian: true,
        feed,
    }])
}

fn is_gzipped(path: &Path) -> Result<bool> {
    let mut head = [0; 2];
    let mut file = File::open(path).map_err(|e| Error::file(path, e))?;
    Ok(file.read_exact(&mut head).is_ok() && head == [0x1f, 0x8b])
}

fn reader(path: &Path) -> Result<Box<dyn Read>> {
    let file = BufReader::new(File::open(path).map_err(|e| Error::file(path, e))?);
    Ok(match is_gzipped(path)? {
        true => Box::new(MultiGzDecoder::new(file)),
        false => Box::new(file),
    })
}

fn header(reader: &mut dyn Read, place: &str) -> Result<(Vec<usize>, Stored)> {
    let damaged = |found: String| {
        Error::input(format!(
            "{place}: found {found}, expected an IDX file: two bytes of 0, a type, the number of axes and their lengths; \
             copy it again"
        ))
    };
    let mut next = || {
        let mut bytes = [0; 4];
        let read = reader.read_exact(&mut bytes);
        read.map(|()| bytes).map_err(|e| damaged(e.to_string()))
    };
    let [_, _, kind, rank] = next()?;
    let stored = match kind {
        0x08 => Stored::U8,
        0x09 => Stored::I8,
        0x0b => Stored::I16,
        0x0c => Stored::I32,
        0x0d => Stored::F32,
        0x0e => Stored::F64,
        other => return Err(damaged(format!("the type {other:#04x}"))),
    };
    let mut shape = Vec::new();
    for _ in 0..rank {
        shape.push(u32::from_be_bytes(next()?) as usize);
    }
    Ok((shape, stored))
}
