//! The costs of `encode`, `decode`, `sample` and `score`: memory that does not grow with the file, and rows per
//! second. `make bench-using` has the sizes of the documentation.

use crate::project::Project;
use crate::tiny::noise;

/// Numbers of a row of data: an image of one channel.
const SIDE: usize = 28;
const PIXELS: usize = SIDE * SIDE;

const CONFIG: &str = "\
name: measured
pretrain_flow:
  features: {file: features.h5}
  model: {kind: flow_matching, network: {width: 128, blocks: 3}}
  steps: STEPS
  batch: 256
  samples: 16
  nll_points: 8
train_autoencoder:
  data: {file: images.h5}
  architecture: {kind: dense, widths: [256]}
  latent: {width: 16}
  regulariser: {kind: alignment}
  steps: STEPS
  batch: 128
";

/// Whether the sizes are those of the documentation.
fn is_full() -> bool {
    std::env::var_os("LATENT_ALIGN_FULL").is_some()
}

/// A run of small images and features of width 16.
fn project() -> Project {
    let project = Project::new();
    let steps = if is_full() { "500" } else { "5" };
    project.write("measured.yaml", CONFIG.replace("STEPS", steps));
    // three clusters: a velocity that is not of one Gaussian
    let centre = |i: usize, j: usize| ((i % 3 + j) % 3) as f32;
    project.write_features("features.h5", "features", 5000, 16, |i, j| {
        noise(i, j) + centre(i, j)
    });
    write_images(&project, "images.h5", 1000);
    project
        .run(&["run", "measured.yaml"])
        .expect(0, &["# measured"]);
    project
}

fn write_images(project: &Project, file: &str, count: usize) {
    let pixel = |i: usize| (noise(i / PIXELS % 997, i % PIXELS) * 255.0) as u8;
    let some: Vec<u8> = (0..997 * PIXELS).map(pixel).collect();
    let images: Vec<u8> = some.iter().copied().cycle().take(count * PIXELS).collect();
    project.write_dataset(file, "images", &[count, 1, SIDE, SIDE], &images);
}

/// Rows per second, and the peak memory in MiB, as reported by a command.
fn measure(project: &Project, command: &[&str]) -> (f64, f64) {
    let done = project.run(command);
    done.expect(0, &["rows/s", "peak memory"]);
    let number = |before: &str, after: &str| -> f64 {
        let (rest, _) = done.stdout.split_once(after).unwrap();
        rest.rsplit(before).next().unwrap().parse().unwrap()
    };
    (number("(", " rows/s"), number(" ", " MiB"))
}

/// The allowed increase for a larger file, in MiB.
const BESIDES: f64 = 96.0;

/// Fails if rows are collected in memory before they are written.
#[test]
fn memory_does_not_grow_with_the_file() {
    let project = project();
    let peaks = |count: usize| {
        write_images(&project, "many.h5", count);
        let encode = [
            "encode",
            "measured",
            "many.h5",
            "--out",
            "latents.h5",
            "--force",
        ];
        let decode = [
            "decode",
            "measured",
            "latents.h5",
            "--out",
            "images.h5",
            "--force",
        ];
        let name = |command: &[&str]| measure(&project, command).1;
        [name(&encode), name(&decode)]
    };
    // 6 MiB and 180 MiB of f32
    for (few, many) in peaks(2_000).into_iter().zip(peaks(60_000)) {
        assert!(many < few + BESIDES, "{few} MiB, {many} MiB");
    }
}

/// The table of the documentation: `make bench-using`.
#[test]
fn rates_and_memory() {
    if !is_full() {
        return;
    }
    let project = project();
    let million = 1_000_000;
    write_images(&project, "many.h5", million);
    project.write_features("score.h5", "features", 10_000, 16, |i, j| {
        noise(i + 5000, j) + ((i % 3 + j) % 3) as f32
    });
    let commands: [(&str, &[&str]); 5] = [
        (
            "encode, 1,000,000 rows",
            &["encode", "measured", "many.h5", "--out", "latents.h5"],
        ),
        (
            "decode, 1,000,000 rows",
            &["decode", "measured", "latents.h5", "--out", "decoded.h5"],
        ),
        (
            "sample, 100,000",
            &[
                "sample",
                "measured",
                "--count",
                "100000",
                "--out",
                "samples.h5",
            ],
        ),
        (
            "sample, 100,000 in 20 steps",
            &[
                "sample", "measured", "--count", "100000", "--steps", "20", "--out", "steps.h5",
            ],
        ),
        (
            "score, 10,000 rows",
            &["score", "measured", "score.h5", "--out", "scores.parquet"],
        ),
    ];
    println!("| command | rows a second | peak memory (MiB) |\n|---|---|---|");
    for (name, command) in commands {
        let (rate, peak) = measure(&project, command);
        println!("| {name} | {rate:.0} | {peak:.0} |");
        assert!(peak < 1024.0, "{name}: {peak} MiB");
    }
}
