//! Foreign checkpoints through the binary.

use crate::project::Project;
use crate::tiny;
use std::path::PathBuf;

fn checkpoint() -> String {
    let manifest = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap());
    let path = manifest.join("../stages/tests/fixtures/paper-flow-head.pt");
    path.to_str().unwrap().to_owned()
}

/// A safetensors file of f32 tensors, by name and shape.
fn safetensors(tensors: impl IntoIterator<Item = (String, Vec<usize>)>) -> Vec<u8> {
    let (mut header, mut end) = (Vec::new(), 0);
    for (name, shape) in tensors {
        let start = end;
        end += 4 * shape.iter().product::<usize>();
        header.push(format!(
            r#""{name}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{start},{end}]}}"#
        ));
    }
    let header = format!("{{{}}}", header.join(","));
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend((0..end / 4).flat_map(|i| (tiny::noise(i, 1) - 0.5).to_le_bytes()));
    bytes
}

/// The smallest flow as other code calls its weights, a safetensors file.
pub fn foreign_flow() -> Vec<u8> {
    let layers: [(&str, &[usize]); 9] = [
        ("time_embed.mlp.0", &[4, 8]),
        ("time_embed.mlp.2", &[4, 4]),
        ("input_proj", &[4, 2]),
        ("res_blocks.0.in_ln", &[4]),
        ("res_blocks.0.mlp.0", &[4, 4]),
        ("res_blocks.0.mlp.2", &[4, 4]),
        ("res_blocks.0.adaLN_modulation.1", &[12, 4]),
        ("final_layer.adaLN_modulation.1", &[8, 4]),
        ("final_layer.linear", &[2, 4]),
    ];
    safetensors(layers.into_iter().flat_map(|(layer, shape)| {
        [
            (format!("{layer}.weight"), shape.to_vec()),
            (format!("{layer}.bias"), shape[..1].to_vec()),
        ]
    }))
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
        crate::tiny::noise(row, column)
    });
    project.write(
        "imported.yaml",
        format!(
            "name: imported\nflow: {flow}\ntrain_autoencoder:\n  data: {{file: vectors.h5, dataset: \
             vectors}}\n  architecture: {{kind: dense, widths: [8]}}\n  latent: {{width: 8}}\n  \
             regulariser: {{kind: alignment}}\n  steps: 4\n  batch: 16\nestimate_nll: {{points: 8, \
             draws: 192, tolerance: 0.01}}\n"
        ),
    );
    project
        .run(&["run", "imported.yaml"])
        .expect(0, &["test latents", "mean NLL, ODE (nats)"]);
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
    // one tensor that no velocity network has
    let bytes = safetensors([("encoder.weight".to_owned(), vec![1])]);
    project.write("other.safetensors", bytes);
    project
        .run(&["import", "other.safetensors"])
        .expect(2, &["other.safetensors", "encoder.weight", "expected"]);
}

#[test]
fn a_checkpoint_without_all_weights_is_wrong_input() {
    let project = Project::new();
    let bytes = safetensors([
        ("input_proj.weight".to_owned(), vec![4, 2]),
        ("time_embed.mlp.0.weight".to_owned(), vec![4, 8]),
    ]);
    project.write("part.safetensors", bytes);
    project
        .run(&["import", "part.safetensors"])
        .expect(2, &["part.safetensors", "output.linear.weight", "expected"]);
}

#[test]
fn weights_that_are_not_finite_are_refused() {
    let project = Project::new();
    let mut flow = foreign_flow();
    let end = flow.len();
    flow[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    project.write("flow.safetensors", flow);
    project.run(&["import", "flow.safetensors"]).expect(
        2,
        &["flow.safetensors", "NaN", "output.linear.bias", "finite"],
    );
}

#[test]
fn shapes_of_a_network_that_the_checkpoint_does_not_hold_are_refused() {
    let project = Project::new();
    let flow = foreign_flow();
    // as many numbers in another shape: a width of 8
    let text = r#""input_proj.weight":{"dtype":"F32","shape":[4, 2]"#.as_bytes();
    let at = flow.windows(text.len()).position(|w| w == text).unwrap() + text.len();
    let mut other = flow;
    other[at - 6..at].copy_from_slice(b"[8, 1]");
    project.write("flow.safetensors", other);
    project
        .run(&["import", "flow.safetensors"])
        .expect(2, &["flow.safetensors", "width 8", "but it holds"]);
}
