//! Files of other formats, recognised by their content: an error then shows the command that converts them.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A format that `latent-align convert` reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// One NumPy array.
    Npy,
    /// NumPy arrays with names.
    Npz,
    /// A table.
    Parquet,
    /// Tensors with names.
    Safetensors,
    /// Tensors saved by PyTorch.
    Torch,
    /// An array in the format of MNIST, perhaps gzipped.
    Idx,
    /// A table as text.
    Csv,
    /// A folder of PNG and JPEG images.
    Images,
}

/// Bytes from the start of a file that tell its format.
const HEAD: usize = 512;
/// What legacy files of `torch.save` start with: a pickle of its magic number.
const LEGACY_TORCH: [u8; 15] = *b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
/// Number types of an IDX file.
const IDX_TYPES: [u8; 6] = [0x08, 0x09, 0x0b, 0x0c, 0x0d, 0x0e];

impl Foreign {
    /// The format of the file or folder at `path`; none if it is not recognised or cannot be read.
    pub fn of(path: &Path) -> Option<Self> {
        if path.is_dir() {
            return holds_images(path).then_some(Self::Images);
        }
        if !path.is_file() {
            // opening a pipe would wait for a writer
            return None;
        }
        let mut head = Vec::new();
        let mut file = File::open(path).ok()?;
        file.by_ref()
            .take(HEAD as u64)
            .read_to_end(&mut head)
            .ok()?;
        let extension = extension(path);
        if head.starts_with(b"\x93NUMPY") {
            Some(Self::Npy)
        } else if head.starts_with(b"PAR1") {
            Some(Self::Parquet)
        } else if head.starts_with(b"PK\x03\x04") {
            Some(of_archive(&head, &extension))
        } else if head.starts_with(&LEGACY_TORCH) || matches!(&*extension, "pt" | "pth") {
            Some(Self::Torch)
        } else if head.starts_with(&[0x1f, 0x8b]) {
            let mut inner = [0; 4];
            let mut unpacked = flate2::read::GzDecoder::new(head.as_slice());
            unpacked.read_exact(&mut inner).ok()?;
            is_idx(&inner).then_some(Self::Idx)
        } else if is_idx(&head) {
            Some(Self::Idx)
        } else if is_safetensors(&head) {
            Some(Self::Safetensors)
        } else if matches!(&*extension, "csv" | "tsv") {
            Some(Self::Csv)
        } else {
            None
        }
    }

    /// What such a file is, with its article.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Npy => "a NumPy array",
            Self::Npz => "an archive of NumPy arrays",
            Self::Parquet => "a Parquet table",
            Self::Safetensors => "a safetensors file",
            Self::Torch => "a PyTorch file",
            Self::Idx => "an IDX file",
            Self::Csv => "a CSV table",
            Self::Images => "a folder of images",
        }
    }
}

/// The last extension of `path` in lower case; empty if it has none.
pub fn extension(path: &Path) -> String {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    extension.to_lowercase()
}

/// Whether `path` is named like an image that `convert` reads.
pub fn is_image(path: &Path) -> bool {
    matches!(&*extension(path), "png" | "jpg" | "jpeg")
}

/// If the file at `path` is of a format that can be converted: what it is, and the command that converts it.
pub fn conversion(path: &Path) -> Option<String> {
    let format = Foreign::of(path)?;
    let from = quoted(path);
    let to = quoted(&beside(path));
    Some(format!(
        "it is {}. Convert it: `latent-align convert {from} {to}`",
        format.describe()
    ))
}

/// The HDF5 file with the name of `path`, beside it.
pub fn beside(path: &Path) -> PathBuf {
    let plain = match extension(path).as_str() {
        "gz" => path.with_extension(""),
        _ => path.to_owned(),
    };
    match path.is_dir() {
        true => {
            let mut name = plain.file_name().unwrap_or_default().to_owned();
            name.push(".h5");
            plain.with_file_name(name)
        }
        false => plain.with_extension("h5"),
    }
}

/// `path` as a word of a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&b);
    match !text.is_empty() && text.bytes().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// A zip archive of NumPy or of PyTorch, by the name of its first file.
fn of_archive(head: &[u8], extension: &str) -> Foreign {
    let length = |at: usize| {
        head.get(at..at + 2)
            .map(|b| u16::from_le_bytes([b[0], b[1]]))
    };
    let length = length(26).map_or(0, usize::from);
    let first = head.get(30..30 + length).unwrap_or_default();
    match first.ends_with(b".npy") || (extension == "npz" && !first.ends_with(b".pkl")) {
        true => Foreign::Npz,
        false => Foreign::Torch,
    }
}

fn is_idx(head: &[u8]) -> bool {
    matches!(head, [0, 0, kind, rank, ..] if IDX_TYPES.contains(kind) && (1..=8).contains(rank))
}

/// The length of a JSON header, and the header.
fn is_safetensors(head: &[u8]) -> bool {
    const LONGEST: u64 = 100 << 20;
    let Some((length, json)) = head.split_first_chunk() else {
        return false;
    };
    (2..LONGEST).contains(&u64::from_le_bytes(*length)) && json.starts_with(b"{")
}

/// Whether there are images in the folder `path` or in a folder of it.
fn holds_images(path: &Path) -> bool {
    let entries = |folder: &Path| {
        let found = std::fs::read_dir(folder).into_iter().flatten().flatten();
        found.map(|entry| entry.path())
    };
    entries(path).any(|p| is_image(&p))
        || entries(path).any(|p| p.is_dir() && entries(&p).any(|p| is_image(&p)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_recognised_by_their_content() {
        let dir = tempfile::tempdir().unwrap();
        let archive = |name: &str| {
            let mut bytes = b"PK\x03\x04".to_vec();
            bytes.resize(26, 0);
            bytes.extend((name.len() as u16).to_le_bytes());
            bytes.extend([0, 0]);
            bytes.extend(name.as_bytes());
            bytes
        };
        for (name, bytes, expected) in [
            ("a", b"\x93NUMPY\x01\0".to_vec(), Some(Foreign::Npy)),
            ("b", archive("x_train.npy"), Some(Foreign::Npz)),
            ("c", archive("model/data.pkl"), Some(Foreign::Torch)),
            ("d", LEGACY_TORCH.to_vec(), Some(Foreign::Torch)),
            ("e", b"PAR1....".to_vec(), Some(Foreign::Parquet)),
            ("f", vec![0, 0, 8, 3, 0, 0, 0, 1], Some(Foreign::Idx)),
            (
                "g",
                b"\x02\0\0\0\0\0\0\0{}".to_vec(),
                Some(Foreign::Safetensors),
            ),
            ("h.csv", b"x,y\n1,2\n".to_vec(), Some(Foreign::Csv)),
            ("i", b"\x89HDF\r\n\x1a\n".to_vec(), None),
            ("j", b"some text".to_vec(), None),
            ("k", Vec::new(), None),
        ] {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(Foreign::of(&path), expected, "{name}");
        }
    }

    #[test]
    fn the_command_is_one_that_a_shell_understands() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("my cats");
        std::fs::create_dir_all(folder.join("black")).unwrap();
        assert_eq!(conversion(&folder), None);
        std::fs::write(folder.join("black/1.PNG"), "").unwrap();
        let command = conversion(&folder).unwrap();
        let path = dir.path().display();
        let expected = format!("convert '{path}/my cats' '{path}/my cats.h5'`");
        assert!(command.ends_with(&expected), "{command}");
        assert_eq!(beside(Path::new("a/b-ubyte.gz")), Path::new("a/b-ubyte.h5"));
    }
}
