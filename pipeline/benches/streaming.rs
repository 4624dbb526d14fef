//! Features from an HDF5 file into shuffled, normalised batches, as for training.
//!
//! The rate is that of batches in f32, once the stream runs: one epoch per sample, from a file in
//! the page cache, so that the loader is timed and not the disk.

use divan::Bencher;
use divan::counter::BytesCount;
use half::f16;
use hdf5::{File, H5Type};
use latent_align_hdf5::DatasetWriter;
use latent_align_stages::context::Silent;
use latent_align_stages::data::{
    Batches, Ingest, NonFinite, Normaliser, Part, RowView, SourceConfig, Split,
};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const ROWS: usize = 1 << 20;
/// 256 MiB of f32 with [`ROWS`].
const WIDTH: usize = 64;
const BATCH: usize = 256;
/// Larger than the file: loaded once.
const RESIDENT: usize = 512 << 20;
/// Smaller than the file: streamed.
const STREAMED: usize = 64 << 20;

/// The layouts of numbers in the file.
const LAYOUTS: [&str; 4] = ["contiguous f32", "contiguous f16", "checksummed", "gzip"];

fn main() {
    divan::main();
}

#[divan::bench(args = LAYOUTS, sample_count = 5, sample_size = 1)]
fn resident(bencher: Bencher, layout: &str) {
    epochs(bencher, layout, RESIDENT);
}

#[divan::bench(args = LAYOUTS, sample_count = 5, sample_size = 1)]
fn streamed(bencher: Bencher, layout: &str) {
    epochs(bencher, layout, STREAMED);
}

/// The pass over all rows before training: finite values, moments, digest.
#[divan::bench(args = LAYOUTS, sample_count = 3, sample_size = 1)]
fn scanned(bencher: Bencher, layout: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, layout);
    bencher
        .counter(BytesCount::of_many::<f32>(ROWS * WIDTH))
        .bench_local(|| ingest(&path));
}

fn epochs(bencher: Bencher, layout: &str, memory: usize) {
    let folder = tempfile::tempdir().unwrap();
    let ingest = ingest(&written(&folder, layout));
    let normaliser = Normaliser::from_parts(
        ingest.moments.mean.clone(),
        diagonal(&ingest.moments.variance),
        WIDTH,
        None,
    )
    .unwrap();
    let mut batches =
        Batches::start(&ingest, Part::Train, normaliser, BATCH, 0, memory, 0).unwrap();
    let epoch = ingest.part_rows(Part::Train) / BATCH;
    batches.next().unwrap();
    bencher
        .counter(BytesCount::of_many::<f32>(epoch * BATCH * WIDTH))
        .bench_local(|| {
            for _ in 0..epoch {
                divan::black_box(batches.next().unwrap());
            }
        });
}

fn ingest(path: &Path) -> Ingest {
    let source = SourceConfig {
        file: path.into(),
        dataset: "features".into(),
        non_finite: NonFinite::Refuse,
    };
    Ingest::read(&source, RowView::Items, Split::new(1, 0.1), false, &Silent).unwrap()
}

/// The matrix that scales columns of `variance` to unit variance, row-major.
fn diagonal(variance: &[f64]) -> Vec<f64> {
    let mut matrix = vec![0.0; WIDTH * WIDTH];
    for (i, v) in variance.iter().enumerate() {
        matrix[i * WIDTH + i] = v.sqrt().recip();
    }
    matrix
}

/// A file of `layout` with numbers between -1 and 1.
fn written(folder: &TempDir, layout: &str) -> PathBuf {
    let path = folder.path().join("features.h5");
    let value = |i: usize| (i as u32).wrapping_mul(0x9e37_79b9) as i32 as f32 / 2f32.powi(31);
    let values: Vec<f32> = (0..ROWS * WIDTH).map(value).collect();
    match layout {
        "contiguous f32" => write(&path, &values, false),
        "contiguous f16" => {
            let halves: Vec<f16> = values.iter().map(|&v| f16::from_f32(v)).collect();
            write(&path, &halves, false);
        }
        "gzip" => write(&path, &values, true),
        _ => {
            let mut writer = DatasetWriter::create(&path, "features", &[ROWS, WIDTH], &[]).unwrap();
            writer.append(&values).unwrap();
            writer.commit().unwrap();
        }
    }
    path
}

fn write<T: H5Type>(path: &Path, values: &[T], compressed: bool) {
    let file = File::create(path).unwrap();
    let builder = file.new_dataset::<T>().shape([ROWS, WIDTH]);
    let builder = match compressed {
        true => builder.chunk([1024, WIDTH]).shuffle().deflate(4),
        false => builder,
    };
    let dataset = builder.create("features").unwrap();
    dataset.write_raw(values).unwrap();
}
