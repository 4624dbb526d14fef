//! Checks that a classifier judges the data it was trained on.

use crate::data::Scan;
use crate::error::{Error, Result};
use std::path::Path;

/// Refuses an artifact, given by description and directory, if a classifier was trained on different data, so that
/// items would not refer to the same rows. `key` names the artifact's data.
///
/// # Errors
/// File errors; an input error.
pub fn require_same_data(
    (what, artifact): (&str, &Path),
    key: &str,
    classifier: &Path,
) -> Result<()> {
    let (own, classified) = (Scan::read(artifact)?, Scan::read(classifier)?);
    if own.digest == classified.digest {
        return Ok(());
    }
    let about = |scan: &Scan| format!("{} rows of width {}", scan.rows, scan.width);
    Err(Error::input(format!(
        "found {what} ({}) and a classifier ({}) of different data: {} (digest {:.12}) and {} \
         (digest {:.12}), expected the same rows in the same order; give {key} and \
         train_classifier.data the same file and dataset",
        artifact.display(),
        classifier.display(),
        about(&own),
        own.digest,
        about(&classified),
        classified.digest,
    )))
}
