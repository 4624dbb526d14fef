//! Files of other programs: unusable content is named with a remedy, and is not called damaged.

use crate::project::Project;
use crate::python::{execute, python};
use crate::tiny::noise;

#[test]
fn files_and_datasets_of_nothing_are_called_empty() {
    let project = Project::new();
    project.write("nothing.h5", "");
    for command in ["init", "show"] {
        let empty = ["nothing.h5 is empty, 0 bytes"];
        project.run(&[command, "nothing.h5"]).expect(2, &empty);
    }
    project.write_dataset::<f32>("rows.h5", "features", &[0, 4], &[]);
    project
        .run(&["init", "rows.h5"])
        .expect(2, &["/features [0, 4] f32", "Nothing in it holds a number"]);
}

#[test]
fn images_without_an_axis_for_channels_are_found_beside_features_by_their_name() {
    let project = Project::new();
    project.write_features("both.h5", "features", 300, 3, noise);
    let images: Vec<u8> = (0..200 * 64).map(|i| (noise(i, 0) * 255.0) as u8).collect();
    project.add_dataset("both.h5", "images", &[200, 8, 8], &images);
    let asked = [
        "200 images of 8 x 8",
        "both.h5 --data-as images",
        "--data-as vectors",
    ];
    project.run(&["init", "both.h5"]).expect(2, &asked);
    project
        .run(&["init", "both.h5", "--data-as", "images"])
        .expect(0, &[]);
    let text = std::fs::read_to_string(project.path("both.yaml")).unwrap();
    let data = "data: {file: both.h5, dataset: images, shape: [1, 8, 8]}";
    assert!(text.contains(data), "{text}");
}

#[test]
fn an_attribute_of_somebody_else_is_no_law_of_the_features() {
    let project = Project::new();
    project.write_features("a.h5", "features", 300, 3, noise);
    project.write_attribute("a.h5", "features", "target", "cosine similarity");
    project.run(&["init", "a.h5"]).expect(0, &[]);
    let text = std::fs::read_to_string(project.path("a.yaml")).unwrap();
    assert!(!text.contains("density is known"), "{text}");
    project
        .run(&["plan", "a.yaml"])
        .expect(0, &["2 stages would run"]);
    project.write_features("b.h5", "features", 300, 3, noise);
    project.write_attribute("b.h5", "features", "target", r#"{"kind": "moon"}"#);
    let ours = ["attribute `target`", "unknown variant `moon`"];
    project.run(&["init", "b.h5"]).expect(2, &ours);
}

#[test]
fn data_of_equal_rows_are_nothing_to_encode() {
    let project = Project::new();
    project.write_features("f.h5", "features", 300, 3, noise);
    project.write_dataset("zeros.h5", "images", &[60, 1, 8, 8], &[0_u8; 60 * 64]);
    project
        .run(&["init", "f.h5", "--data", "zeros.h5"])
        .expect(2, &["/images [60, 1, 8, 8] u8", "same values in every row"]);
}

/// Types that numpy supports and this program does not, and a group nested too deeply.
const WRITE: &str = r#"
import h5py, numpy as np
x = np.random.default_rng(0).normal(size=(200, 4))
with h5py.File("types.h5", "w") as f:
    f["long_double"] = x.astype("g")
    f["nothing"] = h5py.Empty("f4")
    times = np.arange(200).astype("datetime64[s]")
    f.create_dataset("times", data=times.astype(h5py.opaque_dtype(times.dtype)))
    f["sizes"] = x * 1e-300
with h5py.File("lzf.h5", "w") as f:
    f.create_dataset("features", data=x, compression="lzf")
with h5py.File("deep.h5", "w") as f:
    f["/".join("abcdefghijklmnopqrs") + "/features"] = x
with h5py.File("names.h5", "w") as f:
    f["a b/\u7279\u5fb4 'x\": #{y}"] = x.astype(">f8")
"#;

#[test]
fn what_h5py_writes_and_we_do_not_read_is_named() {
    let Some(python) = python("numpy, h5py") else {
        return;
    };
    let project = Project::new();
    let write = format!(
        "import os\nos.chdir({:?})\n{WRITE}",
        project.path("").display().to_string()
    );
    execute(&python, &project, &write);

    let types = project.run(&["show", "types.h5"]);
    types.expect(
        0,
        &[
            "/long_double",
            "0 finite numbers",
            "/times",
            "unsupported type",
        ],
    );
    assert!(!types.stdout.contains("damaged"), "{types}");
    assert!(types.stdout.lines().all(|l| l.len() < 200), "{types}");

    let lzf = project.run(&["show", "lzf.h5"]);
    let why = "this libhdf5 lacks (lzf, filter 32000). Write it again with gzip";
    lzf.expect(0, &[why]);
    assert_eq!(lzf.stdout.matches(why).count(), 1, "{lzf}");
    project.run(&["init", "lzf.h5"]).expect(2, &[why]);

    let deep = "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q";
    project
        .run(&["show", "deep.h5"])
        .expect(0, &[deep, "nested too deep"]);
    project
        .run(&["init", "deep.h5"])
        .expect(2, &[deep, "--dataset"]);
    let dataset = format!("{deep}/r/s/features");
    project
        .run(&["init", "deep.h5", "--dataset", &dataset])
        .expect(0, &[]);

    project.run(&["init", "names.h5"]).expect(0, &[]);
    project
        .run(&["plan", "names.yaml"])
        .expect(0, &["2 stages would run"]);
}
