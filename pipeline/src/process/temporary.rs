//! Unique temporary names.

use latent_align_stages::temporary;
use std::path::{Path, PathBuf};

/// A name beside `name` in `dir`, unique over processes, threads and hosts.
pub fn temporary(dir: &Path, name: &str) -> PathBuf {
    temporary::beside(&dir.join(name))
}
