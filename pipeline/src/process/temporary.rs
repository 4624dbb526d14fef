//! Names that are used once.

use latent_align_stages::temporary;
use std::path::{Path, PathBuf};

/// A name beside `name` in `dir` that no other process or thread uses, on this host or another.
pub fn temporary(dir: &Path, name: &str) -> PathBuf {
    temporary::beside(&dir.join(name))
}
