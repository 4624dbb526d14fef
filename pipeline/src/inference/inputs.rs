//! Input files of rows.

use crate::store::{Digests, FileRecord, Store};
use latent_align_hdf5::list;
use latent_align_stages::data::{NonFinite, SourceConfig};
use latent_align_stages::{Error, Result};
use serde_json::{Value, json};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// An HDF5 file, with its state when the work began.
pub struct Input {
    path: PathBuf,
    dataset: String,
    record: FileRecord,
    stamp: Stamp,
}

type Stamp = (u64, Option<SystemTime>);

impl Input {
    /// Opens the dataset `dataset` of the file `path`, and computes its digest unless the store knows it.
    ///
    /// # Errors
    /// An input error if the file does not exist.
    pub fn open(path: &Path, dataset: &str, store: &Store) -> Result<Self> {
        let stamp = stamp(&metadata(path)?);
        let mut digests = Digests::of_store(store.root());
        let record = digests.of(path)?;
        digests.save();
        Ok(Self {
            path: path.to_owned(),
            dataset: dataset.to_owned(),
            record,
            stamp,
        })
    }

    /// Location of the rows.
    pub fn source(&self) -> SourceConfig {
        SourceConfig {
            file: self.path.clone().into(),
            dataset: self.dataset.clone(),
            non_finite: NonFinite::Refuse,
        }
    }

    /// Identifies the rows.
    pub fn identity(&self) -> Value {
        json!({"digest": self.record.digest, "size": self.record.size, "dataset": self.dataset})
    }

    /// Checks that the file has not changed since it was opened.
    ///
    /// # Errors
    /// A file error.
    pub fn is_unchanged(&self) -> Result<()> {
        match stamp(&metadata(&self.path)?) == self.stamp {
            true => Ok(()),
            false => Err(Error::file(
                &self.path,
                "changed while it was read, and nothing was written; run the same command again",
            )),
        }
    }
}

fn metadata(path: &Path) -> Result<Metadata> {
    std::fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::input(format!(
            "{}: no such file; expected an HDF5 file",
            path.display()
        )),
        _ => Error::input(format!("{}: cannot be opened ({e})", path.display())),
    })
}

fn stamp(meta: &Metadata) -> Stamp {
    (meta.len(), meta.modified().ok())
}

/// The dataset of the file `path` to use: `asked` if given, else the first existing one of `usual`, else
/// the only one.
///
/// # Errors
/// An input error if none of these applies; as [`list`].
pub fn dataset_of(path: &Path, asked: Option<&str>, usual: &[&str]) -> Result<String> {
    metadata(path)?;
    let found = list(path)?;
    let names: Vec<&str> = (found.iter())
        .map(|dataset| dataset.name.trim_start_matches('/'))
        .collect();
    if let Some(asked) = asked {
        let name = asked.trim_start_matches('/');
        if names.contains(&name) {
            return Ok(name.to_owned());
        }
    } else if let Some(name) = usual.iter().find(|name| names.contains(name)) {
        return Ok((*name).to_owned());
    } else if let [only] = names[..] {
        return Ok(only.to_owned());
    }
    let held: Vec<String> = (found.iter().take(8))
        .map(|d| format!("`{}` {:?} {}", d.name, d.shape, d.dtype))
        .collect();
    let expected = match asked {
        Some(asked) => format!("`{asked}`"),
        None => format!("`{}`", usual.join("` or `")),
    };
    Err(Error::input(format!(
        "{}: found {}, expected {expected}; name the dataset with --dataset",
        path.display(),
        match held.is_empty() {
            true => "no dataset".to_owned(),
            false => held.join(", "),
        }
    )))
}
