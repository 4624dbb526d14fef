use super::*;
use crate::architectures::ArchitectureConfig;
use crate::autoencoders::{
    Autoencoder, AutoencoderHeader, LatentConfig, PartLatents, Reconstruction,
};
use crate::comparison::energy_test;
use crate::context::{Silent, Warned};
use crate::data::{DataShape, OutData, write_datasets};
use crate::figures::{energy_test as energy, filled, of_rows, two_samples};
use crate::posteriors::PosteriorConfig;
use crate::random::Streams;
use crate::stages::{Artifact, Standing};
use crate::tensors::{from_f32, to_f32};
use crate::training::perturb;
use burn::tensor::{Device, Tensor};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Tokens of a latent, and the width of each.
const SHAPE: [usize; 2] = [2, 2];
/// Numbers of a latent.
const WIDTH: usize = SHAPE[0] * SHAPE[1];

fn context<'a>(dir: &TempDir, monitor: &'a dyn Monitor) -> Context<'a> {
    Context {
        streams: Streams::of_stage("transport", 1),
        device: Device::flex(),
        replicas: Vec::new(),
        dir: dir.path().to_owned(),
        resume: None,
        kept: std::env::temp_dir(),
        monitor,
    }
}

fn run(config: &dyn StageConfig, upstream: &Upstream, context: &Context) -> Result<Summary> {
    match config.prepare(upstream, 1, context.monitor)? {
        Preparation::Ready(ready) => ready.run(upstream, context),
        Preparation::Wait => panic!("everything is made"),
    }
}

/// A flow of `features` [n, 2] of the kind `model`.
fn flow(features: &[f32], model: &Value) -> TempDir {
    let [data, dir] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let file = data.path().join("features.h5");
    let shape = [features.len() / SHAPE[1], SHAPE[1]];
    write_datasets(&file, &[("features", &shape, OutData::F32(features))], &[]).unwrap();
    let config: pretrain_flow::Config = serde_json::from_value(json!({
        "features": {"file": file}, "model": model, "steps": 300, "batch": 256,
        "optimiser": {"learning_rate": 0.02}, "samples": 0, "nll_points": 0,
    }))
    .unwrap();
    run(&config, &Upstream(Vec::new()), &context(&dir, &Silent)).unwrap();
    dir
}

/// Gaussian latents [n, 2, 2] whose numbers are correlated, within and across tokens, and of other scales.
fn gaussian(name: &str, rows: usize) -> Vec<f32> {
    let mut latents = Streams::new(3).normal(name, 0, rows * WIDTH);
    for row in latents.chunks_mut(WIDTH) {
        let common = row[0];
        for (i, x) in row.iter_mut().enumerate() {
            *x = 2.0 + (1.0 + i as f32) * (0.8 * common + 0.5 * *x);
        }
    }
    latents
}

/// Rows of data that an autoencoder has.
fn data(name: &str, rows: usize) -> Vec<f32> {
    Streams::new(4).normal(name, 0, rows * 6)
}

/// The latents of such rows.
fn latents_of(model: &Autoencoder, data: Vec<f32>) -> Vec<f32> {
    let rows = [data.len() / 6, 6, 1, 1];
    let data: Tensor<4> = from_f32(data, rows, &Device::flex());
    to_f32(model.encode(data).centre()).unwrap()
}

/// An artifact of `train-autoencoder`, with the latents that `of` gives for parts with these numbers of rows.
fn autoencoder(of: impl Fn(&str, usize) -> Vec<f32>) -> TempDir {
    encoded(|_, name, rows| of(name, rows))
}

/// The same with latents computed by the autoencoder.
fn encoded(of: impl Fn(&Autoencoder, &str, usize) -> Vec<f32>) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let header = AutoencoderHeader {
        architecture: ArchitectureConfig::Dense {
            widths: vec![8],
            gated: false,
        },
        latent: LatentConfig {
            tokens: SHAPE[0],
            width: SHAPE[1],
            top: None,
        },
        posterior: PosteriorConfig::default(),
        reconstruction: Reconstruction::Mse,
        shape: DataShape {
            channels: 6,
            height: 1,
            width: 1,
        },
        maximum: 1.0,
        binarise: None,
    };
    let device = Device::flex();
    let model = Autoencoder::new(&header, Streams::new(1), &device).unwrap();
    let model = perturb(model, 0.5, Streams::new(2)); // biases start at zero
    model.save(&header, dir.path()).unwrap();
    let originals = data("test", 64);
    write_datasets(
        &dir.path().join("reconstructions.h5"),
        &[("originals", &[64, 6, 1, 1], OutData::F32(&originals))],
        &[],
    )
    .unwrap();
    let parts = [(Part::Train, 1000), (Part::HeldOut, 200), (Part::Test, 300)];
    let parts = parts.map(|(part, rows)| {
        let latents = PartLatents {
            items: (0..rows as i64).collect(),
            values: of(&model, part.key(), rows),
            means: None,
        };
        (part, latents)
    });
    let parts = parts.each_ref().map(|(part, latents)| (*part, latents));
    PartLatents::write(&parts, SHAPE, dir.path()).unwrap();
    dir
}

