//! Storage layout of a dataset's numbers, and reading them.
//!
//! Contiguous numbers are read by position, directly into their destination; chunks are read raw and
//! decompressed here. Both avoid libhdf5's process-wide lock. Other layouts are read by libhdf5.

use crate::chunks::Chunks;
use crate::decode::decode;
use crate::element::Element;
use crate::error::reason;
use crate::raw::{Readable, plain_file, read_items};
use crate::scratch::{Scratch, bytes};
use half::f16;
use hdf5::Datatype;
use rustix::fs::{Advice, fadvise};
use std::fs::File;
use std::num::NonZero;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Why numbers could not be read.
pub(crate) enum ReadError {
    /// An f64 that overflows f32.
    TooLarge {
        /// Its index among all numbers of the dataset.
        at: usize,
        value: f64,
    },
    /// A description without a full stop.
    Failed(String),
}

/// Location of a dataset's numbers.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    place: Place,
    shape: Vec<usize>,
    element: Element,
    /// The file, if libhdf5 reads it as a plain file.
    file: Option<Arc<File>>,
    /// Its size when it was opened.
    length: u64,
}

#[derive(Debug, Clone)]
enum Place {
    /// Contiguous from this byte on, in native format.
    Piece(u64),
    /// Chunks that can be decompressed here, in native format.
    Chunks(Chunks),
    /// Anything else.
    Library,
}

impl Stored {
    /// Determines the storage of `dataset` in `file`.
    pub(crate) fn of(
        file: &hdf5::File,
        dataset: &hdf5::Dataset,
        shape: &[usize],
        element: Element,
    ) -> std::io::Result<Self> {
        let plain = plain_file(file).map(Arc::new);
        let length = match &plain {
            Some(plain) => plain.metadata()?.len(),
            None => 0,
        };
        let native = plain.is_some() && is_native(dataset, element);
        let all = (shape.iter().product::<usize>() * element.size()) as u64;
        let piece = dataset.offset().filter(|_| dataset.storage_size() == all);
        let place = match (piece, Chunks::of(dataset, shape, element.size())) {
            (Some(at), _) if native => Place::Piece(at),
            (_, Some(chunks)) if native => Place::Chunks(chunks),
            _ => Place::Library,
        };
        Ok(Self {
            place,
            shape: shape.to_vec(),
            element,
            file: plain,
            length,
        })
    }

    /// Reads the items of `range` into `out`, row-major.
    pub(crate) fn read(
        &self,
        dataset: &hdf5::Dataset,
        range: Range<usize>,
        out: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<(), ReadError> {
        match (&self.place, &self.file) {
            (Place::Piece(at), Some(file)) => self.read_piece(file, *at, range, out, scratch)?,
            (Place::Chunks(chunks), _) => self.read_chunks(chunks, dataset, range, out, scratch)?,
            _ => self.read_by_library(dataset, range, out)?,
        }
        self.refuse_shorter_file()
    }

    /// Starts reading the items of `range` ahead, if their location is known.
    pub(crate) fn announce(&self, range: Range<usize>) {
        if let (Place::Piece(at), Some(file)) = (&self.place, &self.file) {
            let item = (self.width() * self.element.size()) as u64;
            let length = NonZero::new(range.len() as u64 * item);
            // a hint only
            let _ = fadvise(
                file,
                at + range.start as u64 * item,
                length,
                Advice::WillNeed,
            );
        }
    }

    fn read_piece(
        &self,
        file: &File,
        start: u64,
        range: Range<usize>,
        out: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<(), ReadError> {
        let first = range.start * self.width();
        let size = self.element.size();
        let at = start + (first * size) as u64;
        let end = at + (out.len() * size) as u64;
        let failed = |e: std::io::Error| {
            ReadError::Failed(match e.kind() {
                std::io::ErrorKind::UnexpectedEof => format!("the file ends before byte {end}"),
                _ => e.to_string(),
            })
        };
        if self.element == Element::F32 {
            return (file.read_exact_at(bytemuck::cast_slice_mut(out), at)).map_err(failed);
        }
        let stored = bytes(&mut scratch.stored, out.len() * size);
        file.read_exact_at(stored, at).map_err(failed)?;
        self.decode(stored, first, out)
    }

    fn read_chunks(
        &self,
        chunks: &Chunks,
        dataset: &hdf5::Dataset,
        range: Range<usize>,
        mut out: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<(), ReadError> {
        let mut next = range.start;
        while next < range.end {
            let chunk = next / chunks.items;
            let items = next..range.end.min((chunk + 1) * chunks.items);
            let (here, rest) = out.split_at_mut(items.len() * self.width());
            let unpacked = chunks.unpack(dataset, chunk, &items, scratch);
            match unpacked.map_err(ReadError::Failed)? {
                Some(stored) => self.decode(stored, items.start * self.width(), here)?,
                None => self.read_by_library(dataset, items.clone(), here)?,
            }
            (next, out) = (items.end, rest);
        }
        Ok(())
    }

    fn read_by_library(
        &self,
        dataset: &hdf5::Dataset,
        range: Range<usize>,
        out: &mut [f32],
    ) -> Result<(), ReadError> {
        let first = range.start * self.width();
        match self.element {
            Element::F32 => {
                let values = self.library_items::<f32>(dataset, range)?;
                self.decode(bytemuck::cast_slice(&values), first, out)
            }
            Element::F16 => {
                let values = self.library_items::<f16>(dataset, range)?;
                let bits: Vec<u16> = values.into_iter().map(f16::to_bits).collect();
                self.decode(bytemuck::cast_slice(&bits), first, out)
            }
            Element::U8 => {
                let values = self.library_items::<u8>(dataset, range)?;
                self.decode(&values, first, out)
            }
            Element::F64 => {
                let values = self.library_items::<f64>(dataset, range)?;
                self.decode(bytemuck::cast_slice(&values), first, out)
            }
        }
    }

    fn library_items<T: Readable>(
        &self,
        dataset: &hdf5::Dataset,
        range: Range<usize>,
    ) -> Result<Vec<T>, ReadError> {
        read_items(dataset, &self.shape, range).map_err(|e| ReadError::Failed(reason(&e)))
    }

    /// Decodes numbers from number `first` of the dataset on.
    fn decode(&self, stored: &[u8], first: usize, out: &mut [f32]) -> Result<(), ReadError> {
        decode(self.element, stored, out).map_err(|at| ReadError::TooLarge {
            at: first + at,
            value: bytemuck::cast_slice::<u8, f64>(stored)[at],
        })
    }

    /// libhdf5 treats missing bytes at the end of a file as zeros.
    fn refuse_shorter_file(&self) -> Result<(), ReadError> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let now = (file.metadata()).map_err(|e| ReadError::Failed(e.to_string()))?;
        if now.len() < self.length {
            return Err(ReadError::Failed(format!(
                "the file had {} bytes when it was opened and has {} now",
                self.length,
                now.len()
            )));
        }
        Ok(())
    }

    /// Numbers per item.
    fn width(&self) -> usize {
        self.shape[1..].iter().product()
    }
}

/// Whether the stored numbers have this machine's format bit for bit.
fn is_native(dataset: &hdf5::Dataset, element: Element) -> bool {
    let native = match element {
        Element::U8 => Datatype::from_type::<u8>(),
        Element::F16 => Datatype::from_type::<f16>(),
        Element::F32 => Datatype::from_type::<f32>(),
        Element::F64 => Datatype::from_type::<f64>(),
    };
    matches!((dataset.dtype(), native), (Ok(stored), Ok(native)) if stored == native)
}
