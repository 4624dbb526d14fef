//! Chunks of a dataset, read raw and decompressed here, because libhdf5 runs filters under its global
//! lock.
//!
//! Unusual chunks (never written, with a skipped filter) are left to libhdf5. Damaged ones are not, since
//! libhdf5 would allocate whatever the damaged sizes say.

use crate::fletcher32::fletcher32;
use crate::raw::read_chunk;
use crate::scratch::{Scratch, bytes};
use flate2::{Decompress, FlushDecompress, Status};
use hdf5::Dataset;
use hdf5::filters::Filter;
use std::ops::Range;

/// Size of the checksum at the end of a chunk.
const CHECKSUM: usize = 4;

/// Chunks of whole items with supported filters.
#[derive(Debug, Clone)]
pub(crate) struct Chunks {
    /// Items per chunk.
    pub(crate) items: usize,
    /// Numbers per item.
    width: usize,
    /// Bytes per number.
    size: usize,
    rank: usize,
    filters: Filters,
}

/// The filters of a chunk, in this order.
#[derive(Debug, Clone, Copy, Default)]
struct Filters {
    shuffle: bool,
    deflate: bool,
    fletcher32: bool,
}

impl Filters {
    /// `None` for other filters, or another order.
    fn of(pipeline: &[Filter]) -> Option<Self> {
        let mut found = Self::default();
        for filter in pipeline {
            let place = match filter {
                Filter::Shuffle if !(found.shuffle || found.deflate || found.fletcher32) => {
                    &mut found.shuffle
                }
                Filter::Deflate(_) if !(found.deflate || found.fletcher32) => &mut found.deflate,
                Filter::Fletcher32 if !found.fletcher32 => &mut found.fletcher32,
                _ => return None,
            };
            *place = true;
        }
        Some(found)
    }
}

/// Maximum stored size of a chunk of `plain` bytes: filters add a little to incompressible data.
pub(crate) fn most_stored(plain: u128) -> u128 {
    plain.saturating_add(plain / 100 + 1024)
}

impl Chunks {
    /// `None` if the dataset of `shape`, with numbers of `size` bytes, is not chunked, is chunked along
    /// axes other than the first, or needs libhdf5 for decompression.
    pub(crate) fn of(dataset: &Dataset, shape: &[usize], size: usize) -> Option<Self> {
        let chunk = dataset.chunk()?;
        let whole = chunk[1..] == shape[1..] && chunk[0] > 0;
        whole.then_some(Self {
            items: chunk[0],
            width: shape[1..].iter().product(),
            size,
            rank: shape.len(),
            filters: Filters::of(&dataset.filters())?,
        })
    }

    /// The decompressed bytes of `items`, all in chunk `chunk`; `None` if libhdf5 has to read it.
    ///
    /// # Errors
    /// A description of what is wrong with the chunk.
    pub(crate) fn unpack<'a>(
        &self,
        dataset: &Dataset,
        chunk: usize,
        items: &Range<usize>,
        scratch: &'a mut Scratch,
    ) -> Result<Option<&'a [u8]>, String> {
        let first = chunk * self.items;
        let wanted = (items.start - first) * self.width..(items.end - first) * self.width;
        let plain = self.items * self.width * self.size;
        let Scratch {
            stored,
            inflated,
            ordered,
        } = scratch;

        let mut offset = vec![0; self.rank];
        offset[0] = first as u64;
        let mut unfit = None;
        let found = read_chunk(dataset, &offset, |size| {
            if !self.fits(size, plain) {
                unfit = Some(size);
                return None;
            }
            Some(bytes(stored, size))
        });
        let Some(mut chunk) = found else {
            return match unfit.filter(|_| self.filters.deflate) {
                Some(size) => Err(format!("{size} bytes are stored of a chunk of {plain}")),
                None => Ok(None),
            };
        };
        if self.filters.fletcher32 {
            let (data, sum) = chunk.split_at(chunk.len() - CHECKSUM);
            if fletcher32(data).to_le_bytes() != sum {
                return Err("its checksum does not fit".to_owned());
            }
            chunk = data;
        }
        if self.filters.deflate {
            let inflated = bytes(inflated, plain);
            inflate(chunk, inflated)
                .ok_or_else(|| format!("a chunk does not inflate to its {plain} bytes"))?;
            chunk = inflated;
        }
        if self.filters.shuffle {
            let ordered = bytes(ordered, wanted.len() * self.size);
            unshuffle(chunk, self.size, wanted.start, ordered);
            return Ok(Some(ordered));
        }
        Ok(Some(
            &chunk[wanted.start * self.size..wanted.end * self.size],
        ))
    }

    /// Whether a chunk of `plain` bytes may have `stored` bytes in the file.
    fn fits(&self, stored: usize, plain: usize) -> bool {
        let checksum = if self.filters.fletcher32 { CHECKSUM } else { 0 };
        match stored.checked_sub(checksum) {
            Some(data) if self.filters.deflate => data as u128 <= most_stored(plain as u128),
            data => data == Some(plain),
        }
    }
}

/// Decompresses `packed` into `plain`; `None` unless the size matches exactly.
fn inflate(packed: &[u8], plain: &mut [u8]) -> Option<()> {
    let mut zlib = Decompress::new(true);
    let status = zlib.decompress(packed, plain, FlushDecompress::Finish);
    (status.ok()? == Status::StreamEnd && zlib.total_out() == plain.len() as u64).then_some(())
}

/// Reverses the shuffle filter for numbers of `size` bytes, 1, 2, 4 or 8, from number `first` on: the
/// chunk has all their first bytes before all their second ones.
fn unshuffle(chunk: &[u8], size: usize, first: usize, out: &mut [u8]) {
    let (numbers, count) = (chunk.len() / size, out.len() / size);
    let plane = |k: usize| &chunk[k * numbers + first..][..count];
    match size {
        1 => out.copy_from_slice(plane(0)),
        2 => {
            let planes = plane(0).iter().zip(plane(1));
            for (out, (&a, &b)) in out.as_chunks_mut::<2>().0.iter_mut().zip(planes) {
                *out = [a, b];
            }
        }
        4 => {
            let planes = (plane(0).iter().zip(plane(1))).zip(plane(2).iter().zip(plane(3)));
            for (out, ((&a, &b), (&c, &d))) in out.as_chunks_mut::<4>().0.iter_mut().zip(planes) {
                *out = word([a, b, c, d]).to_le_bytes();
            }
        }
        _ => {
            let low = (plane(0).iter().zip(plane(1))).zip(plane(2).iter().zip(plane(3)));
            let high = (plane(4).iter().zip(plane(5))).zip(plane(6).iter().zip(plane(7)));
            let planes = low.zip(high);
            for (out, (((&a, &b), (&c, &d)), ((&e, &f), (&g, &h)))) in
                out.as_chunks_mut::<8>().0.iter_mut().zip(planes)
            {
                let (low, high) = (word([a, b, c, d]), word([e, f, g, h]));
                *out = (u64::from(low) | u64::from(high) << 32).to_le_bytes();
            }
        }
    }
}

/// As `u32::from_le_bytes`, in a form that the compiler vectorises.
#[inline(always)]
fn word([a, b, c, d]: [u8; 4]) -> u32 {
    u32::from(a) | u32::from(b) << 8 | u32::from(c) << 16 | u32::from(d) << 24
}
