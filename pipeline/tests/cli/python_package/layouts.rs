//! Features that are cut into tokens, in the Python package.

use super::{agrees, given, pytorch};
use crate::project::Project;
use crate::tiny::noise;
use serde_json::Value;

/// Red where the package cuts an image or a feature otherwise than this program, puts it together otherwise, or forgets
/// how many rows of the normalisation a point is.
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
