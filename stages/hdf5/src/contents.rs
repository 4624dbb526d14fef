//! Contents of any dataset, whether or not it can be used as features: statistics of its numbers, and
//! its first rows. Read in blocks with a few MiB of memory.

use crate::error::{Error, Result, reason, remedy};
use crate::guard::Asked;
use crate::open::{open_dataset, open_file};
use crate::raw::{Readable, exponent_bias, read_flags, read_slab};
use crate::text::FileText;
use crate::tree::type_name;
use hdf5::Dataset;
use hdf5::types::{FixedAscii, FixedUnicode, TypeDescriptor, VarLenAscii, VarLenUnicode};
use std::ops::Range;
use std::path::Path;

/// Numbers read at once.
const BLOCK: usize = 1 << 19;
/// Maximum number of values shown per row.
const WIDEST: usize = 8;

/// Statistics over all numbers of a dataset.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Statistics {
    /// Number of finite values.
    pub finite: u64,
    /// Number of NaN values.
    pub nan: u64,
    /// Number of infinite values.
    pub infinite: u64,
    /// Mean of the finite values; NaN if there are none.
    pub mean: f64,
    /// Their standard deviation (divided by their number).
    pub std: f64,
    pub min: f64,
    pub max: f64,
}

impl Statistics {
    /// Statistics of no values.
    fn none() -> Self {
        Self {
            finite: 0,
            nan: 0,
            infinite: 0,
            mean: 0.0,
            std: 0.0, // the sum of squared deviations until the end
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }

    /// Adds a block; moments are merged stably, so that a large mean costs no digits.
    fn add(&mut self, values: &[f64]) {
        self.nan += values.iter().filter(|v| v.is_nan()).count() as u64;
        self.infinite += values.iter().filter(|v| v.is_infinite()).count() as u64;
        let finite = || values.iter().copied().filter(|v| v.is_finite());
        let count = finite().count() as f64;
        if count == 0.0 {
            return;
        }
        let mean = finite().sum::<f64>() / count;
        let squares: f64 = finite().map(|v| (v - mean).powi(2)).sum();
        let before = self.finite as f64;
        let shift = mean - self.mean;
        self.mean += shift * count / (before + count);
        self.std += squares + shift * shift * before * count / (before + count);
        self.finite += count as u64;
        self.min = finite().fold(self.min, f64::min);
        self.max = finite().fold(self.max, f64::max);
    }

    fn finish(mut self) -> Self {
        self.std = (self.std / (self.finite as f64).max(1.0)).sqrt();
        self
    }
}

/// The result of [`Contents::read`].
#[derive(Debug, Clone, PartialEq)]
pub struct Contents {
    /// None for datasets without numbers, or if not requested.
    pub statistics: Option<Statistics>,
    /// The first items of the first axis, each with the start of its values as text.
    pub rows: Vec<String>,
}

/// How the values of a dataset are read.
#[derive(Clone, Copy)]
enum Values {
    Float,
    Signed,
    Unsigned,
    Boolean,
}

impl Contents {
    /// Reads the dataset `name` of the file at `path`: statistics of everything if `statistics`, and the
    /// first `rows` items.
    ///
    /// # Errors
    /// As [`crate::Dataset::open`] for the file and for references to other files; any type and shape is
    /// supported.
    pub fn read(path: &Path, name: &str, statistics: bool, rows: usize) -> Result<Self> {
        let asked = Asked::Dataset {
            name: name.to_owned(),
            rows,
        };
        let file = open_file(path, &asked)?;
        let dataset = open_dataset(&file, path, name)?;
        let failed = |e: hdf5::Error| {
            let why = reason(&e);
            let why = format!("`{name}` cannot be read: {why}. {}", remedy(&why));
            Error::file(path, why)
        };
        let mut shape = dataset.get_shape().map_err(failed)?;
        if shape.is_empty() && dataset.space().map_err(failed)?.size() == 0 {
            shape.push(0); // for zero values rather than one
        }
        let dtype = dataset.dtype().map_err(failed)?;
        let kind = match dtype.to_descriptor() {
            Ok(TypeDescriptor::Float(size)) if size as usize > 2 || exponent_bias(&dtype) == 15 => {
                Some(Values::Float)
            }
            Ok(TypeDescriptor::Integer(_) | TypeDescriptor::Enum(_)) => Some(Values::Signed),
            Ok(TypeDescriptor::Unsigned(_)) => Some(Values::Unsigned),
            Ok(TypeDescriptor::Boolean) => Some(Values::Boolean),
            _ => None,
        };
        let mut found = None;
        if let Some(kind) = kind.filter(|_| statistics) {
            let mut sum = Statistics::none();
            for block in blocks(&shape) {
                sum.add(&numbers(&dataset, &block, kind).map_err(failed)?);
            }
            found = Some(sum.finish());
        }
        let count = shape.first().map_or(1, |items| rows.min(*items)).min(rows);
        let mut shown = Vec::new();
        for row in 0..count {
            shown.push(match kind {
                Some(kind) => row_of_numbers(&dataset, &shape, row, kind).map_err(failed)?,
                None => row_of_text(&dataset, &shape, row).map_err(failed)?,
            });
        }
        Ok(Self {
            statistics: found,
            rows: shown,
        })
    }
}

/// Parts of at most [`BLOCK`] numbers that cover an array of `shape`.
fn blocks(shape: &[usize]) -> Vec<Vec<Range<usize>>> {
    if shape.contains(&0) {
        return Vec::new();
    }
    let Some((&first, rest)) = shape.split_first() else {
        return vec![Vec::new()];
    };
    let width: usize = rest.iter().product();
    if width <= BLOCK {
        let step = (BLOCK / width).max(1);
        let starts = (0..first).step_by(step);
        let whole = rest.iter().map(|n| 0..*n);
        let part = |start: usize| start..(start + step).min(first);
        return starts
            .map(|s| std::iter::once(part(s)).chain(whole.clone()).collect())
            .collect();
    }
    let inner = blocks(rest);
    let under = |item: usize| {
        let each = inner.iter().map(move |axes| {
            std::iter::once(item..item + 1)
                .chain(axes.iter().cloned())
                .collect()
        });
        each.collect::<Vec<Vec<Range<usize>>>>()
    };
    (0..first).flat_map(under).collect()
}

fn numbers(dataset: &Dataset, part: &[Range<usize>], kind: Values) -> hdf5::Result<Vec<f64>> {
    Ok(match kind {
        Values::Float | Values::Signed | Values::Unsigned => read_slab::<f64>(dataset, part)?,
        Values::Boolean => {
            let flags = read_flags(dataset, part)?;
            flags
                .into_iter()
                .map(|flag| f64::from(u8::from(flag)))
                .collect()
        }
    })
}

/// The first values of the item `row`, exactly as stored.
fn row_of_numbers(
    dataset: &Dataset,
    shape: &[usize],
    row: usize,
    kind: Values,
) -> hdf5::Result<String> {
    fn join<T: ToString>(values: Vec<T>) -> Vec<String> {
        values.iter().map(ToString::to_string).collect()
    }
    let part = start_of(shape, row);
    let values = match kind {
        Values::Float => {
            // Shortest text that reads back as the same f32 or f64.
            let wide = read_slab::<f64>(dataset, &part)?;
            let text = |v: f64| {
                let plain = v == 0.0 || !v.is_finite() || (1e-6..1e15).contains(&v.abs());
                match (f64::from(v as f32) == v, plain) {
                    (true, true) => (v as f32).to_string(),
                    (true, false) => format!("{:e}", v as f32),
                    (false, true) => v.to_string(),
                    (false, false) => format!("{v:e}"),
                }
            };
            wide.into_iter().map(text).collect()
        }
        Values::Signed => join(read_slab::<i64>(dataset, &part)?),
        Values::Unsigned => join(read_slab::<u64>(dataset, &part)?),
        Values::Boolean => join(read_flags(dataset, &part)?),
    };
    Ok(shown(values, shape))
}

fn row_of_text(dataset: &Dataset, shape: &[usize], row: usize) -> hdf5::Result<String> {
    fn texts<T: Readable + FileText>(
        dataset: &Dataset,
        part: &[Range<usize>],
    ) -> hdf5::Result<Vec<String>> {
        Ok(read_slab::<T>(dataset, part)?
            .iter()
            .map(FileText::text)
            .collect())
    }
    let part = start_of(shape, row);
    let dtype = dataset.dtype()?;
    let Ok(descriptor) = dtype.to_descriptor() else {
        return Ok(format!("({})", type_name(&dtype)));
    };
    let values = match descriptor {
        TypeDescriptor::VarLenUnicode => texts::<VarLenUnicode>(dataset, &part)?,
        TypeDescriptor::VarLenAscii => texts::<VarLenAscii>(dataset, &part)?,
        TypeDescriptor::FixedUnicode(_) => texts::<FixedUnicode<1024>>(dataset, &part)?,
        TypeDescriptor::FixedAscii(_) => texts::<FixedAscii<1024>>(dataset, &part)?,
        other => return Ok(format!("({other})")),
    };
    Ok(shown(values, shape))
}

/// The first values of the item `row` as a part of an array of `shape`.
fn start_of(shape: &[usize], row: usize) -> Vec<Range<usize>> {
    let mut left = WIDEST;
    let mut part: Vec<Range<usize>> = Vec::new();
    for axis in shape.iter().skip(1).rev() {
        let taken = (*axis).min(left.max(1));
        part.push(0..taken);
        left /= taken.max(1);
    }
    part.extend(shape.first().map(|_| row..row + 1));
    part.reverse();
    part
}

fn shown(mut values: Vec<String>, shape: &[usize]) -> String {
    let width: usize = shape.iter().skip(1).product();
    values.truncate(WIDEST);
    let more = if width > values.len() { ", ..." } else { "" };
    format!("{}{more}", values.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_every_number_once() {
        for shape in [
            &[][..],
            &[0, 3],
            &[7],
            &[3, BLOCK / 2 + 1],
            &[2, 3, BLOCK],
            &[2, 2, BLOCK + 1],
        ] {
            let counted: usize = (blocks(shape).iter())
                .map(|part| part.iter().map(ExactSizeIterator::len).product::<usize>())
                .sum();
            assert_eq!(counted, shape.iter().product::<usize>(), "{shape:?}");
            let largest = blocks(shape)
                .iter()
                .map(|p| p.iter().map(ExactSizeIterator::len).product())
                .max();
            assert!(largest.unwrap_or(0) <= BLOCK, "{shape:?}");
        }
    }

    #[test]
    fn a_flag_is_true_whatever_byte_other_than_zero_stands_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("flags.h5");
        let file = hdf5::File::create(&path).unwrap();
        let dataset = file.new_dataset::<bool>().shape([6]).create("flags");
        let dataset = dataset.unwrap();
        dataset
            .write_raw(&[true, false, true, true, false, true])
            .unwrap();
        let attribute = dataset.new_attr::<bool>().shape([7]).create("of");
        let of = [true, true, false, true, true, true, false];
        attribute.unwrap().write_raw(&of).unwrap();
        drop((dataset, file));
        let mut bytes = std::fs::read(&path).unwrap();
        let mut change = |stored: &[u8], other: &[u8]| {
            let found = bytes.windows(stored.len()).rposition(|w| w == stored);
            bytes[found.unwrap()..][..other.len()].copy_from_slice(other);
        };
        change(&[1, 0, 1, 1, 0, 1], &[2, 0, 255, 1, 0, 128]);
        change(&[1, 1, 0, 1, 1, 1, 0], &[7, 254, 0, 1, 1, 1, 0]);
        std::fs::write(&path, bytes).unwrap();

        let contents = Contents::read(&path, "flags", true, 6).unwrap();
        let found = contents.statistics.unwrap();
        assert_eq!((found.min, found.max, found.mean), (0.0, 1.0, 4.0 / 6.0));
        let expected = ["true", "false", "true", "true", "false", "true"];
        assert_eq!(contents.rows, expected);
        let listed = crate::listing::list(&path).unwrap();
        let shown = "[true, true, false, true, true, true, false]".to_owned();
        assert_eq!(listed[0].attributes, [("of".to_owned(), shown)]);
    }

    #[test]
    fn numbers_of_any_size_take_one_short_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sizes.h5");
        let file = hdf5::File::create(&path).unwrap();
        let values = [1e-310, -2.5e300, 0.1, 0.0, 1e15];
        let dataset = file.new_dataset::<f64>().shape([1, 5]).create("x");
        dataset.unwrap().write_raw(&values).unwrap();
        drop(file);
        let contents = Contents::read(&path, "x", true, 1).unwrap();
        assert_eq!(contents.rows, ["1e-310, -2.5e300, 0.1, 0, 1e15"]);
        let found = contents.statistics.unwrap();
        assert_eq!((found.finite, found.max), (5, 1e15));
    }

    #[test]
    fn a_large_mean_costs_no_digits_and_bad_values_are_counted() {
        let mut sum = Statistics::none();
        sum.add(&[1e9, 1e9 + 1.0, f64::NAN]);
        sum.add(&[f64::NEG_INFINITY, 1e9 + 2.0]);
        let found = sum.finish();
        assert_eq!((found.finite, found.nan, found.infinite), (3, 1, 1));
        assert_eq!(
            (found.mean, found.min, found.max),
            (1e9 + 1.0, 1e9, 1e9 + 2.0)
        );
        assert!(
            (found.std - (2.0f64 / 3.0).sqrt()).abs() < 1e-9,
            "{}",
            found.std
        );
    }
}
