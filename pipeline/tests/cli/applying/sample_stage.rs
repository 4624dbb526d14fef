//! The stage `sample`.

use super::assert_near;
use super::dataset;
use crate::project::Project;
use hdf5::types::VarLenUnicode;

/// Images [1, 2, 4] of two classes, bright on the left or on the right, whole levels 0 to 15.
fn of_two_sides() -> Project {
    let project = Project::new();
    let mut images = Vec::new();
    let labels: Vec<i64> = (0..600).map(|i| i % 2).collect();
    for (row, label) in labels.iter().enumerate() {
        for pixel in 0..8 {
            let bright = (pixel % 4 < 2) == (*label == 0);
            let level = if bright { 11.0 } else { 2.0 } + 4.0 * crate::tiny::noise(row, pixel);
            images.push(level as u8);
        }
    }
    project.write_dataset("sides.h5", "images", &[600, 1, 2, 4], &images);
    project.add_dataset("sides.h5", "labels", &[600], &labels);
    project.write(
        "sides.yaml",
        "\
name: sides
train_classifier:
  data: {file: sides.h5, dataset: images, maximum: 15}
  architecture: {kind: dense, widths: [16]}
  features: 4
  optimiser: {learning_rate: 1.0e-2}
  steps: 200
  batch: 64
pretrain_flow:
  features: {file: sides.h5, dataset: images}
  rows: {patches: 2}
  normalisation: {levels: 16}
  noise: {kind: uniform}
  condition: {dataset: labels, dropout: 0.1}
  model: {kind: tarflow, blocks: 3, layers: 1, channels: 32, head_width: 32}
  optimiser: {learning_rate: 1.0e-2, ema: 0.98}
  steps: 500
  batch: 64
  evaluation_points: 64
  samples: 0
  nll_points: 16
  compared: 0
sample:
  count: 80
",
    );
    project
}

fn figure(project: &Project, name: &str) -> f64 {
    figure_of(project, "sides", name)
}

