//! Tests that take several files of this crate together, by what they show.

mod direct;
mod reading;
mod writing;

use std::path::{Path, PathBuf};

/// A file of `stages/tests/fixtures`, made by `make.py` there.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures")
        .join(name)
}

/// Value (i, j) of the float fixtures.
fn value(i: usize, j: usize) -> f32 {
    ((7 * i + 3 * j) % 32) as f32 / 4.0 - 3.0
}

/// Standard normal numbers.
fn normals(seed: u64, count: usize) -> Vec<f64> {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand_pcg::Pcg64::seed_from_u64(seed);
    (0..count)
        .map(|_| rng.sample(rand_distr::StandardNormal))
        .collect()
}
