//! Arrays stored as plain numbers, row by row: the part that NumPy, IDX, safetensors and PyTorch files share.

use super::source::{Array, Sink, Source};
use half::{bf16, f16};
use latent_align_hdf5::{Number, OutData};
use latent_align_stages::{Error, Result};
use std::io::{ErrorKind, Read};

/// Bytes read at once.
const BLOCK: usize = 4 << 20;

/// The type of stored numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    BF16,
    F32,
    F64,
}

/// Passes a reader of all bytes of an array on.
pub type Feed = Box<dyn Fn(&mut dyn FnMut(&mut dyn Read) -> Result<()>) -> Result<()>>;

/// An array of plain numbers.
pub struct Raw {
    /// The file and the array in it, for messages.
    pub place: String,
    pub name: Option<String>,
    pub shape: Vec<usize>,
    pub stored: Stored,
    pub is_big_endian: bool,
    pub feed: Feed,
}

impl Stored {
    const ALL: [Self; 13] = [
        Self::Bool,
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::U64,
        Self::I64,
        Self::F16,
        Self::BF16,
        Self::F32,
        Self::F64,
    ];

    /// The type that another crate's `dtype` calls so, in any case.
    pub fn like(dtype: impl std::fmt::Debug) -> Option<Self> {
        let name = format!("{dtype:?}");
        let is_so = |stored: &Self| format!("{stored:?}").eq_ignore_ascii_case(&name);
        Self::ALL.into_iter().find(is_so)
    }

    /// Bytes of a number.
    pub fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::BF16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// The type that holds every such number of an array of this rank exactly, among those that stages read. One integer
    /// an item is a label.
    fn number(self, rank: usize) -> Number {
        match self {
            Self::F16 => Number::F16,
            Self::BF16 | Self::F32 => Number::F32,
            Self::F64 => Number::F64,
            _ if rank == 1 => Number::I64,
            Self::Bool | Self::U8 => Number::U8,
            Self::I8 | Self::U16 | Self::I16 => Number::F32,
            Self::U32 | Self::I32 | Self::U64 | Self::I64 => Number::F64,
        }
    }
}

impl Source for Vec<Raw> {
    fn arrays(&self) -> Vec<Array> {
        let array = |raw: &Raw| Array {
            name: raw.name.clone(),
            shape: raw.shape.clone(),
            number: raw.stored.number(raw.shape.len()),
            classes: Vec::new(),
        };
        self.iter().map(array).collect()
    }

    fn pour(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        for (number, raw) in self.iter().enumerate() {
            (raw.feed)(&mut |reader| raw.pour(reader, &mut |values| sink(number, values)))?;
        }
        Ok(())
    }
}

impl Raw {
    fn pour(
        &self,
        reader: &mut dyn Read,
        sink: &mut dyn FnMut(OutData<'_>) -> Result<()>,
    ) -> Result<()> {
        let [items, item @ ..] = self.shape.as_slice() else {
            return Ok(());
        };
        let width = item.iter().product::<usize>() * self.stored.size();
        let at_once = (BLOCK / width.max(1)).clamp(1, (*items).max(1));
        let mut bytes = vec![0; at_once * width];
        for start in (0..*items).step_by(at_once) {
            let bytes = &mut bytes[..at_once.min(items - start) * width];
            reader
                .read_exact(bytes)
                .map_err(|e| self.damaged(&e, &format!("in the items from {start} on")))?;
            self.decode(bytes, start, sink)?;
        }
        // archives check their contents at the end
        let surplus = reader
            .read(&mut [0])
            .map_err(|e| self.damaged(&e, "after the last item"))?;
        match surplus {
            0 => Ok(()),
            _ => Err(Error::input(format!(
                "{}: found more bytes after the last item, expected {items} items of {width} bytes; the file is damaged. \
                 Copy or create it again",
                self.place
            ))),
        }
    }

    fn damaged(&self, error: &std::io::Error, at: &str) -> Error {
        match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput => {
                Error::input(format!(
                    "{}: found {error} {at}, expected numbers of shape {:?}; the file is truncated or damaged. Copy or \
                     create it again",
                    self.place, self.shape
                ))
            }
            _ => Error::file(&self.place, error),
        }
    }

