//! NumPy's format of one array: a header, which is a Python dictionary of three keys, and plain numbers.

use super::columns_first::ColumnsFirst;
use super::raw::{Feed, Raw, Stored};
use latent_align_stages::{Error, Result};
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek as _, SeekFrom};
use std::path::Path;

/// Longest header in bytes; NumPy itself refuses more than 10,000.
const LONGEST: usize = 1 << 16;

/// The header of an array.
#[derive(Debug, PartialEq)]
pub struct Header {
    pub stored: Stored,
    pub is_big_endian: bool,
    /// Whether it is stored column by column, in Fortran order.
    pub is_in_columns: bool,
    pub shape: Vec<usize>,
}

/// The array of the file at `path`.
///
/// # Errors
/// [`Error::Input`] for a header that cannot be understood, objects, and a truncated file.
pub fn open(path: &Path) -> Result<Vec<Raw>> {
    let place = path.display().to_string();
    let mut file = File::open(path).map_err(|e| Error::file(path, e))?;
    let length = file.metadata().map_err(|e| Error::file(path, e))?.len();
    let (header, start) = Header::read(&mut file, &place)?;
    header.check_length(length - start as u64, &place)?;
    let owned = path.to_owned();
    let columns = header
        .is_in_columns
        .then(|| (header.shape.clone(), header.stored.size()));
    let feed: Feed = Box::new(move |take| {
        let mut file = File::open(&owned).map_err(|e| Error::file(&owned, e))?;
        if let Some((shape, size)) = &columns {
            return take(&mut ColumnsFirst::new(file, start as u64, shape, *size));
        }
        file.seek(SeekFrom::Start(start as u64))
            .map_err(|e| Error::file(&owned, e))?;
        take(&mut BufReader::new(file))
    });
    Ok(vec![header.into_raw(place, None, feed)])
}

impl Header {
    /// Reads the header from the start of `file`, and returns it with its length in bytes. `place` is for messages.
    ///
    /// # Errors
    /// As [`open`].
    pub fn read(file: &mut dyn Read, place: &str) -> Result<(Self, usize)> {
        let mut read = |count: usize| {
            let mut bytes = vec![0; count];
            match file.read_exact(&mut bytes) {
                Ok(()) => Ok(bytes),
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => Err(Error::input(format!(
                    "{place}: found the end of the file in its header, expected a NumPy array; the file is truncated. \
                     Save it again with `np.save`"
                ))),
                Err(e) => Err(Error::file(place, e)),
            }
        };
        let start = read(8)?;
        let (size, length) = match (start.starts_with(b"\x93NUMPY"), start[6]) {
            (true, 1) => {
                let size = read(2)?;
                (2, usize::from(u16::from_le_bytes([size[0], size[1]])))
            }
            (true, 2 | 3) => {
                let size = read(4)?;
                let size = u32::from_le_bytes([size[0], size[1], size[2], size[3]]);
                (4, size as usize)
            }
            _ => {
                return Err(Error::input(format!(
                    "{place}: found no header of NumPy's formats 1 to 3, expected an array; save it again with `np.save`"
                )));
            }
        };
        if length > LONGEST {
            return Err(Error::input(format!(
                "{place}: found a header of {length} bytes, expected at most {LONGEST}: fields with names cannot be \
                 converted. Save a plain array of numbers with `np.save`"
            )));
        }
        let text = String::from_utf8_lossy(&read(length)?).into_owned();
        Ok((Self::parse(&text, place)?, 8 + size + length))
    }

    fn parse(text: &str, place: &str) -> Result<Self> {
        let refuse = |found: &str, way_out: &str| {
            Err(Error::input(format!(
                "{place}: found {found}, expected an array of numbers; {way_out}"
            )))
        };
        let unknown = || {
            refuse(
                &format!("the header {}", text.trim()),
                "save it again with `np.save`",
            )
        };
        let (Some(descr), Some(order), Some(shape)) = (
            value(text, "descr"),
            value(text, "fortran_order"),
            value(text, "shape"),
        ) else {
            return unknown();
        };
        if descr.starts_with('[') {
            let way_out = "save the columns as one array, such as `np.stack([x[n] for n in x.dtype.names], 1)`";
            return refuse("fields with names", way_out);
        }
        let descr = descr.trim_matches(['\'', '"']);
        if descr.contains('O') {
            return refuse(
                "Python objects, which are pickled and could run code when they are read",
                "rows of different lengths become objects: save rows of one length, `np.save(file, np.stack(list(x)))`",
            );
        }
        let Some(stored) = type_of(&descr[descr.len().min(1)..]) else {
            let way_out = match descr.contains(['U', 'S']) {
                true => "number the texts, `np.unique(x, return_inverse=True)[1]`",
                false => "convert it, `x.astype(\"float32\")`",
            };
            return refuse(&format!("the type `{descr}`"), way_out);
        };
        let axes = shape
            .trim_matches(['(', ')', ' '])
            .split(',')
            .map(str::trim);
        let axes = axes.filter(|axis| !axis.is_empty());
        let Ok(shape) = axes
            .map(|axis| axis.trim_end_matches('L').parse())
            .collect::<Result<Vec<usize>, _>>()
        else {
            return unknown();
        };
        let in_columns = match order {
            "True" => shape.iter().filter(|&&axis| axis > 1).count() > 1,
            "False" => false,
            _ => return unknown(),
        };
        Ok(Self {
            stored,
            is_big_endian: descr.starts_with('>'),
            is_in_columns: in_columns,
            shape,
        })
    }

