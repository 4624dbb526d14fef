//! What a point is made of: features cut into tokens and images in patches, through the ordinary stages and back.

use crate::project::Project;
use crate::tiny::noise;
use latent_align_hdf5::{read_dataset_f32, read_dataset_i64};
use polars::prelude::{ParquetReader, SerReader as _};
use serde_json::Value;
use std::fs::File;

/// Images of 4 x 6 pixels in 2 channels, of which no two have the same mean and spread.
const IMAGE: [usize; 3] = [2, 4, 6];
const PIXELS: usize = 48;
const COUNT: usize = 300;

const CONFIG: &str = "\
name: cut
pretrain_flow:
  features: {file: images.h5, dataset: images}
  model: {kind: coupling, layers: 4, width: 32, depth: 1}
  rows: {patches: 2}
  test: {fraction: 0.2}
  steps: 60
  batch: 64
  samples: 20
  nll_points: 100
  compared: 0
";

fn image(row: usize) -> [f32; PIXELS] {
    let scale = 0.5 + noise(row, 100);
    std::array::from_fn(|pixel| {
        pixel as f32 + (1.0 + pixel as f32 / 10.0) * scale * noise(row, pixel)
    })
}

fn project(channels: usize) -> Project {
    let project = Project::new();
    let pixels = PIXELS / IMAGE[0] * channels;
    let values: Vec<f32> = (0..COUNT)
        .flat_map(|row| image(row)[..pixels].to_vec())
        .collect();
    let shape = match channels {
        1 => vec![COUNT, IMAGE[1], IMAGE[2]],
        _ => [&[COUNT], &IMAGE[..]].concat(),
    };
    project.write_dataset("images.h5", "images", &shape, &values);
    project.write("cut.yaml", CONFIG);
    project
}

/// The figures of the run `name`.
fn figures(project: &Project, name: &str) -> impl Fn(&str) -> f64 + use<> {
    let shown = project.run(&["show", name, "--format", "json"]);
    let shown: Value = serde_json::from_str(&shown.expect(0, &[]).stdout).unwrap();
    move |figure: &str| {
        let value = shown[0][format!("pretrain-flow: {figure}")].as_f64();
        value.unwrap_or_else(|| panic!("no figure `{figure}` in {shown}"))
    }
}