    fn decode(
        &self,
        bytes: &[u8],
        start: usize,
        sink: &mut dyn FnMut(OutData<'_>) -> Result<()>,
    ) -> Result<()> {
        if self.stored.number(self.shape.len()) == Number::I64 {
            return sink(OutData::I64(&self.labels(bytes, start)?));
        }
        let big = self.is_big_endian;
        let single = match self.stored {
            Stored::Bool | Stored::U8 => return sink(OutData::U8(bytes)),
            Stored::F16 => return sink(OutData::F16(&numbers(bytes, big, f16::from_le_bytes))),
            Stored::I8 => numbers(bytes, big, |b| i8::from_le_bytes(b).into()),
            Stored::U16 => numbers(bytes, big, |b| u16::from_le_bytes(b).into()),
            Stored::I16 => numbers(bytes, big, |b| i16::from_le_bytes(b).into()),
            Stored::BF16 => numbers(bytes, big, |b| bf16::from_le_bytes(b).into()),
            Stored::F32 => numbers(bytes, big, f32::from_le_bytes),
            _ => return sink(OutData::F64(&self.doubles(bytes, start)?)),
        };
        sink(OutData::F32(&single))
    }

    fn labels(&self, bytes: &[u8], start: usize) -> Result<Vec<i64>> {
        let big = self.is_big_endian;
        Ok(match self.stored {
            Stored::Bool | Stored::U8 => bytes.iter().map(|&b| b.into()).collect(),
            Stored::I8 => numbers(bytes, big, |b| i8::from_le_bytes(b).into()),
            Stored::U16 => numbers(bytes, big, |b| u16::from_le_bytes(b).into()),
            Stored::I16 => numbers(bytes, big, |b| i16::from_le_bytes(b).into()),
            Stored::U32 => numbers(bytes, big, |b| u32::from_le_bytes(b).into()),
            Stored::I32 => numbers(bytes, big, |b| i32::from_le_bytes(b).into()),
            Stored::U64 => {
                let wide = numbers(bytes, big, u64::from_le_bytes);
                self.exact(wide.iter().position(|&v| i64::try_from(v).is_err()), start)?;
                wide.into_iter().map(|v| v as i64).collect()
            }
            _ => numbers(bytes, big, i64::from_le_bytes),
        })
    }

    fn doubles(&self, bytes: &[u8], start: usize) -> Result<Vec<f64>> {
        const MOST: u64 = 1 << f64::MANTISSA_DIGITS;
        let big = self.is_big_endian;
        Ok(match self.stored {
            Stored::U32 => numbers(bytes, big, |b| u32::from_le_bytes(b).into()),
            Stored::I32 => numbers(bytes, big, |b| i32::from_le_bytes(b).into()),
            Stored::U64 => {
                let wide = numbers(bytes, big, u64::from_le_bytes);
                self.exact(wide.iter().position(|&v| v > MOST), start)?;
                wide.into_iter().map(|v| v as f64).collect()
            }
            Stored::I64 => {
                let wide = numbers(bytes, big, i64::from_le_bytes);
                self.exact(wide.iter().position(|&v| v.unsigned_abs() > MOST), start)?;
                wide.into_iter().map(|v| v as f64).collect()
            }
            _ => numbers(bytes, big, f64::from_le_bytes),
        })
    }

    /// Refuses the integer `found` at a place after the item `start`, if any.
    fn exact(&self, found: Option<usize>, start: usize) -> Result<()> {
        let width: usize = self.shape[1..].iter().product();
        match found {
            None => Ok(()),
            Some(at) => Err(Error::input(format!(
                "{}: found an integer beyond 2^53 at item {}, expected numbers that f64 holds exactly; save it as f64, \
                 or renumber it",
                self.place,
                start + at / width.max(1)
            ))),
        }
    }
}

/// The numbers of `bytes`, each of `N` bytes.
fn numbers<const N: usize, T>(
    bytes: &[u8],
    is_big_endian: bool,
    from: impl Fn([u8; N]) -> T,
) -> Vec<T> {
    let (numbers, _) = bytes.as_chunks::<N>();
    let one = |&number: &[u8; N]| {
        let mut number = number;
        if is_big_endian {
            number.reverse();
        }
        from(number)
    };
    numbers.iter().map(one).collect()
}
