//! The stage `sample`.

use super::assert_near;
use super::dataset;
use crate::project::Project;

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
    let shown = project.run(&["show", "sides", "--format", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown.expect(0, &[]).stdout).unwrap();
    let name = format!("sample: {name}");
    shown[0][&name]
        .as_f64()
        .unwrap_or_else(|| panic!("{name}: {shown}"))
}

/// Red where samples are not of the class that was asked for, the classifier sees them at another scale, or options of the
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
