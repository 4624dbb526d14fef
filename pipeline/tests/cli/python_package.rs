//! The Python package in `python/`: it opens runs, computes the same numbers as this program from the same draws,
//! extracts features, refuses unknown files, and installs.

mod conditional;
mod extracting;
mod layouts;
mod posteriors;
mod sequences;

use crate::documents::{current, root};
use crate::project::{Project, output, skipped};
use crate::python::probed;
use crate::tiny::noise;
use burn::tensor::{DType, Device, Tensor};
use latent_align_hdf5::read_dataset_i64;
use latent_align_stages::alignment::{Weighted, Weighting, alignment_loss};
use latent_align_stages::priors::{Flow, NllOptions, Placement, Points, VelocityField};
use latent_align_stages::random::{Streams, normal, stratified_times};
use latent_align_stages::tensors::{from_f64, to_f64};
use polars::prelude::{DataFrame, ParquetReader, SerReader as _};
use rand::RngExt as _;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Python with PyTorch and what reads our files, such as `make peer` installs and `make test` names, or `None` with
/// the reason said.
pub fn pytorch() -> Option<PathBuf> {
    let named = |variable| std::env::var_os(variable).filter(|name| !name.is_empty());
    let python = named("LATENT_ALIGN_PEER_PYTHON").or_else(|| named("LATENT_ALIGN_PYTHON"));
    let python = PathBuf::from(python.unwrap_or("python3".into()));
    let cannot = "cannot import h5py, safetensors and torch; `make peer` installs them";
    let probe = "import h5py, safetensors, torch";
    probed(python, probe, cannot, "LATENT_ALIGN_REQUIRE_TORCH")
}

/// `script` of the package's tests; one thread, for others run beside it.
fn script(python: &Path, name: &str) -> Command {
    let package = root().join("python");
    let mut command = Command::new(python);
    command
        .arg(package.join("tests").join(name))
        .env("PYTHONPATH", &package)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("OMP_NUM_THREADS", "1");
    command
}

/// What `command` prints; it must succeed.
#[track_caller]
fn printed(command: &mut Command) -> String {
    let done = output(command).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let [out, err] = [text(&done.stdout), text(&done.stderr)];
    assert!(done.status.success(), "{out}\n{err}");
    out
}

/// Every result of the package for the run `name` agrees to a relative 1e-5 with this program; at least `least`
/// results.
#[track_caller]
fn agrees(python: &Path, project: &Project, check: &str, name: &str, least: usize) {
    let mut command = script(python, "agreement.py");
    command
        .arg(check)
        .arg(project.path("artifacts/runs").join(name))
        .arg(project.path(&given(name)));
    let found: BTreeMap<String, f64> = serde_json::from_str(&printed(&mut command)).unwrap();
    println!("{name}: {found:?}");
    assert!(found.len() >= least, "{found:?}");
    for (what, difference) in found {
        assert!(difference < 1e-5, "{name}, {what}: {difference:e}");
    }
}

/// The file with the results of this program for the run `name`, and their draws.
fn given(name: &str) -> String {
    format!("{name}-given.h5")
}

/// The folder of a stage of a run.
fn stage(project: &Project, name: &str, stage: &str) -> PathBuf {
    project.path("artifacts/runs").join(name).join(stage)
}

/// The points of `region` [n, D] in the run's `points.parquet`, and a column of it.
fn measured(
    project: &Project,
    name: &str,
    region: &str,
    width: usize,
    column: &str,
) -> (Vec<f64>, Vec<f64>) {
    let file = stage(project, name, "estimate-nll").join("points.parquet");
    let frame = ParquetReader::new(std::fs::File::open(file).unwrap());
    let frame = frame.finish().unwrap();
    let regions = frame.column("region").unwrap().str().unwrap().clone();
    let of_region: Vec<usize> = (regions.iter().enumerate())
        .filter(|(_, found)| *found == Some(region))
        .map(|(row, _)| row)
        .collect();
    assert!(!of_region.is_empty(), "no region {region}");
    let pick = |frame: &DataFrame, column: &str| -> Vec<f64> {
        let values = frame.column(column).unwrap().f64().unwrap();
        let values: Vec<f64> = values.iter().map(|v| v.unwrap()).collect();
        of_region.iter().map(|&row| values[row]).collect()
    };
    let axes: Vec<_> = (0..width)
        .map(|axis| pick(&frame, &format!("y{axis}")))
        .collect();
    let points = (0..of_region.len()).flat_map(|row| axes.iter().map(move |axis| axis[row]));
    (points.collect(), pick(&frame, column))
}

