//! Tensors that `torch.save` wrote, by the reader that `import` uses: it runs no code that a pickle may hold. A tensor
//! is read as a whole.
//!
//! That reader expects a dictionary. A file of one tensor is copied, without its name, with the tensor put into a
//! dictionary.

use super::columns::shown;
use super::raw::{Feed, Raw, Stored};
use super::source::{Array, Sink, Source};
use latent_align_hdf5::temporary::folder_of;
use latent_align_stages::{Error, Result};
use pytorch_reader::{PickleValue, PytorchError, PytorchReader, Tensor};
use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs::File;
use std::io::{BufReader, Cursor, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// The key that one tensor gets.
const ONLY: &str = "tensor";
/// Longest pickle that is put into a dictionary; that of one tensor has a few hundred bytes.
const LONGEST: u64 = 1 << 20;

/// Tensors of a file, and what is beside them.
pub struct Torch {
    tensors: Vec<Raw>,
    notes: Vec<String>,
}

impl Source for Torch {
    fn arrays(&self) -> Vec<Array> {
        self.tensors.arrays()
    }

    fn pour(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        self.tensors.pour(sink)
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

/// The tensors of the file at `path`, those in `only` if any are given; one that is alone in the file has no name.
/// Copies are made in the folder of `to`.
///
/// # Errors
/// [`Error::Input`] for a file without tensors, or a damaged one.
pub fn open(path: &Path, only: &[String], to: &Path) -> Result<Torch> {
    let (reader, is_alone) = reader(path, to)?;
    let keys = match is_alone {
        true => Vec::new(),
        false => contents(path).map_err(|object| refuse(path, object))?,
    };
    let mut distinct = BTreeSet::new();
    if let Some(key) = keys.iter().find(|key| !distinct.insert(*key)) {
        let found = format!("two values called `{key}`, of which one is in a dictionary");
        return Err(refuse(path, found));
    }
    if has_negative_bit(path) {
        return Err(Error::input(format!(
            "{}: found a tensor whose signs are exchanged when it is read, such as `z.conj().imag`, expected plain \
             numbers; save `x.resolve_neg()`",
            path.display()
        )));
    }
    let mut tensors: Vec<_> = reader.into_tensors().into_values().collect();
    if tensors.is_empty() {
        return Err(refuse(path, "no tensor"));
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let is_tensor = |key: &String| tensors.iter().any(|tensor| tensor.name == *key);
    let others: Vec<String> = keys.into_iter().filter(|key| !is_tensor(key)).collect();
    let notes = match others.as_slice() {
        [] => Vec::new(),
        some => vec![format!("left out, as they are no tensors: {}", shown(some))],
    };
    let (is_one, prefix) = (tensors.len() == 1, format!("{ONLY}."));
    let named = tensors.into_iter().map(|tensor| {
        let name = match is_alone {
            true if is_one => None,
            true => Some(tensor.name.trim_start_matches(&prefix).to_owned()),
            false => Some(tensor.name.clone()),
        };
        (name, tensor)
    });
    let is_chosen = |name: &String| only.contains(name);
    let chosen = named.filter(|(name, _)| only.is_empty() || name.as_ref().is_some_and(is_chosen));
    let tensors = chosen.map(|(name, tensor)| raw(path, name, tensor));
    Ok(Torch {
        tensors: tensors.collect::<Result<_>>()?,
        notes,
    })
}

/// A reader of the file at `path`, and whether one tensor is alone in the file.
fn reader(path: &Path, to: &Path) -> Result<(PytorchReader, bool)> {
    let found = match PytorchReader::new(path) {
        Ok(reader) => return Ok((reader, false)),
        Err(PytorchError::InvalidFormat(why)) if why.contains("at the root") => {
            why.rsplit("found ").next().unwrap_or_default().to_owned()
        }
        Err(why) => return Err(refuse(path, why)),
    };
    let old = format!("{found} alone in a format before that of PyTorch 1.6");
    let copy = with_a_dictionary(path, to).map_err(|_| refuse(path, old))?;
    let copied = PathBuf::from(format!("/proc/self/fd/{}", copy.as_raw_fd()));
    contents(&copied).map_err(|object| refuse(path, object))?;
    let reader = PytorchReader::new(copied).map_err(|e| refuse(path, e))?;
    match reader.is_empty() {
        true => Err(refuse(path, found)),
        false => Ok((reader, true)),
    }
}

/// The `tensor` of the file at `path` as plain numbers.
fn raw(path: &Path, name: Option<String>, tensor: Tensor) -> Result<Raw> {
    let metadata = std::fs::metadata(path).map_err(|e| Error::file(path, e))?;
    let (held, size) = (metadata.len(), tensor.byte_len());
    // a view of one element may claim any size
    if size as u64 > held {
        let found = format!("a tensor of {size} bytes in a file of {held}");
        return Err(refuse(path, found));
    }
    let place = match &name {
        Some(name) => format!("{} ({name})", path.display()),
        None => path.display().to_string(),
    };
    let Some(stored) = Stored::like(tensor.dtype()) else {
        return Err(refuse(path, format!("numbers of {:?}", tensor.dtype())));
    };
    let (shape, damaged) = (tensor.shape().to_vec(), place.clone());
    let feed: Feed = Box::new(move |take| {
        let bytes = tensor.read().map_err(|e| {
            Error::input(format!(
                "{damaged}: found {e}, expected a tensor; the file is truncated or damaged. Copy or save it again"
            ))
        })?;
        take(&mut Cursor::new(bytes))
    });
    Ok(Raw {
        place,
        name,
        shape,
        stored,
        // `read` gives the order of bytes of this machine
        is_big_endian: cfg!(target_endian = "big"),
        feed,
    })
}

fn refuse(path: &Path, found: impl Display) -> Error {
    Error::input(format!(
        "{}: found {found}, expected a tensor or a dictionary of tensors (a pickle may hold code, which is not run); \
         save one with `torch.save(x.contiguous(), \"x.pt\")`",
        path.display()
    ))
}

/// Whether the pickle of the file at `path` has a tensor with PyTorch's mark of negative numbers, which the reader
/// ignores: the text `neg`, perhaps a number under which it is remembered, and true.
fn has_negative_bit(path: &Path) -> bool {
    const MARK: &[u8] = b"X\x03\0\0\0neg";
    const TRUE: u8 = 0x88;
    let mut pickle = Vec::new();
    let read = |pickle: &mut Vec<u8>| {
        let file = File::open(path).ok()?;
        let Ok(mut archive) = ZipArchive::new(BufReader::new(&file)) else {
            // the pickles are before the numbers
            (&file).seek(SeekFrom::Start(0)).ok()?;
            return (&file).take(LONGEST).read_to_end(pickle).ok();
        };
        for number in 0..archive.len() {
            let entry = archive.by_index(number).ok()?;
            if entry.name().is_ok_and(|name| name.ends_with("/data.pkl")) {
                return entry.take(LONGEST).read_to_end(pickle).ok();
            }
        }
        None
    };
    read(&mut pickle);
    let after = |at: usize| match pickle.get(at + MARK.len()..)? {
        [b'q', _, value, ..] | [b'r', _, _, _, _, value, ..] | [value, ..] => Some(*value),
        [] => None,
    };
    let mut marks = pickle.windows(MARK.len()).enumerate();
    marks.any(|(at, found)| found == MARK && after(at) == Some(TRUE))
}

/// The keys of the values in a pickle, those of dictionaries in dictionaries with dots. Refuses one that calls functions
/// other than those that make tensors, and names the first one.
fn contents(path: &Path) -> std::result::Result<Vec<String>, String> {
    fn keys(value: &PickleValue, prefix: &str, found: &mut Vec<String>) {
        let dot = if prefix.is_empty() { "" } else { "." };
        match value {
            PickleValue::Dict(values) => {
                for (key, value) in values {
                    keys(value, &format!("{prefix}{dot}{key}"), found);
                }
            }
            PickleValue::List(values) => {
                for (at, value) in values.iter().enumerate() {
                    keys(value, &format!("{prefix}{dot}{at}"), found);
                }
            }
            _ => found.push(prefix.to_owned()),
        }
    }
    fn first(value: PickleValue) -> Option<String> {
        let is_harmless = |name: &str| {
            ["torch.", "collections.", "numpy."]
                .iter()
                .any(|m| name.starts_with(m))
        };
        match value {
            PickleValue::Unsupported(name) if !is_harmless(&name) => Some(name),
            PickleValue::List(values) => values.into_iter().find_map(first),
            PickleValue::Dict(values) => values.into_values().find_map(first),
            _ => None,
        }
    }
    match PytorchReader::read_pickle_data(path, None) {
        Ok(value) => {
            let mut found = Vec::new();
            keys(&value, "", &mut found);
            found.sort();
            first(value).map_or(Ok(found), |name| Err(format!("a call of `{name}`")))
        }
        Err(why) => Err(why.to_string()),
    }
}

/// A copy of the zip file at `path` without a name, whose pickle P is `{ONLY: P}`.
fn with_a_dictionary(path: &Path, to: &Path) -> std::io::Result<File> {
    let mut archive = ZipArchive::new(BufReader::new(File::open(path)?))?;
    let copy = tempfile::tempfile_in(folder_of(to))?;
    let mut writer = ZipWriter::new(copy);
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for number in 0..archive.len() {
        let entry = archive.by_index_raw(number)?;
        let name = entry.name()?.into_owned();
        if !name.ends_with("/data.pkl") {
            writer.raw_copy_file(entry)?;
            continue;
        }
        drop(entry);
        let mut pickle = Vec::new();
        let entry = archive.by_index(number)?;
        entry.take(LONGEST).read_to_end(&mut pickle)?;
        writer.start_file(name, stored)?;
        writer.write_all(&wrapped(&pickle).ok_or(std::io::ErrorKind::InvalidData)?)?;
    }
    Ok(writer.finish()?)
}

/// The pickle of a dictionary with the value of `pickle`; none if it does not look like one.
fn wrapped(pickle: &[u8]) -> Option<Vec<u8>> {
    const PROTOCOL: u8 = 0x80;
    const EMPTY_DICT: u8 = b'}';
    const BINUNICODE: u8 = b'X';
    const SETITEM: u8 = b's';
    const STOP: u8 = b'.';
    let (&[PROTOCOL, version], rest) = pickle.split_first_chunk()? else {
        return None;
    };
    let (&STOP, value) = rest.split_last()? else {
        return None;
    };
    let mut made = vec![PROTOCOL, version, EMPTY_DICT, BINUNICODE];
    made.extend((ONLY.len() as u32).to_le_bytes());
    made.extend(ONLY.as_bytes());
    made.extend(value);
    made.extend([SETITEM, STOP]);
    Some(made)
}