    /// Refuses an array that is longer or shorter than the `held` bytes after its header.
    ///
    /// # Errors
    /// [`Error::Input`].
    pub fn check_length(&self, held: u64, place: &str) -> Result<()> {
        let count = self
            .shape
            .iter()
            .try_fold(1usize, |n, &axis| n.checked_mul(axis));
        let said = count.and_then(|n| n.checked_mul(self.stored.size()));
        if said.is_some_and(|said| said as u64 == held) {
            return Ok(());
        }
        let said = said.map_or("too many".to_owned(), |said| said.to_string());
        Err(Error::input(format!(
            "{place}: found {held} bytes of numbers, expected {said} for the shape {:?}; the file is truncated or \
             damaged. Copy or save it again",
            self.shape
        )))
    }

    /// The array with this header, whose numbers `feed` reads.
    pub fn into_raw(self, place: String, name: Option<String>, feed: Feed) -> Raw {
        Raw {
            place,
            name,
            shape: self.shape,
            stored: self.stored,
            is_big_endian: self.is_big_endian,
            feed,
        }
    }
}

/// The text of the value of `key` in a Python dictionary whose values hold no keys.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let at = ["'", "\""].iter().find_map(|mark| {
        let key = format!("{mark}{key}{mark}");
        text.find(&key).map(|at| at + key.len())
    })?;
    let rest = text[at..].trim_start().strip_prefix(':')?.trim_start();
    let end = match rest.chars().next()? {
        '(' => rest.find(')')? + 1,
        '[' => rest.rfind(']')? + 1,
        mark @ ('\'' | '"') => rest[1..].find(mark)? + 2,
        _ => rest.find([',', '}'])?,
    };
    Some(rest[..end].trim())
}

/// The type with NumPy's code, without the mark of its order of bytes.
fn type_of(code: &str) -> Option<Stored> {
    Some(match code {
        "b1" | "?" => Stored::Bool,
        "u1" => Stored::U8,
        "i1" => Stored::I8,
        "u2" => Stored::U16,
        "i2" => Stored::I16,
        "u4" => Stored::U32,
        "i4" => Stored::I32,
        "u8" => Stored::U64,
        "i8" => Stored::I64,
        "f2" => Stored::F16,
        "f4" => Stored::F32,
        "f8" => Stored::F64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(descr: &str, order: &str, shape: &str) -> Result<Header> {
        let text =
            format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}   \n");
        Header::parse(&text, "x.npy")
    }

    #[test]
    fn a_header_gives_type_order_of_bytes_and_shape() {
        for (descr, order, shape, expected) in [
            ("'<f4'", "False", "(3, 4)", (Stored::F32, false, vec![3, 4])),
            ("'>i2'", "False", "(3,)", (Stored::I16, true, vec![3])),
            ("'|u1'", "False", "()", (Stored::U8, false, vec![])),
            // columns of length 1 are rows as well
            ("'<f8'", "True", "(5, 1)", (Stored::F64, false, vec![5, 1])),
        ] {
            let found = parse(descr, order, shape).unwrap();
            assert!(!found.is_in_columns);
            assert_eq!((found.stored, found.is_big_endian, found.shape), expected);
        }
    }

    #[test]
    fn what_is_no_plain_array_is_refused_with_what_mends_it() {
        for (descr, order, shape, expected) in [
            ("'|O'", "False", "(3,)", "could run code"),
            ("'<c8'", "False", "(3,)", "the type `<c8`"),
            ("'<U7'", "False", "(3,)", "return_inverse"),
            (
                "[('a', '<f4'), ('b', '<f4')]",
                "False",
                "(3,)",
                "fields with names",
            ),
            ("'<f4'", "Maybe", "(3, 4)", "the header"),
            ("'<f4'", "False", "(3, x)", "the header"),
        ] {
            let message = parse(descr, order, shape).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
