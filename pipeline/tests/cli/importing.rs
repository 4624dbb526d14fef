//! Foreign checkpoints through the binary.

use crate::project::Project;
use std::path::PathBuf;

fn checkpoint() -> String {
    let manifest = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap());
    let path = manifest.join("../stages/tests/fixtures/paper-flow-head.pt");
    path.to_str().unwrap().to_owned()
}

#[test]
fn an_imported_flow_serves_an_experiment_in_place_of_pretraining() {
    let project = Project::new();
    project
        .run(&["import", &checkpoint()])
        .expect(0, &["artifacts/pretrain-flow/"]);
    let flow = project.entries("artifacts/pretrain-flow");
    let flow = flow.iter().find(|name| name.len() == 16).unwrap();
    project.write_features("vectors.h5", "vectors", 200, 4, |row, column| {
        ((row * 7 + column * 3) % 11) as f32 / 11.0
    });
    project.write(
        "imported.yaml",
        format!(
            "name: imported\nflow: {flow}\ntrain_autoencoder:\n  data: {{file: vectors.h5, dataset: \
             vectors}}\n  architecture: {{kind: dense, widths: [8]}}\n  latent: {{width: 8}}\n  \
             regulariser: {{kind: alignment}}\n  steps: 4\n  batch: 16\nestimate_nll: {{points: 8, \
             draws: 64, tolerance: 0.01, bootstrap: 100}}\n"
        ),
    );
    project
        .run(&["run", "imported.yaml"])
        .expect(0, &["encoder latents", "mean NLL, ODE (nats)"]);
}

#[test]
fn a_key_that_the_checkpoint_lacks_is_named() {
    let project = Project::new();
    project
        .run(&["import", &checkpoint(), "--key", "optimiser"])
        .expect(2, &["paper-flow-head.pt", "optimiser"]);
}

#[test]
fn a_missing_checkpoint_is_wrong_input() {
    let project = Project::new();
    project
        .run(&["import", "absent.pt"])
        .expect(2, &["absent.pt"]);
}

#[test]
fn a_checkpoint_of_another_network_is_wrong_input() {
    let project = Project::new();
    // a safetensors file with one tensor that no velocity network has
    let header = br#"{"encoder.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(1f32.to_le_bytes());
    project.write("other.safetensors", bytes);
    project
        .run(&["import", "other.safetensors"])
        .expect(2, &["other.safetensors", "encoder.weight", "expected"]);
}

#[test]
fn a_checkpoint_without_all_weights_is_wrong_input() {
    let project = Project::new();
    let tensor = |name: &str, shape: &str, from: usize, to: usize| {
        format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":[{from},{to}]}}"#)
    };
    let header = format!(
        "{{{},{}}}",
        tensor("input_proj.weight", "[4,2]", 0, 32),
        tensor("time_embed.mlp.0.weight", "[4,8]", 32, 160)
    );
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend([0u8; 160]);
    project.write("part.safetensors", bytes);
    project
        .run(&["import", "part.safetensors"])
        .expect(2, &["part.safetensors", "output.linear.weight", "expected"]);
}