fn upstream(flow: &TempDir, autoencoder: &TempDir) -> Upstream {
    let artifact = |role, dir: &TempDir| Artifact {
        role,
        name: format!("{role} 0123"),
        dir: dir.path().to_owned(),
        standing: Standing::Made,
        config: None,
    };
    Upstream(vec![
        artifact(FLOW, flow),
        artifact(AUTOENCODER, autoencoder),
    ])
}

fn config(changes: Value) -> Config {
    serde_json::from_value(changes).unwrap()
}

fn p_values(summary: &Summary) -> [f64; 4] {
    let of = |name: &str| summary.get(&of_rows("test", name)).unwrap();
    [
        of(energy::P_VALUE),
        of(&filled(two_samples::ENERGY_P, &[&two_samples::WHOLE])),
        of(names::NOISE_ENERGY_P),
        of(names::NOISE_NEIGHBOURS_P),
    ]
}

/// Features of a target, [n, 2].
fn features(kind: &str) -> Vec<f32> {
    let mut features = Streams::new(5).normal("features", 0, SHAPE[1] * 6000);
    if kind == "mixture" {
        for (i, point) in features.chunks_mut(2).enumerate() {
            let mode = if i % 3 == 0 { 1.2 } else { -0.6 };
            point.iter_mut().for_each(|x| *x = mode + 0.6 * *x);
        }
    }
    features
}

/// Fails if latents are not whitened jointly, if one of the halves is inverted, or if tokens are mixed up:
/// whitening alone turns these latents into noise.
#[test]
fn gaussian_latents_follow_a_known_target_after_the_map_and_not_before() {
    let encoded = autoencoder(gaussian);
    for (kind, model) in [
        ("normal", json!({"kind": "normal"})),
        ("mixture", json!({"kind": "mixture", "components": 2})),
    ] {
        let (flow, out) = (flow(&features(kind), &model), tempfile::tempdir().unwrap());
        let upstream = upstream(&flow, &encoded);
        let monitor = Warned::default();
        let config = config(json!({"model": {"kind": "normal"}, "tolerance": 1e-6}));
        let summary = run(&config, &upstream, &context(&out, &monitor)).unwrap();
        let passed = p_values(&summary);
        assert!(passed.iter().all(|p| *p > 0.01), "{kind}: {passed:?}");
        assert_eq!(monitor.take(), Vec::<String>::new());

        let target = Prior::load(flow.path(), &Placement::on(&Device::flex())).unwrap();
        let kept = &target.test.unwrap().points.values;
        let raw = &gaussian("test", 300)[..580];
        let before = energy_test(raw, &kept[..580], SHAPE[1], 1, 199, Streams::new(0));
        assert!(before.p_value <= 0.01, "{kind}: {before:?}");
    }
}

/// Latents of which every eighth is much larger than the others, so that whitening cannot turn them into noise.
fn heavy(name: &str, rows: usize) -> Vec<f32> {
    let mut latents = Streams::new(6).normal(name, 0, rows * WIDTH);
    for (number, row) in latents.chunks_mut(WIDTH).enumerate() {
        let scale = if number % 8 == 0 { 8.0 } else { 0.3 };
        row.iter_mut().for_each(|x| *x *= scale);
    }
    latents
}

/// Fails if the flow of the latents is applied in the wrong direction.
#[test]
fn heavy_latents_become_noise_along_a_flow_that_knows_both_scales() {
    let encoded = autoencoder(heavy);
    let flow = flow(&features("normal"), &json!({"kind": "normal"}));
    let upstream = upstream(&flow, &encoded);
    let noise = |model: Value| {
        let out = tempfile::tempdir().unwrap();
        let config = config(json!({"model": model, "tolerance": 1e-5}));
        let summary = run(&config, &upstream, &context(&out, &Silent)).unwrap();
        p_values(&summary)[2]
    };
    let known = noise(json!({"kind": "mixture", "components": 2}));
    let whitened = noise(json!({"kind": "normal"}));
    assert!(known > 0.01 && whitened <= 0.01, "{known} {whitened}");
}

