//! How the cost of the hot paths grows: each is timed over a 16-fold range of sizes or more, a line is fitted to
//! the logarithms, and the size furthest from it is named. Run by `make bench-growth`.

#[expect(
    dead_code,
    unused_imports,
    reason = "the benchmark of hot paths uses more of it"
)]
mod jobs;

use anyhow::Result;
use burn::tensor::Device;
use comfy_table::{Table, presets};
use jobs::{
    Align, Divergence, Job, Likelihood, Size, Stream, TarSize, Train, TrainTarFlow, points,
    trained_flow,
};
use latent_align_stages::comparison::energy_test;
use latent_align_stages::random::Streams;
use latent_align_stages::training::MatmulPrecision;
use std::time::{Duration, Instant};

/// The allocator of the binary, which affects the cost of tensors.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is timed over sizes.
struct Row {
    job: &'static str,
    /// The varied size.
    of: &'static str,
    sizes: &'static [usize],
    /// Seconds at a size.
    seconds: fn(usize, &Device) -> Result<f64>,
}

/// Width and batch when another size is varied.
const BASE: Size = Size::tokens(256, 256);
/// A TarFlow with the varied number of tokens.
const TOKENS: TarSize = TarSize {
    channels: 64,
    batch: 16,
    ..TarSize::DIGITS
};

const ROWS: [Row; 12] = [
    Row {
        job: "training step of the flow",
        of: "batch",
        sizes: &[64, 256, 1024, 4096],
        seconds: |batch, device| train(Size { batch, ..BASE }, device),
    },
    Row {
        job: "training step of the flow",
        of: "width",
        sizes: &[64, 128, 256, 512, 1024],
        seconds: |width, device| train(Size { width, ..BASE }, device),
    },
    Row {
        job: "training step of the flow",
        of: "dimensions",
        sizes: &[8, 32, 128, 512],
        seconds: |dimensions, device| train(Size { dimensions, ..BASE }, device),
    },
    Row {
        job: "alignment step",
        of: "batch",
        sizes: &[64, 256, 1024, 4096],
        seconds: |batch, device| {
            let size = Size { batch, ..BASE };
            time(Align::new(size, MatmulPrecision::F32, device)?, device)
        },
    },
    Row {
        job: "velocity and exact divergence",
        of: "points",
        sizes: &[64, 256, 1024],
        seconds: |batch, device| time(Divergence::new(Size { batch, ..BASE }, device)?, device),
    },
    Row {
        job: "velocity and exact divergence",
        of: "dimensions",
        sizes: &[4, 16, 64],
        seconds: |dimensions, device| {
            time(
                Divergence::new(Size { dimensions, ..BASE }, device)?,
                device,
            )
        },
    },
    Row {
        job: "velocity and exact divergence",
        of: "width",
        sizes: &[64, 256, 1024],
        seconds: |width, device| time(Divergence::new(Size { width, ..BASE }, device)?, device),
    },
    Row {
        job: "NLL by the ODE to 1e-2, a flow of width 64",
        of: "points",
        sizes: &[64, 256, 1024],
        seconds: |count, device| {
            let size = Size::tokens(64, 256);
            let rows = points(size.dimensions, count, Streams::new(1));
            time(
                Likelihood::new(trained_flow(size, 100, device)?, rows, size, 1e-2),
                device,
            )
        },
    },
    Row {
        job: "training step of TarFlow",
        of: "tokens",
        sizes: &[8, 32, 128, 512],
        seconds: |tokens, device| {
            time(
                TrainTarFlow::new(TarSize { tokens, ..TOKENS }, device),
                device,
            )
        },
    },
    Row {
        job: "training step of TarFlow",
        of: "channels",
        sizes: &[64, 128, 256, 512, 1024],
        seconds: |channels, device| {
            time(
                TrainTarFlow::new(TarSize { channels, ..TOKENS }, device),
                device,
            )
        },
    },
    Row {
        job: "a pass over a file: moments, digest, first batch",
        of: "rows of 64",
        sizes: &[1 << 14, 1 << 16, 1 << 18, 1 << 20],
        seconds: |rows, device| {
            let folder = tempfile::tempdir()?;
            let file = folder.path().join("rows.h5");
            Stream::write(&file, rows, 64)?;
            median(|| Ok(Stream::new(&file, 256, device)?.step()?))
        },
    },
    Row {
        job: "energy test with 199 permutations, d 32",
        of: "points a side",
        sizes: &[250, 1000, 4000],
        seconds: |count, _| {
            let draw = |name| Streams::new(0).normal(name, 0, count * 32);
            let (a, b) = (draw("a"), draw("b"));
            median(|| {
                std::hint::black_box(energy_test(&a, &b, 32, 1, 199, Streams::new(0)));
                Ok(())
            })
        },
    },
];

fn train(size: Size, device: &Device) -> Result<f64> {
    time(Train::on_noise(size, MatmulPrecision::F32, device), device)
}

/// Seconds of a step.
fn time(mut job: impl Job, device: &Device) -> Result<f64> {
    median(|| {
        job.step()?;
        Ok(jobs::wait_for(device)?)
    })
}

/// The shortest time of a measurement.
const WHILE: Duration = Duration::from_millis(500);

/// The median of at least three runs, after a warm-up run.
fn median(mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    run()?;
    let (begin, mut taken) = (Instant::now(), Vec::new());
    while taken.len() < 3 || begin.elapsed() < WHILE {
        let started = Instant::now();
        run()?;
        taken.push(started.elapsed().as_secs_f64());
    }
    taken.sort_by(f64::total_cmp);
    Ok(taken[taken.len() / 2])
}

/// Slope and intercept of the least-squares line.
fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let along: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let slope = along / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>();
    (slope, y - slope * x)
}

fn main() -> Result<()> {
    latent_align_stages::devices::keep_memory_between_steps();
    let device = jobs::device()?;
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header([
        "what",
        "grows with",
        "milliseconds at each size",
        "exponent",
        "between the first two",
        "between the last two",
        "furthest from the line",
    ]);
    for row in ROWS {
        let mut measured = Vec::new();
        for &size in row.sizes {
            eprintln!("{}, {} {size}", row.job, row.of);
            measured.push((size, (row.seconds)(size, &device)?));
        }
        let logs: Vec<_> = measured
            .iter()
            .map(|&(size, s)| ((size as f64).ln(), s.ln()))
            .collect();
        let (slope, intercept) = line(&logs);
        let off = |&(x, y): &(f64, f64)| y - intercept - slope * x;
        let furthest = (0..logs.len())
            .max_by(|&a, &b| off(&logs[a]).abs().total_cmp(&off(&logs[b]).abs()))
            .expect("there are sizes");
        let at: Vec<_> = measured
            .iter()
            .map(|(size, s)| format!("{size}: {:.3}", 1e3 * s))
            .collect();
        let last = logs.len() - 2;
        table.add_row([
            row.job.to_owned(),
            row.of.to_owned(),
            at.join(", "),
            format!("{slope:.2}"),
            format!("{:.2}", line(&logs[..2]).0),
            format!("{:.2}", line(&logs[last..]).0),
            format!(
                "{}: {:.2} times the line's",
                measured[furthest].0,
                off(&logs[furthest]).exp()
            ),
        ]);
    }
    println!("{table}");
    Ok(())
}
