//! Trainings that share each batch among several devices.

use super::*;
use crate::autoencoders::Autoencoder;
use crate::context::{Kept, Silent};
use crate::data::{OutData, write_datasets};
use crate::persist::Snapshot;
use crate::random::Streams;
use crate::tensors::to_f32;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use tempfile::TempDir;

fn context<'a>(
    devices: usize,
    dir: &TempDir,
    resume: Option<Snapshot>,
    monitor: &'a dyn Monitor,
) -> Context<'a> {
    Context {
        streams: Streams::of_stage("train-autoencoder", 1),
        device: Device::flex(),
        replicas: vec![Device::flex(); devices - 1],
        dir: dir.path().to_owned(),
        resume,
        kept: std::env::temp_dir(),
        monitor,
    }
}

/// A flow over the plane.
fn flow() -> TempDir {
    let [data, dir] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let file = data.path().join("features.h5");
    let features = Streams::new(3).normal("features", 0, 2 * 600);
    let dataset = ("features", &[600, 2][..], OutData::F32(&features));
    write_datasets(&file, &[dataset], &[]).unwrap();
    let config: pretrain_flow::Config = serde_json::from_value(json!({
        "features": {"file": file},
        "model": {"kind": "flow_matching", "network": {"width": 16, "blocks": 1, "frequencies": 8}, "times": 8},
        "steps": 30, "batch": 64, "samples": 0, "nll_points": 0,
    }))
    .unwrap();
    let nothing = Upstream(Vec::new());
    let Preparation::Ready(ready) = config.prepare(&nothing, 1, &Silent).unwrap() else {
        panic!("it reads nothing");
    };
    ready
        .run(&nothing, &context(1, &dir, None, &Silent))
        .unwrap();
    dir
}

/// The weights of an autoencoder of handwritten digits after 20 steps with a batch of 16 shared by `devices`.
fn trained(
    flow: &TempDir,
    keys: &Value,
    devices: usize,
    resume: Option<Snapshot>,
    monitor: &dyn Monitor,
) -> Vec<f32> {
    struct Look(Vec<f32>);
    impl ModuleVisitor for Look {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(to_f32(param.val()).unwrap());
        }
    }
    let file = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap())
        .join("../configs/data/digits.h5");
    let mut config = json!({
        "data": {"file": file, "maximum": 16}, "latent": {"width": 2, "tokens": 2}, "steps": 20, "batch": 16,
        "optimiser": {"learning_rate": 3e-3, "warmup_steps": 0, "ema": 0.5},
    });
    (config.as_object_mut().unwrap()).extend(keys.as_object().unwrap().clone());
    let config: Config = serde_json::from_value(config).unwrap();
    let mut problems = Problems::new();
    config.check(&mut problems);
    problems.into_result().unwrap();
    let points = PointShape {
        tokens: 1,
        width: 2,
    };
    let dir = tempfile::tempdir().unwrap();
    let context = context(devices, &dir, resume, monitor);
    let prepared = prepare(&config, 1, points, &Silent).unwrap();
    prepared
        .run(flow.path(), Others::default(), &context)
        .unwrap();
    let (model, _) = Autoencoder::load(dir.path(), &Device::flex()).unwrap();
    let mut look = Look(Vec::new());
    model.visit(&mut look);
    look.0
}

/// Trains an autoencoder with `keys` on several numbers of devices.
fn is_the_same_on_several_devices(flow: &TempDir, keys: &Value) {
    let whole = trained(flow, keys, 1, None, &Silent);
    let kept = Kept::at(7);
    let two = trained(flow, keys, 2, None, &kept);
    let state = kept.state();
    assert!(state.is_some());
    let others = [
        two,
        trained(flow, keys, 4, None, &Silent),
        trained(flow, keys, 1, state.clone(), &Silent),
        trained(flow, keys, 4, state, &Silent),
    ];
    for (which, other) in others.iter().enumerate() {
        assert_eq!(other.len(), whole.len());
        let far = whole.iter().zip(other).map(|(a, b)| (a - b).abs());
        let far = far.fold(0.0, f32::max);
        assert!(far < 1e-4, "{keys}: {which}: {far}");
    }
}

/// Fails if replicas see the same rows or the noise of others, a comparison of whole batches is made of shares, a
/// student learns from one share, or a checkpoint depends on how many wrote it.
#[test]
fn a_dense_autoencoder_is_the_same_on_one_device_and_on_several() {
    let flow = flow();
    for (posterior, regulariser) in [
        ("deterministic", json!({"kind": "none"})),
        ("gaussian", json!({"kind": "alignment", "entropy": 1.0})),
        ("iaf", json!({"kind": "kl"})),
        ("linear_iaf", json!({"kind": "flow_kl"})),
        ("fixed_noise", json!({"kind": "distribution_matching"})),
        ("deterministic", json!({"kind": "energy", "weight": 0.3})),
        ("deterministic", json!({"kind": "mmd", "weight": 0.3})),
        ("gaussian", json!({"kind": "sliced_wasserstein"})),
    ] {
        let keys = json!({
            "architecture": {"kind": "dense", "widths": [16]}, "posterior": {"kind": posterior}, "regulariser": regulariser,
        });
        is_the_same_on_several_devices(&flow, &keys);
    }
}

/// Fails if a convolution sums its gradient over one share, or the scale of a likelihood over one device.
#[test]
fn a_convolutional_autoencoder_is_the_same_on_one_device_and_on_several() {
    let flow = flow();
    for (regulariser, reconstruction) in [
        (json!({"kind": "alignment"}), "mse"),
        (json!({"kind": "kl"}), "discretised_logistic"),
    ] {
        let keys = json!({
            "architecture": {"kind": "convolutional", "channels": [4, 6]}, "posterior": {"kind": "gaussian"},
            "regulariser": regulariser, "reconstruction": reconstruction,
        });
        is_the_same_on_several_devices(&flow, &keys);
    }
}