/// The flow of a run in f64, for gradients.
fn wide_flow(project: &Project, name: &str) -> Flow {
    let place = Placement {
        dtype: DType::F64,
        ..Placement::on(&Device::flex()).for_gradients()
    };
    Flow::load(&stage(project, name, "pretrain-flow"), &place).unwrap()
}

/// Adds `values` to the file of a run as the dataset `name` of `shape`.
fn add_dataset_of<const D: usize>(
    project: &Project,
    file: &str,
    name: &str,
    shape: &[usize],
    values: Tensor<D>,
) {
    project.add_dataset(file, name, shape, &to_f64(values).unwrap());
}

/// Losses of training with their draws, their gradients, and velocities, over rows of `width`.
fn add_losses(project: &Project, file: &str, field: &dyn VelocityField, width: usize) {
    const ROWS: usize = 32;
    const DRAWS: usize = 4;
    let device = Device::flex().autodiff();
    let values = Streams::new(3).normal("latents", 0, ROWS * width);
    let values: Vec<f64> = values.into_iter().map(f64::from).collect();
    let rows = || from_f64::<2>(values.clone(), [ROWS, width], DType::F64, &device).require_grad();
    project.add_dataset(file, "latents", &[ROWS, width], &values);
    let draws = || Streams::new(4).at("draws", 0);
    for weighting in Weighting::ALL {
        let y = rows();
        let loss = alignment_loss(
            field,
            y.clone(),
            Weighted::new(weighting),
            DRAWS,
            &mut draws(),
        );
        let gradient = to_f64(y.grad(&loss.backward()).unwrap()).unwrap();
        let loss = to_f64(loss).unwrap();
        project.add_dataset(file, &format!("{weighting}_loss"), &[1], &loss);
        let name = format!("{weighting}_gradient");
        project.add_dataset(file, &name, &[ROWS, width], &gradient);
    }
    // 128 draws are 64 groups of 2: times first, then noise
    let groups = DRAWS * ROWS / 2;
    let mut rng = draws();
    let shares = stratified_times(&mut rng, groups);
    project.add_dataset(file, "shares", &[groups], &shares);
    let noise = normal(&mut rng, groups * 2 * width);
    project.add_dataset(file, "noise", &[groups, 2, width], &noise);

    let times: Vec<f64> = (0..ROWS).map(|i| i as f64 / (ROWS - 1) as f64).collect();
    let x: Tensor<3> = rows().inner().unsqueeze_dim(1);
    let velocity = field.velocity(Tensor::from_inner(x), &times);
    project.add_dataset(file, "times", &[ROWS], &times);
    add_dataset_of(project, file, "velocity", &[ROWS, width], velocity);
}

const FLOW: &str = "\
name: flow
pretrain_flow:
  features: {file: features.h5}
  test: {fraction: 0.1}
  model: {kind: flow_matching, network: {width: 16, blocks: 2, frequencies: 8, time_scale: 10}, times: 8}
  optimiser: {learning_rate: 1.0e-2}
  steps: 100
  batch: 64
  samples: 20
  nll_points: 0
train_autoencoder:
  data: {file: vectors.h5, dataset: vectors, maximum: 2}
  test: {fraction: 0.2}
  architecture: {kind: dense, widths: [12, 8]}
  latent: {width: 3}
  posterior: {kind: gaussian}
  regulariser: {kind: flow_kl, draws: 2}
  steps: 60
  batch: 32
estimate_nll: {points: 40, draws: 192, precision: f64, tolerance: 1.0e-7, box_points: 0, gradient_points: 0, check_points: 0}
";

/// Correlated features that are not normal.
fn feature(row: usize, column: usize) -> f32 {
    let x = 4.0 * noise(row, 0) - 2.0;
    [x, x * x, noise(row, 1) - x][column]
}

/// A flow with a network, trained until none of its layers is zero.
fn flow() -> Project {
    let project = Project::new();
    project.write_features("features.h5", "features", 400, 3, feature);
    project.write_features("vectors.h5", "vectors", 200, 4, noise);
    project.write("flow.yaml", FLOW);
    project.run(&["run", "flow.yaml"]).expect(0, &["# flow"]);
    project
}

/// The noise behind the samples of `count` points of `width` numbers.
fn sample_noise(count: usize, width: usize) -> Vec<f32> {
    Streams::of_stage("pretrain-flow", 0).normal("samples", 0, count * width)
}