/// Fails if the inverse does not undo the map, if the stored map differs from the one that made the latents, or if
/// parts or their items are swapped.
#[test]
fn a_trained_map_is_undone_decodes_as_before_and_is_the_one_on_disk() {
    let (flow, out) = (
        flow(
            &features("mixture"),
            &json!({"kind": "mixture", "components": 2}),
        ),
        tempfile::tempdir().unwrap(),
    );
    let encoded = encoded(|model, name, rows| latents_of(model, data(name, rows)));
    let network = json!({"width": 32, "blocks": 2, "frequencies": 16, "time_scale": 10.0});
    let config = config(json!({
        "model": {"kind": "flow_matching", "network": network, "times": 16},
        "steps": 300, "batch": 64, "evaluation_points": 256, "noise": 0.01, "tolerance": 1e-6,
        "optimiser": {"learning_rate": 3e-3, "ema": 0.9},
    }));
    let summary = run(&config, &upstream(&flow, &encoded), &context(&out, &Silent)).unwrap();
    let figure = |name: &str| summary.get(name).unwrap();
    assert!(
        figure("test round trip error (relative)") < 1e-4,
        "{summary:?}"
    );
    assert!(figure(names::ERROR_CHANGE).abs() < 0.01, "{summary:?}");
    assert!(figure(&of_rows("test", names::DECODED_CHANGE)) < 1e-6);
    assert!(figure(names::OWN_EVALUATIONS) > 10.0 && figure(names::TARGET_EVALUATIONS) > 10.0);

    let [before, after] = [&encoded, &out].map(|dir| Latents::load(dir.path()).unwrap());
    let device = Device::flex();
    let map = Transport::load(out.path(), flow.path(), &device).unwrap();
    let parts = [
        (&before.train, &after.train),
        (&before.held_out, &after.held_out),
        (before.test.as_ref().unwrap(), after.test.as_ref().unwrap()),
    ];
    for (before, after) in parts {
        assert_eq!(before.items, after.items);
        let again = map.there(&before.values, &|_| Ok(())).unwrap().values;
        assert_eq!(again, after.values);
        let moved = before.values.iter().zip(&after.values);
        assert!(moved.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) > 0.5);
    }

    // of new data
    let (model, _) = Autoencoder::load(encoded.path(), &device).unwrap();
    let latents = latents_of(&model, data("new", 50));
    let there = map.there(&latents, &|_| Ok(())).unwrap().values;
    let back = map.back(&there, &|_| Ok(())).unwrap().values;
    let decode = |rows: &[f32]| {
        let rows = from_f32(rows.to_vec(), [rows.len() / SHAPE[1], SHAPE[1]], &device);
        to_f32(model.decode(rows)).unwrap()
    };
    for (a, b) in decode(&latents).iter().zip(decode(&back)) {
        assert!((a - b).abs() < 1e-3, "{a} {b}");
    }
}

/// Fails if the covariance is checked only after training.
#[test]
fn latents_without_variance_are_refused_before_anything_is_trained() {
    let flow = flow(&features("normal"), &json!({"kind": "normal"}));
    let flat = |spread: f32| {
        autoencoder(move |name, rows| {
            let mut latents = gaussian(name, rows);
            for row in latents.chunks_mut(WIDTH) {
                row[3] = row[0] - row[1] + spread * row[3];
            }
            latents
        })
    };
    let config = config(json!({"model": {"kind": "normal"}}));
    let singular = flat(0.0);
    let refused = config
        .prepare(&upstream(&flow, &singular), 1, &Silent)
        .map(|_| ());
    let told = refused.unwrap_err().to_string();
    assert!(told.contains("do not vary in 1 of 4 directions"), "{told}");

    let (near, out) = (flat(1e-3), tempfile::tempdir().unwrap());
    let monitor = Warned::default();
    run(&config, &upstream(&flow, &near), &context(&out, &monitor)).unwrap();
    let told = monitor.take().join("\n");
    assert!(told.contains("near singular"), "{told}");
}

/// Fails if the noise of an unfitted map is accepted.
#[test]
fn a_flow_of_latents_that_fits_badly_is_warned_of() {
    let flow = flow(&features("normal"), &json!({"kind": "normal"}));
    let (encoded, out) = (autoencoder(heavy), tempfile::tempdir().unwrap());
    let monitor = Warned::default();
    let config = config(json!({"model": {"kind": "normal"}}));
    run(
        &config,
        &upstream(&flow, &encoded),
        &context(&out, &monitor),
    )
    .unwrap();
    let told = monitor.take().join("\n");
    assert!(told.contains("told from fresh noise"), "{told}");
    assert!(told.contains("raise transport.steps"), "{told}");
}

#[test]
fn values_out_of_range_and_sections_that_do_not_go_together_are_named() {
    let mut problems = Problems::new();
    config(json!({"tolerance": 0.1, "noise": -1.0, "steps": 0, "batch": 100})).check(&mut problems);
    let told = problems.messages().join("\n");
    for key in ["tolerance", "noise", "steps", "times"] {
        assert!(told.contains(key), "{key}: {told}");
    }
    let mut problems = Problems::new();
    let own = Config::default();
    own.check_with(&Sections(vec![&own]), &mut problems);
    let told = problems.messages().join("\n");
    assert!(
        told.contains("train_autoencoder: found no such section"),
        "{told}"
    );
}