fn scores(project: &Project, file: &str, dataset: &str) -> Vec<f64> {
    let command = [
        "score",
        "cut",
        file,
        "--dataset",
        dataset,
        "--out",
        "scores.parquet",
        "--force",
    ];
    project.run(&command).expect(0, &["rows/s"]);
    let file = File::open(project.path("scores.parquet")).unwrap();
    let table = ParquetReader::new(file).finish().unwrap();
    let column = table.column("nll_exact").unwrap().f64().unwrap();
    column.into_no_null_iter().collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Fails if a patch is taken from another place than it is put back to, or new images are cut otherwise than those
/// that the flow was trained on.
#[test]
fn images_in_patches_come_back_as_images_and_are_scored_as_the_stage_did() {
    let project = project(2);
    project.run(&["run", "cut.yaml"]).expect(0, &["# cut"]);
    let flow = project.path("artifacts/runs/cut/pretrain-flow");
    let (shape, points) = read_dataset_f32(&flow.join("test.h5"), "points").unwrap();
    let (_, items) = read_dataset_i64(&flow.join("test.h5"), "items").unwrap();
    assert_eq!(
        shape,
        [items.len(), 8],
        "tokens of 2 channels x 2 x 2 pixels"
    );
    let tested: Vec<f32> = (items.iter().step_by(6))
        .flat_map(|&item| image(item as usize))
        .collect();
    assert_eq!(points.len(), tested.len());
    let count = tested.len() / PIXELS;
    let as_images = [&[count], &IMAGE[..]].concat();
    project.write_dataset("tested.h5", "images", &as_images, &tested);
    let of_images = scores(&project, "tested.h5", "images");
    assert_eq!(of_images.len(), count);
    let found = figures(&project, "cut")("test NLL (nats)");
    println!("{count} images, {found} nats");
    assert!(
        (mean(&of_images) - found).abs() < 1e-3 * found.abs(),
        "{found}"
    );

    let sample = [
        "sample", "cut", "--count", "9", "--out", "drawn.h5", "--grid", "3x3",
    ];
    project
        .run(&sample)
        .expect(2, &["--grid", "[2, 4, 6]", "1 or 3 channels"]);
    project
        .run(&sample[..6])
        .expect(0, &["/features [9, 2, 4, 6] f32"]);
    let drawn = read_dataset_f32(&project.path("drawn.h5"), "features").unwrap();
    assert_eq!(drawn.0, [9, 2, 4, 6]);
    let own = read_dataset_f32(&flow.join("samples.h5"), "features").unwrap();
    assert_eq!(own.0, [20, 2, 4, 6]);
    let as_points = [
        "score",
        "cut",
        "drawn.h5",
        "--dataset",
        "points",
        "--latents",
        "--out",
        "points.parquet",
    ];
    project.run(&as_points).expect(0, &[]);
    let table = ParquetReader::new(File::open(project.path("points.parquet")).unwrap());
    let table = table.finish().unwrap();
    let of_points: Vec<f64> = table
        .column("nll_exact")
        .unwrap()
        .f64()
        .unwrap()
        .into_no_null_iter()
        .collect();
    let of_features = scores(&project, "drawn.h5", "features");
    for (point, feature) in of_points.iter().zip(&of_features) {
        assert!((point - feature).abs() < 1e-2, "{point} {feature}");
    }
    project
        .run(&[
            "score",
            "cut",
            "tested.h5",
            "--out",
            "a.parquet",
            "--dataset",
            "images",
            "--latents",
        ])
        .expect(2, &["latents [N, T, 8]"]);
}

/// Fails if the axis of the only channel is asked for, or the picture is not made.
#[test]
fn grey_images_without_an_axis_of_channels_are_painted() {
    let project = project(1);
    project.run(&["run", "cut.yaml"]).expect(0, &["# cut"]);
    let painted = project.path("artifacts/runs/cut/pretrain-flow/samples.png");
    assert!(std::fs::read(painted).unwrap().starts_with(b"\x89PNG"));
    let sample = [
        "sample", "cut", "--count", "9", "--out", "drawn.h5", "--grid", "3x3",
    ];
    project
        .run(&sample)
        .expect(0, &["/features [9, 1, 4, 6] f32", "drawn.png"]);
    assert!(
        std::fs::read(project.path("drawn.png"))
            .unwrap()
            .starts_with(b"\x89PNG")
    );
}

/// A mixture looks at whole points, however they are cut. Fails if a feature that is split is normalised otherwise,
/// or loses its analytic density.
#[test]
fn a_feature_that_is_split_has_the_density_of_the_whole() {
    let project = Project::new();
    let generate = [
        "generate",
        "gaussian_ring",
        "--out",
        "ring.h5",
        "--count",
        "2000",
    ];
    project.run(&generate).expect(0, &[]);
    let config = CONFIG
        .replace("{file: images.h5, dataset: images}", "{file: ring.h5}")
        .replace(
            "{kind: coupling, layers: 4, width: 32, depth: 1}",
            "{kind: mixture, components: 5}",
        );
    let mut found = Vec::new();
    for (name, rows) in [("whole", "tokens"), ("split", "{split: 2}")] {
        let text = config
            .replace("name: cut", &format!("name: {name}"))
            .replace("{patches: 2}", rows);
        project.write("ring.yaml", text);
        project.run(&["run", "ring.yaml"]).expect(0, &[]);
        let figure = figures(&project, name);
        let names = [
            "test NLL (nats)",
            "analytic NLL of the same points (nats)",
            "test NLL in feature space (nats)",
        ];
        found.push(names.map(figure));
    }
    assert_eq!(found[0], found[1]);
    let samples = project.path("artifacts/runs/split/pretrain-flow/samples.h5");
    assert_eq!(read_dataset_f32(&samples, "points").unwrap().0, [20, 2, 1]);
    assert_eq!(read_dataset_f32(&samples, "features").unwrap().0, [20, 2]);
}

const DIGITS: &str = "\
name: digits
pretrain_flow:
  features: {file: FOLDER/digits.h5, dataset: images}
  held_out: {indices: held_out, file: FOLDER/digits-split.h5}
  test: {indices: test, file: FOLDER/digits-split.h5}
  rows: {patches: 2}
  normalisation: {levels: 17}
  noise: {kind: uniform}
  model: {kind: coupling, layers: 4, width: 32, depth: 1}
  steps: 50
  batch: 64
  samples: 4
  nll_points: 300
  compared: 0
";

/// The figures of the literature for this split of the digits. Fails if a baseline is fitted to rows that it is
/// scored on, scored on levels instead of dequantised ones or the other way round; and if `score` adds no noise to
/// new images, or other than the flow's.
#[test]
fn bits_of_the_digits_stand_beside_those_of_simple_densities() {
    let project = Project::new();
    let data = crate::documents::root().join("configs/data");
    project.write(
        "digits.yaml",
        DIGITS.replace("FOLDER", &data.display().to_string()),
    );
    project
        .run(&["run", "digits.yaml"])
        .expect(0, &["bits a dimension"]);
    let figure = figures(&project, "digits");
    let found = ["uniform", "full Gaussian", "independent histograms"]
        .map(|name| figure(&format!("test bits a dimension, {name}")));
    println!("{found:?}");
    for (found, expected) in found.into_iter().zip([4.0875, 2.937, 2.420]) {
        assert!((found - expected).abs() < 0.003, "{found} {expected}");
    }
    let [bits, nll] =
        ["bits a dimension", "NLL (nats)"].map(|name| figure(&format!("test {name}")));
    let expected = nll / (64.0 * 2f64.ln()) + 8.5f64.log2();
    assert!((bits - expected).abs() < 1e-9, "{bits} {expected}");

    let flow = project.path("artifacts/runs/digits/pretrain-flow");
    let (_, items) = read_dataset_i64(&flow.join("test.h5"), "items").unwrap();
    let (_, images) = read_dataset_f32(&data.join("digits.h5"), "images").unwrap();
    let tested: Vec<f32> = (items.iter().step_by(16))
        .flat_map(|&item| images[64 * item as usize..64 * (item as usize + 1)].to_vec())
        .collect();
    let count = tested.len() / 64;
    project.write_dataset("tested.h5", "images", &[count, 1, 8, 8], &tested);
    let score =
        |file: &str| project.run(&["score", "digits", file, "--out", "a.parquet", "--force"]);
    let told = score("tested.h5")
        .expect(0, &["bits a dimension"])
        .stdout
        .clone();
    let line = told
        .lines()
        .find(|line| line.contains("bits a dimension"))
        .unwrap();
    let mut words = line
        .split_whitespace()
        .filter_map(|word| word.trim_matches('|').parse().ok());
    let scored: f64 = words.next_back().unwrap_or_else(|| panic!("{told}"));
    println!("{count} images: {bits} bits, scored {scored}");
    // noise is drawn anew
    assert!((scored - bits).abs() < 0.01, "{scored} {bits}");
    let halves: Vec<f32> = tested.iter().map(|level| level / 2.0).collect();
    project.write_dataset("halves.h5", "images", &[count, 1, 8, 8], &halves);
    score("halves.h5").expect(2, &["found", ".5 in row 0", "integer levels"]);
    let mut brighter = tested;
    brighter[64 + 3] = 17.0;
    project.write_dataset("brighter.h5", "images", &[count, 1, 8, 8], &brighter);
    score("brighter.h5").expect(2, &["found 17 in row 1", "levels from 0 to 16"]);
}

/// Images that are black but for a few pixels, as scans are: an affine flow has to learn a peak of one level of 256 for
/// each, and their logits are spread. Bits of the curve, the final figure and `score` agree, so each has the Jacobian.
/// Detects: a logit left out of training or of one of the three, and samples that are not mapped back.
#[test]
fn the_logit_of_pixels_spreads_those_at_the_ends_of_their_range() {
    let project = Project::new();
    let level = |i: usize| {
        if noise(i / 16, i % 16) > 0.8 {
            255.0
        } else {
            0.0
        }
    };
    let values: Vec<f32> = (0..1200 * 16).map(level).collect();
    project.write_dataset("scans.h5", "images", &[1200, 1, 4, 4], &values);
    let bits = ["", ", logit: 1.0e-6"].map(|logit| {
        let config = format!(
            "name: scans\npretrain_flow:\n  features: {{file: scans.h5, dataset: images}}\n  rows: {{patches: 2}}\n  \
             normalisation: {{levels: 256{logit}}}\n  noise: {{kind: uniform}}\n  model: {{kind: coupling, layers: 4, \
             width: 16, depth: 1}}\n  steps: 150\n  batch: 64\n  evaluate_every: 150\n  samples: 40\n  nll_points: 500\n  \
             optimiser: {{learning_rate: 1.0e-2, ema: 0}}\n  compared: 0\n"
        );
        project.write("scans.yaml", config);
        project.run(&["run", "scans.yaml"]).expect(0, &[]);
        let [test, held_out] =
            ["test", "held-out"].map(|part| figures(&project, "scans")(&format!("{part} bits a dimension")));
        let curves = project.run(&["show", "scans", "--curves", "--metric", "held_out_bits", "--format", "json"]);
        let curves: serde_json::Value = serde_json::from_str(&curves.expect(0, &[]).stdout).unwrap();
        let last = curves.as_array().unwrap().last().unwrap()["held_out_bits"].as_f64().unwrap();
        assert!((last - held_out).abs() < 1e-3, "{last} {held_out}");
        let score = ["score", "scans", "scans.h5", "--dataset", "images", "--out", "a.parquet", "--force"];
        let told = project.run(&score).expect(0, &["bits a dimension"]).stdout.clone();
        let line = told.lines().find(|line| line.contains("bits a dimension")).unwrap();
        let mut words = line.split_whitespace().filter_map(|word| word.trim_matches('|').parse().ok());
        let scored: f64 = words.next_back().unwrap();
        println!("{logit}: {test} bits, held out {held_out}, all rows scored {scored}");
        assert!((scored - test).abs() < 0.25, "{scored} {test}");
        test
    });
    assert!(bits[1] < bits[0] - 1.0, "{bits:?}");
    let samples = project.path("artifacts/runs/scans/pretrain-flow/samples.h5");
    let (_, features) = read_dataset_f32(&samples, "features").unwrap();
    let ends = features
        .iter()
        .filter(|level| **level < 2.0 || **level > 253.0)
        .count();
    assert!(2 * ends > features.len(), "{ends} of {}", features.len());
}

#[test]
fn a_logit_of_what_is_no_dequantised_pixel_is_refused() {
    let project = project(2);
    let refused = |normalisation: &str, noise: &str, parts: &[&str]| {
        let to = format!("{{patches: 2}}\n  normalisation: {{{normalisation}}}{noise}");
        project.write("cut.yaml", CONFIG.replace("{patches: 2}", &to));
        project.run(&["run", "cut.yaml"]).expect(2, parts);
    };
    let uniform = "\n  noise: {kind: uniform}";
    refused(
        "logit: 1.0e-6",
        uniform,
        &["pretrain_flow.normalisation.logit", "without `levels`"],
    );
    refused(
        "levels: 9, logit: 0.5",
        uniform,
        &["pretrain_flow.normalisation.logit", "below 0.5"],
    );
    refused(
        "levels: 9, logit: 0.1",
        "",
        &["pretrain_flow.normalisation.logit", "without uniform noise"],
    );
}

#[test]
fn what_cannot_be_cut_is_refused_before_training() {
    let project = project(2);
    let refused = |from: &str, to: &str, parts: &[&str]| {
        assert!(CONFIG.contains(from));
        project.write("cut.yaml", CONFIG.replace(from, to));
        project.run(&["run", "cut.yaml"]).expect(2, parts);
    };
    let images = "/images [300, 2, 4, 6]";
    refused(
        "{patches: 2}",
        "{patches: 4}",
        &["pretrain_flow.rows", images, "both: 1, 2"],
    );
    refused(
        "{patches: 2}",
        "{patches: 0}",
        &["pretrain_flow.rows.patches", "found 0"],
    );
    refused(
        "{patches: 2}",
        "tokens",
        &[images, "pretrain_flow.rows: {patches: P}"],
    );
    project.write_features("images.h5", "images", COUNT, 6, noise);
    refused(
        "{patches: 2}",
        "{patches: 2}",
        &["which are vectors", "rows: {split: 2}"],
    );
    let noise = "{split: 2}\n  noise: {kind: gaussian, sigma: 0}";
    refused(
        "{patches: 2}",
        noise,
        &["pretrain_flow.noise.sigma", "found 0"],
    );
    let levels = "{split: 2}\n  normalisation: {levels: 17, whiten: full}";
    refused(
        "{patches: 2}",
        levels,
        &["pretrain_flow.normalisation.levels", "17 with"],
    );
    refused(
        "{patches: 2}",
        "{split: 4}",
        &["found `{split: 4}`", "6 numbers", "one of 1, 2, 3, 6"],
    );
}