/// Adds the noise behind the latents of the test rows of the run `name`, each of `width` numbers.
fn add_latent_noise(project: &Project, name: &str, width: usize) {
    let file = stage(project, name, "train-autoencoder").join("latents.h5");
    let (_, items) = read_dataset_i64(&file, "test_items").unwrap();
    let count = items.len();
    let streams = Streams::of_stage("train-autoencoder", 0);
    let noise = streams.normal("test latents", 0, count * width);
    project.add_dataset(&given(name), "latent_noise", &[count, width], &noise);
}

/// Fails if a layer, a factor or a sign of the package differs from this program: network, solver, quadrature,
/// divergence, weightings, control variate, normalisation, posterior, decoder.
#[test]
fn the_package_has_the_numbers_of_this_program_for_a_flow_and_an_autoencoder() {
    let Some(python) = pytorch() else { return };
    let project = flow();
    let (points, nll) = measured(&project, "flow", "test features", 3, "nll_ode");
    let n = nll.len();
    let file = given("flow");
    project.write_dataset(&file, "nll_points", &[n, 3], &points);
    project.add_dataset(&file, "nll", &[n], &nll);
    let features: Vec<f32> = (0..1200).map(|i| feature(i / 3, i % 3)).collect();
    project.add_dataset(&file, "features", &[400, 3], &features);
    let data: Vec<f32> = (0..800).map(|i| noise(i / 4, i % 4)).collect();
    project.add_dataset(&file, "data", &[200, 4], &data);
    project.add_dataset(&file, "sample_noise", &[20, 3], &sample_noise(20, 3));
    add_latent_noise(&project, "flow", 3);

    const PROBES: usize = 3;
    let hutchinson = [
        "run",
        "flow.yaml",
        "--set",
        "name=hutchinson",
        "--set",
        "estimate_nll.divergence={kind: hutchinson, probes: 3}",
    ];
    project.run(&hutchinson).expect(0, &[]);
    let column = |name| measured(&project, "hutchinson", "test features", 3, name).1;
    project.add_dataset(&file, "hutchinson_nll", &[n], &column("nll_ode"));
    project.add_dataset(&file, "hutchinson_error", &[n], &column("nll_ode_error"));
    let mut rng = Streams::of_stage("estimate-nll", 0).at("probes", 0);
    let probes: Vec<f32> = (0..n * PROBES * 3)
        .map(|_| if rng.random() { 1.0 } else { -1.0 })
        .collect();
    project.add_dataset(&file, "probes", &[n, PROBES, 3], &probes);

    let flow = wide_flow(&project, "flow");
    let prior = flow.prior.as_ref();
    add_losses(&project, &file, prior.velocity_tracked().unwrap(), 3);
    let few = points[..12].to_vec();
    let rows = from_f64::<3>(few.clone(), [4, 1, 3], DType::F64, &Device::flex());
    let options = NllOptions::exact(1e-3);
    let gradient = prior.nll_gradient(&Points::new(rows), &options, &mut |_| Ok(()));
    project.add_dataset(&file, "gradient_points", &[4, 3], &few);
    project.add_dataset(&file, "nll_gradient", &[4, 3], &gradient.unwrap());
    agrees(&python, &project, "flow", "flow", 16);

    let exported = project.run(&["export", "safetensors", "flow", "--out", "exported"]);
    exported.expect(0, &[]);
    let opened = format!(
        "import latent_align, sys; print(latent_align.open_run({:?}).flow.kind)",
        project.path("exported/flow")
    );
    let mut command = Command::new(&python);
    let package = root().join("python");
    command
        .args(["-c", &opened])
        .env("PYTHONPATH", package)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    assert_eq!(printed(&mut command), "flow_matching\n");
}

