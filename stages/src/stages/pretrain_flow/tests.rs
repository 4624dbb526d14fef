//! Noise of features through the stage.

use crate::context::{Context, Monitor, Silent, Summary, Table};
use crate::data::{OutData, write_datasets};
use crate::error::Result;
use crate::figures::{curves, error_beside, of_rows, pretrain_flow as names};
use crate::persist::Snapshot;
use crate::priors::{Flow, KeptPoints, Placement};
use crate::random::Streams;
use crate::stages::{Preparation, StageConfig as _, Upstream, pretrain_flow};
use burn::tensor::Device;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Mutex;

/// Keeps the state of a training after this many steps, and the last row of its learning curve.
#[derive(Default)]
struct Keeps {
    after: u64,
    state: Mutex<Option<Snapshot>>,
    row: Mutex<Vec<(&'static str, f64)>>,
}

impl Monitor for Keeps {
    fn cancelled(&self) -> bool {
        false
    }
    fn progress(&self, _: &str, _: u64, _: u64, _: &str) {}
    fn metrics(&self, _: u64, row: &[(&'static str, f64)]) {
        *self.row.lock().unwrap() = row.to_vec();
    }
    fn table(&self, _: &str, _: &Table) -> Result<()> {
        Ok(())
    }
    fn warn(&self, _: &str) {}
    fn wants_checkpoint(&self, done: u64) -> bool {
        done == self.after
    }
    fn checkpoint(&self, state: &Snapshot) -> Result<()> {
        if state.step() == self.after {
            *self.state.lock().unwrap() = Some(state.clone());
        }
        Ok(())
    }
}

/// Levels of a pixel: 0 to 4, the first likeliest.
fn level(row: usize, pixel: usize) -> f32 {
    let z = Streams::new(7).normal("levels", (row * 8 + pixel) as u64, 1)[0];
    (1.3 * z.abs()).floor().min(4.0)
}

const ROWS: usize = 400;

/// Writes images of 2 x 4 pixels, and a configuration for them with `noise`.
fn images(dir: &Path, noise: &Value) -> pretrain_flow::Config {
    let file = dir.join("images.h5");
    let values: Vec<f32> = (0..ROWS * 8).map(|i| level(i / 8, i % 8)).collect();
    let shape = [ROWS, 2, 4];
    write_datasets(&file, &[("images", &shape, OutData::F32(&values))], &[]).unwrap();
    serde_json::from_value(json!({
        "features": {"file": file, "dataset": "images"},
        "model": {"kind": "coupling", "layers": 4, "width": 16, "depth": 1},
        "rows": {"patches": 2},
        "normalisation": {"levels": 5},
        "noise": noise,
        "test": {"fraction": 0.2},
        "steps": 40,
        "batch": 32,
        "evaluate_every": 10,
        "samples": 50,
        "compared": 0,
    }))
    .unwrap()
}

fn run(
    config: &pretrain_flow::Config,
    dir: &Path,
    resume: Option<Snapshot>,
    monitor: &dyn Monitor,
) -> Summary {
    let nothing = Upstream(Vec::new());
    let Preparation::Ready(ready) = config.prepare(&nothing, 1, &Silent).unwrap() else {
        panic!("everything is made")
    };
    let context = Context {
        streams: Streams::of_stage("pretrain-flow", 1),
        device: Device::flex(),
        replicas: Vec::new(),
        dir: dir.to_owned(),
        resume,
        kept: std::env::temp_dir(),
        monitor,
    };
    ready.run(&nothing, &context).unwrap()
}

/// Fails if noise depends on how often it was drawn, or that of held-out points on training.
#[test]
fn a_training_with_noise_goes_on_to_the_same_bits() {
    for noise in [
        json!({"kind": "uniform"}),
        json!({"kind": "gaussian", "sigma": 0.1}),
    ] {
        let dirs = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let [data, whole, resumed] = dirs.each_ref().map(|dir| dir.path());
        let config = images(data, &noise);
        let keeps = Keeps {
            after: 17,
            ..Keeps::default()
        };
        run(&config, whole, None, &keeps);
        let state = keeps.state.into_inner().unwrap();
        assert!(state.is_some());
        run(&config, resumed, state, &Silent);
        for file in ["flow.safetensors", "test.h5", "held_out.h5"] {
            let [a, b] = [whole, resumed].map(|dir| std::fs::read(dir.join(file)).unwrap());
            assert!(a == b, "{file}, {noise}");
        }
    }
}

/// Fails if kept points have no noise or noise of another size, or features of samples keep it; and if
/// figures, learning curve and the flow's own conversion to bits differ.
#[test]
fn levels_are_dequantised_and_come_back_whole() {
    let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [data, dir] = dirs.each_ref().map(|dir| dir.path());
    let config = images(data, &json!({"kind": "uniform"}));
    let keeps = Keeps::default();
    let summary = run(&config, dir, None, &keeps);
    let flow = Flow::load(dir, &Placement::on(&Device::flex())).unwrap();
    let (part, kept) = KeptPoints::shown(dir).unwrap().unwrap();
    let undo = flow.normaliser.inverter().unwrap();
    let features = undo(&kept.points.values);
    let noise: Vec<f32> = features.iter().map(|x| x.fract()).collect();
    let count = noise.len() as f32;
    let mean = noise.iter().sum::<f32>() / count;
    let variance = noise.iter().map(|u| (u - mean).powi(2)).sum::<f32>() / count;
    assert!(
        (mean - 0.5).abs() < 0.05 && (variance - 1.0 / 12.0).abs() < 0.015,
        "{mean} {variance}"
    );
    let images = flow.features_of().unwrap()(&kept.points.values);
    for (image, &item) in images.chunks(8).zip(kept.items.iter().step_by(2)) {
        let expected: Vec<f32> = (0..8).map(|pixel| level(item as usize, pixel)).collect();
        assert_eq!(image, expected);
    }

    let figure = |name: &str| summary.get(&of_rows(part.word(), name)).unwrap();
    let bits = figure(names::BITS);
    let own = flow.bits().unwrap().of(figure(names::NLL));
    assert!((bits - own).abs() < 1e-9, "{bits} {own}");
    assert!(
        summary
            .get(&error_beside(&of_rows(part.word(), names::BITS)))
            .unwrap()
            > 0.0
    );
    assert!((figure(names::UNIFORM_BITS) - 5f64.log2()).abs() < 1e-12);
    let [gaussian, histogram] = [names::GAUSSIAN_BITS, names::HISTOGRAM_BITS].map(figure);
    println!("flow {bits:.3}, Gaussian {gaussian:.3}, histogram {histogram:.3}");
    // pixels are independent: no likelihood is below their entropy, 1.46 bits
    assert!((1.36..1.6).contains(&histogram) && gaussian > histogram && bits > histogram - 0.05);
    let held_out_bits = summary.get(&of_rows("held-out", names::BITS)).unwrap();
    assert!(
        (held_out_bits - bits).abs() < 0.3 && held_out_bits != bits,
        "{held_out_bits} {bits}"
    );
    let row = keeps.row.into_inner().unwrap();
    let column = |name: &str| row.iter().find(|(n, _)| *n == name).unwrap().1;
    let held_out = column(curves::HELD_OUT_LOSS);
    let expected = flow.bits().unwrap().of(held_out);
    assert!((column(curves::HELD_OUT_BITS) - expected).abs() < 1e-9);
    assert!(column(curves::TRAIN_BITS).is_finite());
}

/// Fails if kept points have no noise, or figures do not say that they have.
#[test]
fn gaussian_noise_is_that_of_the_flows_coordinates() {
    let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [data, dir] = dirs.each_ref().map(|dir| dir.path());
    let config = images(data, &json!({"kind": "gaussian", "sigma": 0.1}));
    let summary = run(&config, dir, None, &Silent);
    assert_eq!(summary.get(names::NOISE), Some(0.1));
    let (_, kept) = KeptPoints::shown(dir).unwrap().unwrap();
    let flow = Flow::load(dir, &Placement::on(&Device::flex())).unwrap();
    assert_eq!(flow.bits(), None);
    let squares: f64 = (kept
        .points
        .values
        .chunks(8)
        .zip(kept.items.iter().step_by(2)))
    .flat_map(|(point, &item)| {
        let image: Vec<f32> = (0..8).map(|pixel| level(item as usize, pixel)).collect();
        let clean = flow.points_of(&image);
        point
            .iter()
            .zip(clean)
            .map(|(a, b)| f64::from(a - b).powi(2))
            .collect::<Vec<_>>()
    })
    .sum();
    let sigma = (squares / kept.points.values.len() as f64).sqrt();
    assert!((sigma - 0.1).abs() < 0.01, "{sigma}");
}

#[test]
fn what_is_no_level_is_refused_with_its_row() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = images(dir.path(), &json!({"kind": "uniform"}));
    let refused = |config: &pretrain_flow::Config| {
        let prepared = config.prepare(&Upstream(Vec::new()), 1, &Silent);
        prepared.err().expect("refused").to_string()
    };
    config.normalisation.levels = Some(4);
    let why = refused(&config);
    for part in [
        "normalisation.levels",
        "found 4",
        "from 0 to 4",
        "at least 5",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
    let values: Vec<f32> = (0..ROWS * 8)
        .map(|i| level(i / 8, i % 8) + if i == 83 { 0.25 } else { 0.0 })
        .collect();
    let data = OutData::F32(&values);
    let file = dir.path().join("images.h5");
    write_datasets(&file, &[("images", &[ROWS, 2, 4], data)], &[]).unwrap();
    config.normalisation.levels = None;
    let why = refused(&config);
    for part in ["noise", "in row 10 of /images", ".25", "255"] {
        assert!(why.contains(part), "{part}: {why}");
    }
}
