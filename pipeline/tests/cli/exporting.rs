//! `export`: files for other programs. `python` tests reading them with TensorBoard and Python.

use crate::project::Project;
use crate::tiny;
use safetensors::SafeTensors;
use serde_json::Value;
use std::path::Path;

fn finished() -> Project {
    let project = tiny::project();
    project.run(&["run", "tiny.yaml"]).expect(0, &["# tiny"]);
    project
}

fn read(project: &Project, file: &str) -> Vec<u8> {
    std::fs::read(project.path(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

#[test]
fn weights_are_copied_as_they_are_with_what_they_mean() {
    let project = finished();
    project
        .run(&["export", "safetensors", "tiny"])
        .expect(0, &["safetensors/tiny: 4 files written"]);
    let metadata: Value =
        serde_json::from_slice(&read(&project, "safetensors/tiny/metadata.json")).unwrap();
    assert_eq!(metadata["name"], "tiny");
    for (stage, name) in [
        ("pretrain-flow", "flow"),
        ("pretrain-flow", "normalisation"),
        ("train-autoencoder", "autoencoder"),
    ] {
        let file = format!("{stage}/{name}.safetensors");
        let bytes = read(&project, &format!("safetensors/tiny/{file}"));
        assert_eq!(
            bytes,
            read(&project, &format!("artifacts/runs/tiny/{file}")),
            "{file}"
        );
        let about = &metadata["stages"][stage]["files"][format!("{name}.safetensors")];
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(
            tensors.len(),
            about["tensors"].as_object().unwrap().len(),
            "{file}"
        );
        for (tensor, view) in tensors.tensors() {
            assert_eq!(
                about["tensors"][&tensor]["shape"],
                serde_json::json!(view.shape()),
                "{tensor}"
            );
        }
    }
    let flow = &metadata["stages"]["pretrain-flow"];
    assert_eq!(
        flow["files"]["flow.safetensors"]["header"]["network"]["width"],
        16
    );
    assert_eq!(flow["config"]["steps"], 20);
}

#[test]
fn arrays_become_tensors() {
    let project = finished();
    project
        .run(&["export", "safetensors", "tiny", "--arrays", "--out", "out"])
        .expect(0, &[]);
    let bytes = read(&project, "out/tiny/train-autoencoder/latents.safetensors");
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let latents = tensors.tensor("train_latents").unwrap();
    let items = tensors.tensor("train_items").unwrap();
    assert_eq!(latents.shape(), [items.shape()[0], 1, 2]);
    let found: Vec<f32> = latents
        .data()
        .chunks(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    let file = project.path("artifacts/runs/tiny/train-autoencoder/latents.h5");
    let file = hdf5::File::open(file).unwrap();
    assert_eq!(
        found,
        file.dataset("train_latents")
            .unwrap()
            .read_raw::<f32>()
            .unwrap()
    );
    // Both stages that draw samples would write a file of this name.
    assert!(
        project
            .path("out/tiny/pretrain-flow/samples.safetensors")
            .exists()
    );
}

#[test]
fn one_artifact_is_exported_by_its_fingerprint() {
    let project = finished();
    let fingerprint = &project.entries("artifacts/pretrain-flow")[0];
    let exported = project.run(&["export", "safetensors", &fingerprint[..8]]);
    exported.expect(
        0,
        &[&format!(
            "safetensors/pretrain-flow-{fingerprint}: 3 files written"
        )],
    );
}

#[test]
fn nothing_is_replaced_without_force_and_equal_files_are_left_alone() {
    let project = finished();
    for format in ["safetensors", "tensorboard"] {
        project
            .run(&["export", format, "tiny"])
            .expect(0, &["written"]);
        project
            .run(&["export", format, "tiny"])
            .expect(0, &["0 files written"]);
    }
    let set = ["--set", "pretrain_flow.steps=21"];
    project
        .run(&[&["run", "tiny.yaml"], &set[..]].concat())
        .expect(0, &[]);
    for (format, file) in [
        ("safetensors", "pretrain-flow/flow.safetensors"),
        (
            "tensorboard",
            "pretrain-flow/events.out.tfevents.latent-align",
        ),
    ] {
        let path = format!("{format}/tiny/{file}");
        let before = read(&project, &path);
        project
            .run(&["export", format, "tiny"])
            .expect(2, &[&path, "--force"]);
        assert_eq!(read(&project, &path), before);
        project
            .run(&["export", format, "tiny", "--force"])
            .expect(0, &["written"]);
        assert_ne!(read(&project, &path), before);
    }
}

#[test]
fn a_damaged_output_is_not_exported() {
    let project = finished();
    let flow = project.path("artifacts/runs/tiny/pretrain-flow");
    for (format, name) in [
        ("safetensors", "flow.safetensors"),
        ("tensorboard", "metrics.parquet"),
    ] {
        let file = flow.join(name);
        let whole = std::fs::read(&file).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        std::fs::write(&file, flipped).unwrap();
        project
            .run(&["export", format, "tiny"])
            .expect(1, &["damaged", name]);
        assert!(!Path::new(&project.path(format)).exists());
        std::fs::write(&file, whole).unwrap();
    }
}

#[test]
fn what_is_no_run_is_wrong_input() {
    let project = finished();
    project
        .run(&["export", "tensorboard", "tinyy"])
        .expect(2, &["did you mean `tiny`?"]);
    project
        .run(&["export", "tensorboard", "artifacts"])
        .expect(2, &["many artifacts"]);
    project
        .run(&["export", "tensorboard"])
        .expect(2, &["RUN|FINGERPRINT"]);
    let nll = &project.entries("artifacts/estimate-nll")[0];
    project
        .run(&["export", "safetensors", nll])
        .expect(2, &["found no weights"]);
}
