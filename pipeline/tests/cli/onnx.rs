//! `export onnx`: ONNX Runtime computes what `encode` and `decode` write.

use crate::project::Project;
use crate::python::{execute, python};

const CONFIG: &str = "\
name: NAME
flow: words-16
train_autoencoder:
  data: {file: images.h5, dataset: images}
  architecture: ARCHITECTURE
  latent: {tokens: 2, width: 16}
  posterior: {kind: gaussian}
  reconstruction: bernoulli
  regulariser: {kind: kl, weight: 1.0e-2}
  optimiser: {learning_rate: 1.0e-2, warmup_steps: 0}
  steps: 6
  batch: 16
";

/// Odd and even sizes, so that both paddings of a transposed convolution are there.
const SHAPE: [usize; 4] = [200, 3, 7, 6];

fn project() -> Project {
    let project = Project::new();
    let values: Vec<u8> = (0..SHAPE.iter().product::<usize>())
        .map(|i| (i * 89 % 251) as u8)
        .collect();
    project.write_dataset("images.h5", "images", &SHAPE, &values);
    project
}

fn trained(project: &Project, name: &str, architecture: &str, change: &[(&str, &str)]) {
    let mut config = CONFIG
        .replace("NAME", name)
        .replace("ARCHITECTURE", architecture);
    for (from, to) in change {
        config = config.replace(from, to);
    }
    project.write(&format!("{name}.yaml"), config);
    project
        .run(&["run", &format!("{name}.yaml")])
        .expect(0, &[]);
}

const COMPARE: &str = "
import h5py, numpy, onnxruntime, sys
def run(file, given):
    session = onnxruntime.InferenceSession(file, providers=['CPUExecutionProvider'])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: given})))
def differ(a, b):
    assert a.shape == b.shape, (a.shape, b.shape)
    return numpy.abs(a - b).max() / numpy.abs(b).max()
for name in NAMES:
    data = h5py.File('images.h5')['images'][...].astype('f4')
    latents = h5py.File(name + '-latents.h5')
    means = latents['means' if 'means' in latents else 'latents'][...]
    draws = latents['latents'][...]
    decoded = h5py.File(name + '-decoded.h5')[DATA][...]
    encoder = run(f'onnx/{name}/encoder.onnx', data)
    assert differ(encoder['means' if 'means' in latents else 'latents'], means) < 1e-4, name
    if 'standard_deviations' in encoder:
        noise = (draws - means) / encoder['standard_deviations']
        assert 0.9 < noise.std() < 1.1, (name, noise.std())
    decoder = run(f'onnx/{name}/decoder.onnx', means.astype('f4'))
    assert differ(decoder['data'].reshape(decoded.shape), decoded) < 1e-4, name
print('equal')
";

/// Detects: a transposed weight, a wrong padding or activation, units of the data left out.
#[test]
fn onnx_runtime_computes_what_encode_and_decode_write() {
    let Some(python) = python("numpy, h5py, onnxruntime") else {
        return;
    };
    let project = project();
    trained(&project, "dense", "{kind: dense, widths: [12, 8]}", &[]);
    let gated = "{kind: dense, widths: [12], gated: true}";
    trained(
        &project,
        "gated",
        gated,
        &[
            ("{kind: gaussian}", "{kind: deterministic}"),
            ("kind: kl, weight: 1.0e-2", "kind: none"),
            ("bernoulli", "mse"),
        ],
    );
    let convolutional = "{kind: convolutional, channels: [4, 6]}";
    trained(
        &project,
        "convolutional",
        convolutional,
        &[("bernoulli", "discretised_logistic")],
    );
    let names = ["dense", "gated", "convolutional"];
    for name in names {
        project
            .run(&["export", "onnx", name])
            .expect(0, &["2 files written"]);
        let (latents, decoded) = (format!("{name}-latents.h5"), format!("{name}-decoded.h5"));
        let mut encode = vec!["encode", name, "images.h5", "--out", &latents];
        if name != "gated" {
            encode.extend(["--latents", "both"]);
        }
        project.run(&encode).expect(0, &[]);
        let decode = ["decode", name, &latents, "--out", &decoded, "--dataset"];
        let dataset = if name == "gated" { "latents" } else { "means" };
        project
            .run(&[&decode[..], &[dataset]].concat())
            .expect(0, &[]);
    }
    let script = COMPARE
        .replace("NAMES", &format!("{names:?}"))
        .replace("DATA", "'images'");
    let script = format!("import os\nos.chdir({:?})\n{script}", project.path(""));
    assert_eq!(execute(&python, &project, &script), "equal\n");
}

#[test]
fn what_a_graph_cannot_hold_is_refused() {
    let project = project();
    let bent = [("{kind: gaussian}", "{kind: planar, steps: 2}")];
    trained(&project, "bent", "{kind: dense, widths: [8]}", &bent);
    project.run(&["export", "onnx", "bent"]).expect(
        2,
        &[
            "bent: found a posterior with a map after its Gaussian",
            "encode",
        ],
    );
    assert!(!project.path("onnx").exists());
}
