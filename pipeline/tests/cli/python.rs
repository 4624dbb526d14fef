//! Files of this program read by Python: h5py opens HDF5 files, TensorBoard event files, safetensors weights, and
//! the code of the documentation reproduces a velocity.

use crate::project::{Project, output, skipped};
use crate::{documents, tiny};
use polars::prelude::{ParquetReader, SerReader as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Python with `modules` (`make test` provides it), or `None` with the reason said.
pub fn python(modules: &str) -> Option<PathBuf> {
    let python = PathBuf::from(std::env::var_os("LATENT_ALIGN_PYTHON").unwrap_or("python3".into()));
    let probe = format!("import {modules}");
    let cannot = format!("cannot import {modules}");
    probed(python, &probe, &cannot, "LATENT_ALIGN_REQUIRE_PYTHON")
}

/// `python` if it can run the code `probe`, or `None` with the reason said, that it `cannot`; a failure if the variable
/// `required` is set.
pub fn probed(python: PathBuf, probe: &str, cannot: &str, required: &str) -> Option<PathBuf> {
    let probed = output(Command::new(&python).args(["-c", probe]));
    if probed.is_ok_and(|p| p.status.success()) {
        return Some(python);
    }
    let reason = format!("{} {cannot}", python.display());
    assert!(std::env::var_os(required).is_none(), "{reason}");
    skipped(&reason);
    None
}

/// What reads arrays.
const NUMBERS: &str = "numpy, h5py, safetensors";

/// Runs `script`, which must succeed.
#[track_caller]
pub fn execute(python: &Path, project: &Project, script: &str) -> String {
    project.write("script.py", script);
    let output = output(Command::new(python).arg(project.path("script.py"))).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn fixture(name: &str) -> String {
    let manifest = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap());
    let path = manifest.join("../stages/tests/fixtures").join(name);
    path.to_str().unwrap().to_owned()
}

#[test]
fn an_imported_flow_reproduces_the_papers_velocity_with_the_lines_of_the_documentation() {
    let Some(python) = python(NUMBERS) else {
        return;
    };
    let project = Project::new();
    let imported = project.run(&["import", &fixture("paper-flow-head.pt"), "--into", "paper"]);
    imported.expect(0, &["flow: "]);

    let documents = documents::current();
    let mut blocks = documents.iter().flat_map(|d| d.blocks());
    let lines = blocks
        .find(|b| b.language == "python")
        .expect("a Python block");
    let script = format!(
        "{lines}
import h5py
w, net = load_flow({flow:?})
io = h5py.File({io:?})
worst = 0
for x, t, v in zip(io['x'][...], io['t'][...], io['velocity'][...]):
    worst = max(worst, abs(velocity(w, net, x[None], 1 - t)[0] + v).max())
print(worst)
",
        lines = lines.code,
        flow = project.path("artifacts/runs/paper/pretrain-flow"),
        io = fixture("paper-flow-head-io.h5"),
    );
    let worst: f64 = execute(&python, &project, &script).trim().parse().unwrap();
    assert!(worst < 1e-5, "{worst}");
}

/// The NLL of test points that the run `name` reports, in nats.
fn test_nll(project: &Project, name: &str) -> f64 {
    let shown = project.run(&["show", name, "--format", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown.expect(0, &[]).stdout).unwrap();
    shown[0]["pretrain-flow: test NLL (nats)"].as_f64().unwrap()
}

/// The code of the documentation that computes TarFlow's NLL.
fn tarflow_lines() -> String {
    let documents = documents::current();
    let mut blocks = documents.iter().flat_map(|d| d.blocks());
    let lines = blocks.find(|b| b.language == "python" && b.code.contains("def tarflow_nll"));
    lines.expect("a Python block").code.to_string()
}

/// Detects: code of the documentation that forgets the logit of pixels, and computes plausible wrong bits.
#[test]
fn the_lines_of_the_documentation_know_the_logit_of_pixels() {
    let Some(python) = python(NUMBERS) else {
        return;
    };
    let project = Project::new();
    let levels: Vec<f32> = (0..400 * 8)
        .map(|i| (9.0 * tiny::noise(i / 8, i % 8)).floor())
        .collect();
    project.write_dataset("pixels.h5", "features", &[400, 8], &levels);
    project.write(
        "pixels.yaml",
        "\
name: pixels
pretrain_flow:
  features: {file: pixels.h5}
  rows: {split: 4}
  normalisation: {levels: 9, logit: 1.0e-3}
  noise: {kind: uniform}
  model: {kind: tarflow, blocks: 2, layers: 1, channels: 16, head_width: 16}
  optimiser: {learning_rate: 1.0e-2, ema: 0.9}
  steps: 40
  batch: 64
  evaluation_points: 16
  samples: 0
  nll_points: 400
  compared: 0
",
    );
    project
        .run(&["run", "pixels.yaml"])
        .expect(0, &["# pixels"]);
    let nll = test_nll(&project, "pixels");
    let folder = project.path("artifacts/runs/pixels/pretrain-flow");
    let script = format!(
        "{lines}
import h5py
w, about = load_tarflow({folder:?})
points = h5py.File({kept:?})['points'][...].astype(np.float64).reshape(-1, about['tokens'], about['dimensions'])
print(tarflow_nll(w, about, points).mean())
",
        lines = tarflow_lines(),
        kept = folder.join("test.h5"),
    );
    let found: f64 = execute(&python, &project, &script).trim().parse().unwrap();
    assert!((found - nll).abs() < 1e-3, "{found} {nll}");
}

/// Fails if the code of the documentation reads the tokens of a block in another order, forgets the causal mask,
/// the condition, the soft clip or a constant of the density.
#[test]
fn an_exported_tarflow_has_the_exact_nll_of_the_lines_of_the_documentation() {
    let Some(python) = python(NUMBERS) else {
        return;
    };
    let project = Project::new();
    let labels: Vec<i64> = (0..400).map(|i| i % 3).collect();
    let features: Vec<f32> = (0..400 * 8)
        .map(|i| tiny::noise(i / 8, i % 8) * 2.0 + labels[i / 8] as f32)
        .collect();
    project.write_dataset("rows.h5", "features", &[400, 8], &features);
    project.add_dataset("rows.h5", "labels", &[400], &labels);
    project.write(
        "rows.yaml",
        "\
name: rows
pretrain_flow:
  features: {file: rows.h5}
  rows: {split: 4}
  condition: {dataset: labels}
  model: {kind: tarflow, blocks: 3, layers: 2, channels: 32, head_width: 16, soft_clip: 3}
  optimiser: {learning_rate: 1.0e-2, ema: 0.9}
  steps: 40
  batch: 64
  evaluation_points: 16
  samples: 0
  nll_points: 400
  compared: 0
",
    );
    project.run(&["run", "rows.yaml"]).expect(0, &["# rows"]);
    project
        .run(&["export", "safetensors", "rows", "--out", "exported"])
        .expect(0, &["files written"]);
    let nll = test_nll(&project, "rows");
    let script = format!(
        "{lines}
import h5py
w, about = load_tarflow({exported:?})
assert max(abs(v).max() for k, v in w.items() if k.endswith('output.weight')) > 0.01
kept = h5py.File({kept:?})
points = kept['points'][...].astype(np.float64).reshape(-1, about['tokens'], about['dimensions'])
classes = np.eye(4)[kept['labels'][...]]
print(tarflow_nll(w, about, points, classes).mean(), tarflow_nll(w, about, points).mean())
",
        lines = tarflow_lines(),
        exported = project.path("exported/rows/pretrain-flow"),
        kept = project.path("artifacts/runs/rows/pretrain-flow/test.h5"),
    );
    let found = execute(&python, &project, &script);
    let found: Vec<f64> = found
        .split_whitespace()
        .map(|v| v.parse().unwrap())
        .collect();
    assert!((found[0] - nll).abs() < 1e-4, "{found:?} {nll}");
    assert!((found[1] - nll).abs() > 1e-2, "{found:?} {nll}");
}

#[test]
fn files_written_here_open_in_h5py_with_their_checksums() {
    let Some(python) = python(NUMBERS) else {
        return;
    };
    let project = Project::new();
    let generated = project.run(&["generate", "moons", "--out", "moons.h5", "--count", "500"]);
    generated.expect(0, &["moons.h5"]);
    project.write(
        "moons.yaml",
        "name: moons\npretrain_flow:\n  features: {file: moons.h5}\n  model: {kind: flow_matching, network: {width: 16, blocks: 1}}\n  \
         steps: 5\n  batch: 64\n  samples: 32\n  nll_points: 8\n",
    );
    project.run(&["run", "moons.yaml"]).expect(0, &["# moons"]);
    let script = format!(
        "
import h5py, numpy as np
root = {root:?}
moons = h5py.File(root + '/moons.h5')['features']
assert moons.shape == (500, 2) and moons.dtype == np.float32 and moons.fletcher32
assert moons.attrs['kind'] == 'moons', dict(moons.attrs)
flow = root + '/artifacts/runs/moons/pretrain-flow/'
held_out = h5py.File(flow + 'held_out.h5')['points']
assert held_out.fletcher32 and abs(held_out[...].mean()) < 1
for part in 'held_out', 'test':
    kept = h5py.File(flow + part + '.h5')
    assert kept['points'].attrs['space'].startswith('points of the flow'), part
    assert len(kept['items']) == len(kept['points']) and kept.attrs['tokens'] == 1
samples = h5py.File(flow + 'samples.h5')
assert samples['points'].shape == (32, 2) and np.isfinite(samples['features'][...]).all()
assert samples['points'].attrs['space'] == held_out.attrs['space']
assert samples['features'].attrs['units'] == 'those of the data'
from safetensors.numpy import load_file
normalisation = load_file(flow + 'normalisation.safetensors')
points = (moons[...] - normalisation['mean']) @ normalisation['matrix']
assert abs(points.std(0) - 1).max() < 0.1, points.std(0)
print('read')
",
        root = project.path(""),
    );
    assert_eq!(execute(&python, &project, &script), "read\n");
}

#[test]
fn exported_event_files_read_back_in_tensorboard() {
    let Some(python) = python("tensorboard.backend.event_processing.event_accumulator") else {
        return;
    };
    let project = tiny::project();
    let images: Vec<f32> = (0..200 * 16).map(|i| tiny::noise(i, 0)).collect();
    project.write_dataset("images.h5", "images", &[200, 1, 4, 4], &images);
    let data = "train_autoencoder.data={file: images.h5}";
    project
        .run(&["run", "tiny.yaml", "--set", data])
        .expect(0, &["# tiny"]);
    let exported = project.run(&["export", "tensorboard", "tiny", "--out", "events"]);
    exported.expect(0, &["3 files written", "tensorboard --logdir events"]);
    let script = format!(
        "
import json, math
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
number = lambda x: x if math.isfinite(x) else None
found = {{}}
for stage in ['pretrain-flow', 'train-autoencoder', 'estimate-nll']:
    run = EventAccumulator({events:?} + '/tiny/' + stage, size_guidance={{'scalars': 0, 'images': 0}})
    run.Reload()
    start = HParamsPluginData.FromString(run.SummaryMetadata('_hparams_/session_start_info').plugin_data.content)
    text = run.Tensors('configuration')[0].tensor_proto.string_val[0].decode()
    found[stage] = dict(
        version=run.file_version,
        scalars={{tag: [(e.step, number(e.value)) for e in run.Scalars(tag)] for tag in run.Tags()['scalars']}},
        images={{tag: [(i.width, i.height, i.encoded_image_string.hex()) for i in run.Images(tag)] for tag in run.Tags()['images']}},
        hparams={{name: value.number_value or value.string_value for name, value in start.session_start_info.hparams.items()}},
        text=text,
    )
print(json.dumps(found))
",
        events = project.path("events"),
    );
    let found = execute(&python, &project, &script);
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    let flow = &found["pretrain-flow"];
    assert_eq!(flow["version"], 2.0);
    assert_eq!(flow["hparams"]["steps"], 20.0);
    assert_eq!(flow["hparams"]["normalisation.whiten"], "per_dimension");
    assert!(flow["text"].as_str().unwrap().contains("steps: 20\n"));

    // The PNG itself, with the size that it says.
    let png =
        std::fs::read(project.path("artifacts/runs/tiny/train-autoencoder/reconstructions.png"))
            .unwrap();
    let [image] = found["train-autoencoder"]["images"]["reconstructions"]
        .as_array()
        .unwrap()
        .as_slice()
    else {
        panic!("{found}");
    };
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    let hex: String = png.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(*image, serde_json::json!([side(16), side(20), hex]));

    // Every number of the learning curves, and every figure of the manifest.
    for stage in ["pretrain-flow", "train-autoencoder", "estimate-nll"] {
        let dir = project.path("artifacts/runs/tiny").join(stage);
        let scalars = &found[stage]["scalars"];
        let mut compared = 0;
        for (tag, step, value) in logged(&dir) {
            let points = scalars[&tag]
                .as_array()
                .unwrap_or_else(|| panic!("no {tag}"));
            let point = points.iter().find(|p| p[0] == step);
            let point = point.unwrap_or_else(|| panic!("no step {step} of {tag}"));
            match point[1].as_f64() {
                Some(read) => assert!(
                    (read - value).abs() <= 1e-6 * value.abs(),
                    "{tag} at {step}"
                ),
                None => assert!(!value.is_finite(), "{tag} at {step}"),
            }
            compared += 1;
        }
        let read = scalars.as_object().unwrap().values();
        assert_eq!(
            read.map(|v| v.as_array().unwrap().len()).sum::<usize>(),
            compared,
            "{stage}"
        );
        assert!(compared > 3, "{stage}");
    }
}

/// Tag, step and value of everything that the artifact in `dir` logged.
fn logged(dir: &Path) -> Vec<(String, u64, f64)> {
    let mut all = Vec::new();
    let mut last = 0;
    if dir.join("metrics.parquet").exists() {
        let file = std::fs::File::open(dir.join("metrics.parquet")).unwrap();
        let frame = ParquetReader::new(file).finish().unwrap();
        let steps = frame.column("step").unwrap().i64().unwrap().clone();
        for column in frame.columns().iter().filter(|c| c.name() != "step") {
            let values = column.f64().unwrap().iter().zip(steps.iter());
            let values = values.filter_map(|(value, step)| Some((value?, step.unwrap() as u64)));
            all.extend(values.map(|(value, step)| (column.name().to_string(), step, value)));
        }
        last = steps.iter().next_back().unwrap().unwrap() as u64;
    }
    let manifest = std::fs::read_to_string(dir.join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    for (name, value) in manifest["figures"].as_object().unwrap() {
        all.push((
            format!("figures/{name}"),
            last,
            value.as_f64().unwrap_or(f64::NAN),
        ));
    }
    all
}