/// As in the documentation, on a small run with `images`; and the example.
#[test]
fn the_lines_of_the_documentation_and_the_example_run() {
    let Some(python) = pytorch() else { return };
    let project = flow();
    let runs = project.path("artifacts/runs");
    std::os::unix::fs::symlink("flow", runs.join("digits")).unwrap();
    let documents = current();
    let page = documents.iter().find(|d| d.name() == "docs/python.md");
    let blocks = page.expect("docs/python.md").blocks();
    let of_numbers = blocks
        .iter()
        .filter(|b| b.language == "python" && !b.code.contains(".sequences"));
    let lines: Vec<_> = of_numbers.map(|b| b.code.as_str()).collect();
    assert!(lines.len() >= 2, "{}", lines.len());
    let lines = format!(
        "import torch\nimages = torch.rand(8, 4, 1, 1)\n{}\nprint(nll_of_tokens.values.shape)",
        lines.join("\n")
    );
    let here = |mut command: Command| {
        let package = root().join("python");
        command
            .current_dir(project.path(""))
            .env("PYTHONPATH", package)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("OMP_NUM_THREADS", "1");
        printed(&mut command)
    };
    let mut shown = Command::new(&python);
    shown.args(["-c", &lines]);
    assert_eq!(here(shown), "torch.Size([8, 1])\n");

    let mut example = Command::new(&python);
    example
        .arg(root().join("python/examples/align_your_own_autoencoder.py"))
        .args(["artifacts/runs/digits", "vectors.h5", "--dataset=vectors"])
        .args(["--maximum=2", "--tokens=1", "--steps=150", "--weight=0.1"])
        .args(["--batch=32", "--points=20"]);
    let told = here(example);
    assert!(told.contains("ms a step"), "{told}");
    let fall = told.split("the NLL falls by ").nth(1).expect("a last line");
    let fall: Vec<f64> = (fall.split(' ').filter_map(|word| word.parse().ok())).collect();
    // by more than chance
    assert!(fall[0] > 2.0 * fall[1] && fall[1] > 0.0, "{told}");
}

/// Rows of two tokens of width 2, and a class each.
fn tokens(project: &Project) {
    let bent = |i: usize| feature(i / 4, i % 4 % 3) + 0.1 * noise(i, 1);
    let features: Vec<f32> = (0..1600).map(bent).collect();
    let labels: Vec<u8> = (0..400).map(|i| (i % 4) as u8).collect();
    project.write_dataset("tokens.h5", "features", &[400, 2, 2], &features);
    project.add_dataset("tokens.h5", "labels", &[400], &labels);
}

/// `kind` over rows of tokens, trained a little.
fn prior(project: &Project, name: &str, model: &str, condition: &str) {
    let config = format!(
        "\
name: {name}
pretrain_flow:
  features: {{file: tokens.h5}}
  model: {model}
  rows: sequences
{condition}  test: {{fraction: 0.1}}
  optimiser: {{learning_rate: 1.0e-2}}
  steps: 60
  batch: 64
  samples: 12
  nll_points: 0
estimate_nll: {{points: 100, draws: 192, precision: f64, box_points: 8, gradient_points: 0, check_points: 0}}
"
    );
    let file = format!("{name}.yaml");
    project.write(&file, config);
    project.run(&["run", &file]).expect(0, &["exact"]);
}

const CONDITION: &str = "  condition: {dataset: labels, dropout: 0.1}\n";
const COUPLING: &str = "{kind: coupling, layers: 4, width: 8, depth: 2}";
const SPLINES: &str =
    "{kind: coupling, layers: 4, width: 8, depth: 2, splines: {bins: 5, bound: 2.5}}";
const TARFLOW: &str =
    "{kind: tarflow, blocks: 3, layers: 2, channels: 8, head_width: 4, soft_clip: 4}";
const STARFLOW: &str =
    "{kind: starflow, shallow_blocks: 1, deep_layers: 2, channels: 8, head_width: 4}";
const SEQFLOW: &str =
    "{kind: seqflow, blocks: 3, couplings: 2, hidden: 8, context: {kind: lstm, width: 8}}";

/// Fails if the halves of a coupling, an order of tokens, a rotation, a condition, a factor of a mixture or the
/// order of numbers in a point differ.
#[test]
fn other_kinds_of_prior_have_the_numbers_of_this_program_in_the_package() {
    let Some(python) = pytorch() else { return };
    let project = Project::new();
    tokens(&project);
    for (name, model, condition, figures) in [
        ("normal", "{kind: normal}", "", 13),
        ("mixture", "{kind: mixture, components: 3}", "", 13),
        ("coupling", COUPLING, CONDITION, 6),
        ("splines", SPLINES, CONDITION, 6),
        ("tarflow", TARFLOW, CONDITION, 6),
        ("starflow", STARFLOW, CONDITION, 6),
        ("seqflow", SEQFLOW, "", 6),
    ] {
        prior(&project, name, model, condition);
        let file = given(name);
        let (_, nll) = measured(&project, name, "test features", 4, "nll_exact");
        let (points, of_box) = measured(&project, name, "uniform box", 4, "nll_exact");
        project.write_dataset(&file, "nll", &[nll.len()], &nll);
        project.add_dataset(&file, "box_points", &[8, 4], &points);
        project.add_dataset(&file, "box_nll", &[8], &of_box);
        project.add_dataset(&file, "sample_noise", &[12, 4], &sample_noise(12, 4));
        if let Some(field) = wide_flow(&project, name).prior.velocity_tracked() {
            add_losses(&project, &file, field, 4);
        }
        agrees(&python, &project, "prior", name, figures);
    }
}

