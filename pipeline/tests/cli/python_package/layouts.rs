//! Features that are cut into tokens, in the Python package.

use super::{agrees, given, pytorch};
use crate::project::Project;
use crate::tiny::noise;
use serde_json::Value;

/// Fails if the package splits or joins an image or a feature differently from this program, or forgets how
/// many rows of the normalisation form a point.
#[test]
fn the_package_cuts_features_as_this_program_does() {
    let Some(python) = pytorch() else { return };
    let project = Project::new();
    let shapes: [(&str, &str, &[usize]); 3] = [
        ("patches", "{patches: 2}", &[200, 2, 4, 6]),
        ("one", "{patches: 4}", &[200, 1, 4, 4]),
        ("split", "{split: 3}", &[200, 6]),
    ];
    for (name, rows, shape) in shapes {
        let size: usize = shape[1..].iter().product();
        let values: Vec<f32> = (0..200 * size)
            .map(|i| (1 + i % size) as f32 * noise(i / size, i % size))
            .collect();
        let data = format!("{name}.h5");
        project.write_dataset(&data, "features", shape, &values);
        let config = format!(
            "name: {name}\npretrain_flow:\n  features: {{file: {data}}}\n  rows: {rows}\n  model: {{kind: coupling, \
             layers: 2, width: 8, depth: 1}}\n  steps: 30\n  batch: 32\n  samples: 5\n  compared: 0\n"
        );
        project.write("cut.yaml", config);
        project.run(&["run", "cut.yaml"]).expect(0, &[]);
        let shown = project.run(&["show", name, "--format", "json"]);
        let shown: Value = serde_json::from_str(&shown.expect(0, &[]).stdout).unwrap();
        let nll = shown[0]["pretrain-flow: test NLL in feature space (nats)"].as_f64();
        project.write_dataset(&given(name), "features", shape, &values);
        project.add_dataset(&given(name), "nll", &[1], &[nll.unwrap()]);
        agrees(&python, &project, "layout", name, 3);
    }
}

/// Detects: noise, the logit of pixels, or the conversion to bits that differs in the package.
#[test]
fn the_package_dequantises_and_counts_bits_as_this_program_does() {
    let Some(python) = pytorch() else { return };
    let project = Project::new();
    let level = |i: usize| (17.0 * noise(i / 64, i % 64)).floor();
    let values: Vec<f32> = (0..200 * 64).map(level).collect();
    project.write_dataset("pixels.h5", "features", &[200, 1, 8, 8], &values);
    for (name, normalisation) in [
        ("pixels", "levels: 17"),
        ("logits", "levels: 17, logit: 1.0e-3"),
    ] {
        let config = format!(
            "name: {name}\npretrain_flow:\n  features: {{file: pixels.h5}}\n  rows: {{patches: 2}}\n  normalisation: \
             {{{normalisation}}}\n  noise: {{kind: uniform}}\n  model: {{kind: coupling, layers: 2, width: 8, depth: 1}}\n  \
             steps: 30\n  batch: 32\n  samples: 50\n  test: {{fraction: 0.3}}\n  compared: 0\n"
        );
        project.write("pixels.yaml", config);
        project.run(&["run", "pixels.yaml"]).expect(0, &[]);
        let shown = project.run(&["show", name, "--format", "json"]);
        let shown: Value = serde_json::from_str(&shown.expect(0, &[]).stdout).unwrap();
        let bits = shown[0]["pretrain-flow: test bits a dimension"].as_f64();
        let file = given(name);
        project.write_dataset(&file, "features", &[200, 1, 8, 8], &values);
        project.add_dataset(&file, "bits", &[1], &[bits.unwrap()]);
        agrees(&python, &project, "pixels", name, 2);
    }
}
