//! What we write, read by Python: h5py opens our HDF5, and the README's lines reproduce a velocity.

use crate::project::{Project, output};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Python with `modules` (`make test` provides it), or `None` with the reason said.
pub fn python(modules: &str) -> Option<PathBuf> {
    let python = PathBuf::from(std::env::var_os("LATENT_ALIGN_PYTHON").unwrap_or("python3".into()));
    let probe = output(Command::new(&python).args(["-c", &format!("import {modules}")]));
    if probe.is_ok_and(|p| p.status.success()) {
        return Some(python);
    }
    let reason = format!("{} cannot import {modules}", python.display());
    assert!(
        std::env::var_os("LATENT_ALIGN_REQUIRE_PYTHON").is_none(),
        "{reason}"
    );
    eprintln!("skipped: {reason}");
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
fn an_imported_flow_reproduces_the_papers_velocity_with_the_lines_of_the_readme() {
    let Some(python) = python(NUMBERS) else {
        return;
    };
    let project = Project::new();
    let imported = project.run(&["import", &fixture("paper-flow-head.pt"), "--into", "paper"]);
    imported.expect(0, &["flow: "]);

    let readme = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let lines = readme.split("```python\n").nth(1).expect("a Python block");
    let lines = lines.split("```").next().unwrap();
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
        flow = project.path("artifacts/runs/paper/pretrain-flow"),
        io = fixture("paper-flow-head-io.h5"),
    );
    let worst: f64 = execute(&python, &project, &script).trim().parse().unwrap();
    assert!(worst < 1e-5, "{worst}");
}

#[test]
fn files_written_here_open_in_h5py_with_their_checksums() {
    let Some(python) = python(NUMBERS) else {
        return;
    };
    let project = Project::new();
    let generated = project.run(&[
        "features", "generate", "moons", "--out", "moons.h5", "--count", "500",
    ]);
    generated.expect(0, &["moons.h5"]);
    project.write(
        "moons.yaml",
        "name: moons\npretrain_flow:\n  features: {file: moons.h5}\n  network: {width: 16, blocks: 1}\n  \
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
held_out = h5py.File(flow + 'held_out.h5')['features']
assert held_out.fletcher32 and abs(held_out[...].mean()) < 1
samples = h5py.File(flow + 'samples.h5')
assert samples['points'].shape == (32, 2) and np.isfinite(samples['features'][...]).all()
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