/// Fails if a convolution, its padding or the order of stages differs, fixed noise has another scale, or the levels
/// of a latent are put together otherwise.
#[test]
fn a_convolutional_autoencoder_has_the_numbers_of_this_program_in_the_package() {
    let Some(python) = pytorch() else { return };
    let project = Project::new();
    project.write_features("features.h5", "features", 400, 3, feature);
    let images: Vec<u8> = (0..200 * 42).map(|i| (255.0 * noise(i, 0)) as u8).collect();
    project.write_dataset("images.h5", "images", &[200, 1, 7, 6], &images);
    let config = FLOW
        .replace("name: flow", "name: images")
        .replace("vectors.h5, dataset: vectors, maximum: 2", "images.h5")
        .replace(
            "{kind: dense, widths: [12, 8]}",
            "{kind: convolutional, channels: [3, 4]}",
        )
        .replace(
            "{width: 3}",
            "{width: 3, tokens: 2, top: {numbers: 2, widths: [5]}}",
        )
        .replace(
            "{kind: gaussian}",
            "{kind: fixed_noise, scale: 0.3}\n  reconstruction: bernoulli",
        )
        .replace("steps: 100\n", "steps: 2\n");
    project.write("images.yaml", config);
    let run = ["run", "images.yaml", "--until", "train-autoencoder"];
    project.run(&run).expect(0, &["# images"]);
    let file = given("images");
    project.write_dataset(&file, "data", &[200, 1, 7, 6], &images);
    add_latent_noise(&project, "images", 6);
    agrees(&python, &project, "autoencoder", "images", 4);
}

#[test]
fn the_package_refuses_unknown_kinds_damaged_files_and_wrong_arguments() {
    let Some(python) = pytorch() else { return };
    let project = flow();
    tokens(&project);
    prior(&project, "coupling", COUPLING, CONDITION);
    let mut command = script(&python, "refusals.py");
    command
        .arg(project.path("artifacts/runs/flow"))
        .arg(project.path("artifacts/runs/coupling"))
        .arg(project.path("copies"));
    assert_eq!(printed(&mut command), "refused\n");
}

#[test]
fn the_package_installs_with_the_version_of_this_program() {
    let Some(python) = pytorch() else { return };
    let probe = "import setuptools; assert int(setuptools.__version__.split('.')[0]) >= 77";
    if !output(Command::new(&python).args(["-c", probe])).is_ok_and(|p| p.status.success()) {
        skipped("no setuptools 77 beside PyTorch, which an installation without network needs");
        return;
    }
    let project = Project::new();
    // building leaves files beside the sources
    let sources = project.path("python");
    copy(&root().join("python"), &sources);
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "-q", "--no-index", "--no-deps"])
        .args(["--no-build-isolation", "--disable-pip-version-check"])
        .arg("--target")
        .arg(project.path("site"))
        .arg(&sources);
    printed(&mut pip);
    // the package works without what its extra installs
    let script = "import sys; sys.modules.update(dict.fromkeys(['h5py', 'PIL', 'timm', 'transformers'])); \
                  import latent_align; from importlib.metadata import version; \
                  print(latent_align.__file__, latent_align.__version__, version('latent-align'))";
    let mut command = Command::new(&python);
    command
        .args(["-c", script])
        .current_dir(project.path(""))
        .env("PYTHONPATH", project.path("site"));
    let version = env!("CARGO_PKG_VERSION");
    let file = project.path("site/latent_align/__init__.py");
    let expected = format!("{} {version} {version}\n", file.display());
    assert_eq!(printed(&mut command), expected);
    assert!(project.path("site/latent_align/py.typed").exists());
    assert!(project.path("site/latent_align/priors").is_dir());
    let mut extract = Command::new(project.path("site/bin/latent-align-extract"));
    extract
        .arg("--help")
        .current_dir(project.path(""))
        .env("PYTHONPATH", project.path("site"));
    let help = printed(&mut extract);
    assert!(
        help.contains("--pooling") && help.contains("PREFIX"),
        "{help}"
    );
}

/// The folder `from` as `to`.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(std::fs::copy(&path, &target).unwrap()),
        }
    }
}
