//! The identity of a file's content.

use latent_align_stages::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Digest and size of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRecord {
    /// BLAKE3 of the whole file, in hexadecimal.
    pub digest: String,
    /// Size in bytes.
    pub size: u64,
}

impl FileRecord {
    /// Reads `path` once, in chunks.
    pub fn of(path: &Path) -> Result<Self> {
        let failed = |e| Error::file(path, e);
        // Opening a pipe would wait for a writer, and some devices are endless.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(Error::file(path, "is not a regular file"));
        }
        let mut file = File::open(path).map_err(failed)?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; 1 << 20];
        let mut size = 0;
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => {
                    hasher.update(&buffer[..n]);
                    size += n as u64;
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(failed(e)),
            }
        }
        Ok(Self {
            digest: hasher.finalize().to_hex().to_string(),
            size,
        })
    }
}

/// How a file differs from its manifest.
pub fn mismatch(name: &str, found: &FileRecord, recorded: &FileRecord) -> String {
    format!(
        "{name}: digest {} ({} bytes), its manifest says {} ({} bytes)",
        found.digest, found.size, recorded.digest, recorded.size
    )
}