fn figure_of(project: &Project, run: &str, name: &str) -> f64 {
    let shown = project.run(&["show", run, "--format", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown.expect(0, &[]).stdout).unwrap();
    let name = format!("sample: {name}");
    shown[0][&name]
        .as_f64()
        .unwrap_or_else(|| panic!("{name}: {shown}"))
}

/// Fails if the number of network evaluations of a kind without a network is -0, the value of an empty sum.
#[test]
fn samples_without_a_network_take_no_evaluations_of_one() {
    let project = Project::new();
    project.write_features("plain.h5", "features", 400, 2, crate::tiny::noise);
    let plain = "name: plain\npretrain_flow:\n  features: {file: plain.h5}\n  model: {kind: normal}\n  batch: 32\n\
                 sample: {count: 8}\n";
    project.write("plain.yaml", plain);
    project.run(&["run", "plain.yaml"]).expect(0, &[]);
    let evaluations = figure_of(&project, "plain", "network evaluations a sample");
    assert_eq!(evaluations.to_string(), "0");
}

/// Fails if samples are not of the requested class, the classifier sees them at another scale, or options of the
/// section do not reach the flow.
#[test]
fn samples_by_class_are_judged_by_a_classifier_and_cost_what_is_said() {
    let project = of_two_sides();
    project
        .run(&["run", "sides.yaml"])
        .expect(0, &["## sample"]);
    let folder = project.path("artifacts/runs/sides/sample");
    assert!(folder.join("samples.png").is_file());
    let (shape, in_turn) = dataset(&folder.join("samples.h5"), "features");
    assert_eq!(shape, [80, 1, 2, 4]);
    let sides = in_turn.chunks(8).enumerate().filter(|(i, image)| {
        let side = |left: bool| -> f32 {
            let pixels = (0..8).filter(|pixel| (pixel % 4 < 2) == left);
            pixels.map(|pixel| image[pixel]).sum()
        };
        (side(true) > side(false)) == i.is_multiple_of(2)
    });
    let share = sides.count() as f64 / 80.0;
    assert!(share > 0.8, "{share}");
    let accuracy = figure(&project, "class accuracy of samples");
    assert!((accuracy - share).abs() < 0.05, "{accuracy} {share}");
    let distance = figure(&project, "Fr\u{e9}chet distance of samples");
    let floor = figure(
        &project,
        "Fr\u{e9}chet distance between held-out and test data",
    );
    assert!(distance > 0.0 && floor > 0.0);
    assert!(figure(&project, "recall of samples") > 0.2);
    assert!(figure(&project, "precision of samples") > 0.2);
    assert!(figure(&project, "seconds a sample") > 0.0);
    // three blocks each read one token of two
    assert_eq!(figure(&project, "network evaluations a sample"), 3.0);

    let sweeps = [
        "run",
        "sides.yaml",
        "--set",
        "sample.sweeps={tolerance: 1e-6}",
    ];
    project.run(&sweeps).expect(0, &["## sample"]);
    let (_, together) = dataset(&folder.join("samples.h5"), "points");
    assert!(figure(&project, "network evaluations a sample") <= 3.0);
    let of_block = |block: usize| {
        let name = format!("network evaluations a sample, block {block}");
        figure(&project, &name)
    };
    // one of two tokens is left to sweep over
    assert_eq!([0, 1, 2].map(of_block), [1.0; 3]);
    let alone = ["run", "sides.yaml"];
    project.run(&alone).expect(0, &[]);
    assert_near(
        &together,
        &dataset(&folder.join("samples.h5"), "points").1,
        1e-4,
    );
}

#[test]
fn what_the_flow_cannot_do_is_refused_before_anything_runs() {
    let project = of_two_sides();
    for (setting, told) in [
        (
            "sample.steps=8",
            &["sample", "steps: found 8", "`tarflow`"][..],
        ),
        ("sample.count=1", &["sample.count: found 1"]),
        (
            "sample.decode=true",
            &["sample.decode", "train_autoencoder"],
        ),
        (
            "sample.sweeps={tolerance: 2}",
            &["sample.sweeps.tolerance: found 2"],
        ),
        ("sample.denoise=-1", &["sample.denoise: found -1"]),
    ] {
        project
            .run(&["run", "sides.yaml", "--set", setting])
            .expect(2, told);
        assert!(!project.path("artifacts").exists(), "{setting}");
    }
}

/// Images [3, 2, 4] of 24 kinds, each kind of a colour, beside embeddings that are that colour and names.
fn of_colours() -> Project {
    let project = Project::new();
    let colour = |row: usize, channel: usize| match ((row % 24) >> channel) & 1 {
        1 => 13.0,
        _ => 2.0,
    };
    let (mut images, mut embeddings) = (Vec::new(), Vec::new());
    for row in 0..600 {
        for pixel in 0..24 {
            let level = colour(row, pixel / 8) + 4.0 * crate::tiny::noise(row, pixel);
            images.push(level as u8);
        }
        embeddings.extend((0..3).map(|channel| colour(row, channel) / 10.0));
    }
    project.write_dataset("colours.h5", "images", &[600, 3, 2, 4], &images);
    project.add_dataset("colours.h5", "embeddings", &[600, 3], &embeddings);
    let names: Vec<VarLenUnicode> = (0..600)
        .map(|row| format!("ROW {row} <b>").parse().unwrap())
        .collect();
    project.add_dataset("colours.h5", "names", &[600], &names);
    project.write(
        "colours.yaml",
        "\
name: colours
pretrain_flow:
  features: {file: colours.h5, dataset: images}
  held_out: {fraction: 0.1}
  test: {fraction: 0.2}
  rows: {patches: 2}
  normalisation: {levels: 17}
  noise: {kind: uniform}
  condition: {dataset: embeddings, dropout: 0.1}
  model: {kind: tarflow, blocks: 4, layers: 1, channels: 32, head_width: 32}
  optimiser: {learning_rate: 1.0e-2, ema: 0.98}
  steps: 300
  batch: 64
  evaluation_points: 64
  samples: 0
  nll_points: 16
  compared: 0
sample:
  count: 32
  conditions: 4
  trained_on: {file: colours.h5, dataset: images, names: names}
",
    );
    project
}

/// Fails if columns are not of the rows they are named after, training rows are exchanged with unseen ones, or a
/// copy is not recognised.
#[test]
fn samples_under_the_names_of_unseen_rows_stand_in_columns_and_beside_what_was_trained_on() {
    let project = of_colours();
    project
        .run(&["run", "colours.yaml"])
        .expect(0, &["## sample"]);
    let folder = project.path("artifacts/runs/colours/sample");
    let names = std::fs::read_to_string(folder.join("samples.txt")).unwrap();
    let rows: Vec<usize> = (names.lines())
        .map(|name| name.split(' ').nth(1).unwrap().parse().unwrap())
        .collect();
    assert_eq!(rows.len(), 4);
    let kept = project.path("artifacts/runs/colours/pretrain-flow/test.h5");
    let unseen: Vec<f32> = dataset(&kept, "items").1;
    assert!(rows.iter().all(|row| unseen.contains(&(*row as f32))));
    let (shape, images) = dataset(&folder.join("samples.h5"), "features");
    assert_eq!(shape, [32, 3, 2, 4]);
    // each channel of a sample is as bright as its row's
    let right = images.chunks(8).enumerate().filter(|(i, channel)| {
        let (sample, channel_number) = (i / 3, i % 3);
        let bright = ((rows[sample % 4] % 24) >> channel_number) & 1 == 1;
        (channel.iter().sum::<f32>() / 8.0 > 8.5) == bright
    });
    let share = right.count() as f64 / 96.0;
    assert!(share > 0.9, "{share}");
    let of = |name: &str| figure_of(&project, "colours", name);
    let apart = of("distance of unseen rows to the nearest training row");
    let drawn = of("distance of samples to the nearest training row");
    // noise of 4 levels a pixel, in both
    assert!((0.5..3.0).contains(&apart), "{apart}");
    assert!((0.5..2.0).contains(&(drawn / apart)), "{drawn} {apart}");
    assert!(of("share of samples nearer to a training row than 95 % of unseen rows") < 0.3);
    let report = std::fs::read_to_string(project.path("artifacts/runs/colours/report.html"));
    let report = report.unwrap();
    let caption = format!("From left to right: ROW {} &#60;b&#62;;", rows[0]);
    assert!(report.contains(&caption), "{caption}");
    assert!(report.contains("each above its nearest training row"));

    // by name, in the requested order
    let name = |row: usize| format!("ROW {row} <b>");
    let asked = format!("sample.conditions=[{}, {}]", name(rows[2]), name(rows[0]));
    project
        .run(&["run", "colours.yaml", "--set", &asked])
        .expect(0, &["## sample"]);
    let names = std::fs::read_to_string(folder.join("samples.txt")).unwrap();
    assert_eq!(names, format!("{}\n{}\n", name(rows[2]), name(rows[0])));
    let trained = (0..600)
        .find(|row| !unseen.contains(&(*row as f32)))
        .unwrap();
    let asked = format!("sample.conditions=[{}]", name(trained));
    project
        .run(&["run", "colours.yaml", "--set", &asked])
        .expect(
            2,
            &[
                "sample.conditions",
                &name(trained),
                "the name of a test row",
            ],
        );
}

#[test]
fn rows_that_the_flow_was_not_trained_on_are_refused() {
    let project = of_colours();
    let mut before = Vec::new();
    for (setting, told) in [
        ("conditions=17", &["sample.conditions: found 17"][..]),
        ("trained_on.names=missing", &["`/missing`", "colours.h5"]),
        ("trained_on.names=embeddings", &["`/embeddings`", "texts"]),
        ("trained_on.file=none.h5", &["none.h5"]),
        ("decode=true", &["sample.trained_on", "decode"]),
    ] {
        before.push((format!("sample.{setting}"), told));
    }
    for (setting, told) in before {
        project
            .run(&["run", "colours.yaml", "--set", &setting])
            .expect(2, told);
        let made = project.path("artifacts/runs/colours/pretrain-flow");
        assert!(!made.exists(), "{setting}");
    }
    let few = [
        "run",
        "colours.yaml",
        "--set",
        "pretrain_flow.steps=2",
        "--set",
    ];
    for (settings, told) in [
        (
            &["sample.trained_on={file: colours.h5, dataset: embeddings}"][..],
            &["sample.trained_on", "pretrain_flow.features"][..],
        ),
        (
            &["pretrain_flow.test.at_most=20"],
            &["sample.trained_on", "pretrain_flow.held_out.at_most"],
        ),
        (
            &["pretrain_flow.condition=null"],
            &["sample.conditions", "a flow without conditions"],
        ),
    ] {
        project.run(&[&few[..], settings].concat()).expect(2, told);
    }
}
