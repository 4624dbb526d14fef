//! Tests that take several files of this room together, by what they show.

mod batching;
mod ingesting;
mod normalising;
mod parting;
mod several_files;
mod writing;

use super::{Files, NonFinite, SourceConfig, write_datasets};
use crate::data::OutData;
use std::path::{Path, PathBuf};

/// A file of `tests/fixtures`, made by `make.py` there.
fn fixture(name: &str) -> PathBuf {
    PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap())
        .join("tests/fixtures")
        .join(name)
}

fn source(file: impl Into<PathBuf>, dataset: &str) -> SourceConfig {
    SourceConfig {
        file: Files::from(file),
        dataset: dataset.to_owned(),
        non_finite: NonFinite::Refuse,
    }
}

/// Value (i, j) of the float fixtures.
fn value(i: usize, j: usize) -> f32 {
    ((7 * i + 3 * j) % 32) as f32 / 4.0 - 3.0
}

/// Writes `rows` [n, width] as `features` of a file in `dir`.
fn features(dir: &Path, width: usize, rows: &[f32]) -> SourceConfig {
    let path = dir.join("features.h5");
    let shape = [rows.len() / width, width];
    write_datasets(&path, &[("features", &shape, OutData::F32(rows))], &[])
        .expect("a temporary directory can be written");
    source(path, "features")
}

/// Standard normal numbers.
pub(crate) fn normals(seed: u64, count: usize) -> Vec<f64> {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand_pcg::Pcg64::seed_from_u64(seed);
    (0..count)
        .map(|_| rng.sample(rand_distr::StandardNormal))
        .collect()
}
