//! The comparison with PyTorch: its driver, and the answers of its workers.

#[path = "../../benches/peer/exchange.rs"]
mod exchange;
#[path = "../../benches/peer/held_out.rs"]
mod held_out;
#[expect(unused_imports, reason = "the benchmarks use more of it")]
#[path = "../../benches/jobs/mod.rs"]
mod jobs;
#[path = "../../benches/peer/protocol.rs"]
mod protocol;
#[path = "../../benches/peer/tasks.rs"]
mod tasks;
#[path = "../../benches/peer/worker.rs"]
mod worker;

use crate::project::{Project, output, skipped};
use crate::python::python;
use exchange::{Tensors, write_flow};
use held_out::HeldOut;
use jobs::{
    DATASET, MEMORY, OfImages, OfProbe, OfVae, Shown, Size, Stream, TarSize, points, trained_flow,
};
use latent_align_stages::priors::VelocityNetworkConfig;
use latent_align_stages::random::Streams;
use latent_align_stages::training::MatmulPrecision;
use protocol::{Kind, Matching, Reply, Request, Task, Wanted};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the driver and PyTorch's workers are.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peer");

/// A very small network.
const TINY: Size = Size {
    dimensions: 2,
    width: 8,
    blocks: 1,
    batch: 32,
};

/// The answers of this program's worker to `requests`.
fn answers(requests: &[Request]) -> Vec<Reply> {
    let lines = requests
        .iter()
        .map(|r| serde_json::to_string(r).unwrap() + "\n");
    let mut output = Vec::new();
    worker::serve(lines.collect::<String>().as_bytes(), &mut output).unwrap();
    let lines = std::str::from_utf8(&output).unwrap().lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn values(reply: &Reply) -> &[f64] {
    match reply {
        Reply::Values(values) => values,
        reply => panic!("{reply:?}"),
    }
}

#[test]
fn our_worker_runs_each_task_and_says_how_long_a_step_took() {
    let [f32, bf16] = [MatmulPrecision::F32, MatmulPrecision::Bf16];
    for task in [
        Task::train(TINY, f32),
        Task::train(TINY, bf16),
        Task::align(TINY, f32),
        Task::align(TINY, bf16),
        Task::Divergence { size: TINY.into() },
    ] {
        let replies = answers(&[Request::Prepare(task), Request::Steps(2)]);
        assert!(matches!(replies[0], Reply::Ready(_)), "{replies:?}");
        assert!(
            matches!(replies[1], Reply::Seconds(s) if s > 0.0),
            "{replies:?}"
        );
    }
}

#[test]
fn our_worker_says_what_it_cannot_do_and_goes_on() {
    let mut replies = Vec::new();
    let requests = "nonsense\n{\"steps\": 1}\n{\"product\": {\"side\": 4, \"times\": 3}}\n";
    worker::serve(requests.as_bytes(), &mut replies).unwrap();
    let replies = String::from_utf8(replies).unwrap();
    let replies: Vec<Reply> = replies
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert!(matches!(&replies[0], Reply::Failed(why) if why.contains("not understood")));
    assert!(matches!(&replies[1], Reply::Failed(why) if why.contains("no task is set up")));
    assert_eq!(values(&replies[2]).len(), 3);
}

#[test]
fn a_fit_lowers_the_held_out_loss_that_both_sides_share() {
    let project = Project::new();
    let file = project.path("points.safetensors");
    let mut given = HeldOut::draw(2, Streams::new(1));
    given.add("rows", [320, 2], points(2, 320, Streams::new(0)));
    given.write(&file).unwrap();
    let fit = Task::Fit {
        size: TINY.into(),
        flow: PathBuf::new(), // ours draws its weights
        points: file,
        optimiser: Default::default(),
        seed: 0,
    };
    let loss = || Request::HeldOutLoss(());
    let replies = answers(&[Request::Prepare(fit), loss(), Request::Steps(200), loss()]);
    let (before, after) = (values(&replies[1])[0], values(&replies[3])[0]);
    // at first the velocity is zero: the loss is the mean square of data - noise, 2 per dimension
    assert!((before - 4.0).abs() < 0.2, "{before}");
    assert!(after < 0.97 * before, "{before} {after}");
}

/// A solve of a few points.
fn solve(project: &Project, nested: bool) -> Task {
    let device = jobs::device().unwrap();
    let flow = trained_flow(TINY, 30, &device).unwrap();
    let rows = points(2, 12, Streams::new(3));
    let (weights, file) = (
        project.path("flow.safetensors"),
        project.path("points.safetensors"),
    );
    write_flow(&flow, &weights).unwrap();
    let mut tensors = Tensors::default();
    tensors.add("points", [12, 2], rows);
    tensors.write(&file).unwrap();
    Task::Likelihood {
        size: TINY.into(),
        flow: weights,
        points: file,
        nested,
        tolerance: 1e-4,
    }
}

#[track_caller]
fn within_a_thousandth(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() < 1e-3, "{a} {b}");
    }
}

#[test]
fn a_solve_of_ours_is_that_of_f64() {
    let project = Project::new();
    let replies = answers(&[
        Request::Prepare(solve(&project, false)),
        Request::Steps(1),
        Request::Likelihoods(()),
        Request::Reference(()),
    ]);
    within_a_thousandth(values(&replies[2]), values(&replies[3]));
}

/// A Python with PyTorch, as installed by `make peer` and set by `make test`.
fn pytorch() -> Option<PathBuf> {
    let named = |variable| std::env::var_os(variable).filter(|name| !name.is_empty());
    let python = named("LATENT_ALIGN_PEER_PYTHON").or_else(|| named("LATENT_ALIGN_PYTHON"));
    let python = PathBuf::from(python.unwrap_or("python3".into()));
    let probe = output(Command::new(&python).args(["-c", "import h5py, torch, torchdiffeq"]));
    if probe.is_ok_and(|p| p.status.success()) {
        return Some(python);
    }
    skipped("no Python with h5py, torch and torchdiffeq");
    None
}

/// The answers to `requests` of PyTorch's worker with `care`, eager.
fn pytorch_answers(python: &Path, care: &str, requests: &[Value]) -> Vec<Value> {
    let mut command = Command::new(python);
    command
        .arg(Path::new(SCRIPTS).join("worker.py"))
        .args([care, "eager", "1"])
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut worker = piped.spawn().unwrap();
    let lines: String = requests.iter().map(|r| format!("{r}\n")).collect();
    // both directions are short enough for the pipes
    let mut input = worker.stdin.take().unwrap();
    input.write_all(lines.as_bytes()).unwrap();
    drop(input);
    let done = worker.wait_with_output().unwrap();
    let replies = String::from_utf8(done.stdout).unwrap();
    let replies: Vec<Value> = (replies.lines())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(replies.len(), requests.len(), "{replies:?}");
    replies
}

#[test]
fn a_solve_of_pytorch_with_our_weights_is_that_of_f64() {
    let Some(python) = pytorch() else { return };
    let project = Project::new();
    for nested in [false, true] {
        let task = solve(&project, nested);
        let requests = [
            json!({"prepare": task}),
            json!({"steps": 1}),
            json!({"likelihoods": null}),
        ];
        let found = pytorch_answers(&python, "careful", &requests)[2]["values"].take();
        let found: Vec<f64> = serde_json::from_value(found).unwrap();
        let ours = answers(&[Request::Prepare(task), Request::Reference(())]);
        within_a_thousandth(&found, values(&ours[1]));
    }
}

/// A small network of flows, with several times in a step.
const SMALL: Size = Size {
    dimensions: 3,
    width: 32,
    blocks: 2,
    batch: 128,
};

/// Fails if PyTorch has another loss, sampler or posterior than this program, so that rows would compare
/// different work: if careful PyTorch shares a time among the wrong points, takes another row of its table, or
/// forgets a factor. And if PyTorch's worker does not notice that results differ.
#[test]
fn pytorch_computes_what_our_jobs_compute_and_notices_what_differs() {
    let Some(python) = pytorch() else { return };
    let samples = TarSize {
        batch: 3,
        ..TarSize::DIGITS
    };
    let steps = [
        Task::train(SMALL, MatmulPrecision::F32),
        Task::align(SMALL, MatmulPrecision::F32),
    ];
    let others = [
        Task::Autoencoder {
            size: OfImages::ALL[0],
        },
        Task::Classifier {
            size: OfImages::ALL[2],
        },
        Task::Tarflow {
            size: TarSize::DIGITS,
        },
        Task::TarflowNll { size: samples },
        Task::TarflowSamples { size: samples },
        Task::Probe {
            of: OfProbe::ALL[0],
        },
        Task::Student(Matching::ours()),
        Task::Weigh { samples: 60 },
        Task::Divergence { size: TINY.into() },
    ];
    let vaes = OfVae::ALL.map(|posterior| Task::Vae { posterior });
    let careful: Vec<Task> = (steps.iter().cloned()).chain(others).chain(vaes).collect();
    for (care, tasks) in [("naive", &steps[..]), ("careful", &careful)] {
        let project = Project::new();
        let mut requests = Vec::new();
        for (number, task) in tasks.iter().enumerate() {
            let folder = project.path(&number.to_string());
            std::fs::create_dir(&folder).unwrap();
            let show = Request::Show {
                folder: folder.clone(),
            };
            let replies = answers(&[Request::Prepare(task.clone()), show]);
            assert!(
                matches!(replies[1], Reply::Written(())),
                "{task:?}: {replies:?}"
            );
            requests.push(json!({"prepare": task}));
            requests.push(json!({"agree": {"folder": folder}}));
            requests.push(json!({"steps": 1}));
        }
        // the last again, with a result that is a tenth larger
        let last = project.path(&(tasks.len() - 1).to_string());
        let found = Shown(&last).file("found");
        let loss = Tensors::read(&found).unwrap().take("loss").unwrap()[0];
        let mut larger = Tensors::default();
        larger.add("loss", [1], vec![1.1 * loss]);
        let copy = project.path("other");
        std::fs::create_dir(&copy).unwrap();
        for file in std::fs::read_dir(&last).unwrap().flatten() {
            std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
        }
        larger.write(&Shown(&copy).file("found")).unwrap();
        requests.push(json!({"agree": {"folder": copy}}));

        let replies = pytorch_answers(&python, care, &requests);
        for (task, replies) in tasks.iter().zip(replies.chunks(3)) {
            let by = replies[1]["differs"]["by"].as_f64();
            assert!(
                by.is_some_and(|by| by < 1e-3),
                "{care}, {task:?}: {replies:?}"
            );
            assert!(replies[2]["seconds"].as_f64() > Some(0.0), "{task:?}");
        }
        let differs = &replies.last().unwrap()["differs"]["by"];
        let by = differs.as_f64().unwrap();
        assert!((by - 0.1 / 1.1).abs() < 1e-3, "{care}: {by}");
    }
}

/// Detects: a result that is NaN, or infinite where the other is not, called equal: any comparison with NaN is false.
#[test]
fn what_is_not_a_number_differs_infinitely() {
    let Some(python) = pytorch() else { return };
    let script = "
import math, torch
from differences import difference
one = {'a': torch.ones(3)}
for bad in math.nan, math.inf:
    other = {'a': torch.tensor([1.0, bad, 1.0])}
    for theirs, ours in (one, other), (other, one):
        assert difference(theirs, ours) == (math.inf, 'a'), (bad, difference(theirs, ours))
assert difference(one, one)[0] == 0.0
";
    let done = output(
        Command::new(python)
            .args(["-B", "-c", script])
            .env("PYTHONPATH", SCRIPTS),
    );
    let done = done.unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// Runs the driver's own tests, with workers that pretend. Among others they fail if a row whose results differ is
/// timed, or one that agrees is refused.
#[test]
fn the_driver_passes_its_tests() {
    let Some(python) = python("json") else { return };
    let tests = output(
        Command::new(python)
            .args(["-B", "-m", "unittest", "discover", "-s"])
            .arg(Path::new(SCRIPTS).join("driver")),
    );
    let tests = tests.unwrap();
    let said = String::from_utf8_lossy(&tests.stderr);
    assert!(tests.status.success(), "{said}");
    assert!(!said.contains("Ran 0 tests"), "{said}");
}

#[test]
fn the_necessary_arithmetic_is_counted_by_hand() {
    // one block of width 8, frequencies as configurations have them, 32 rows at 32 times
    let frequencies = VelocityNetworkConfig::default().frequencies as f64;
    let row = 3.0 * 128.0 + 5.0 * 16.0;
    let time = 3.0 * (192.0 + 128.0 + 64.0) + 2.0 * 8.0 * frequencies;
    let by_hand = 2.0 * 32.0 * (row + time);
    assert_eq!(TINY.fit().times, 32);
    assert_eq!(TINY.necessary_operations(), by_hand);
}

#[test]
fn our_worker_streams_batches() {
    let project = Project::new();
    let file = project.path("features.h5");
    Stream::write(&file, 400, 3).unwrap();
    let task = Task::Stream {
        file,
        dataset: DATASET.to_owned(),
        batch: 64,
        memory: MEMORY,
    };
    let replies = answers(&[Request::Prepare(task), Request::Steps(20)]);
    assert!(matches!(replies[1], Reply::Seconds(_)), "{replies:?}");
}

/// Fails if the driver and this program name a kind of task differently, or the driver reads a setting that its
/// tasks do not have.
#[test]
fn the_driver_knows_the_tasks_that_our_worker_offers() {
    let Some(python) = python("json") else { return };
    let driver = |code: &str, argument: String| -> Value {
        let mut command = Command::new(&python);
        command.args(["-B", "-c", code]).arg(argument);
        let done = output(command.current_dir(Path::new(SCRIPTS).join("driver"))).unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{said}");
        serde_json::from_slice(&done.stdout).unwrap()
    };
    let project = Project::new();
    let mut offers = serde_json::Map::new();
    let names = driver(
        "import json, kinds; print(json.dumps(list(kinds.KINDS)))",
        String::new(),
    );
    for name in names.as_array().unwrap() {
        let kind = serde_json::from_value(name.clone()).unwrap();
        if [Kind::Likelihood, Kind::Nested, Kind::Stream].contains(&kind) {
            continue; // train a flow, or write a large file
        }
        let wanted = Wanted {
            kind,
            precision: MatmulPrecision::F32,
            paper: false,
            seed: 0,
            folder: project.path(""),
        };
        let replies = answers(&[Request::Tasks(wanted)]);
        let Reply::Tasks(found) = &replies[0] else {
            panic!("{name}: {replies:?}");
        };
        assert!(!found.is_empty(), "{name}");
        offers.insert(name.as_str().unwrap().to_owned(), json!(found));
    }
    let code = "import json, kinds, sys; offers = json.loads(sys.argv[1]); print(json.dumps({name: \
                [kinds.KINDS[name].target_of(row['task']).at_least for row in rows] for name, rows in offers.items()}))";
    let targets = driver(code, Value::Object(offers).to_string());
    assert_eq!(
        targets["train"],
        json!([1.3, 1.3, 1.3, 1.3, 1.15, 1.15, 1.15])
    );
    assert_eq!(targets["tarflow-samples"], json!([3.0, 1.1]));
    assert_eq!(targets["autoencoder"], json!([1.5, 1.5, 1.3, 1.3]));
    assert_eq!(targets["divergence"], json!([2.0, 1.35, 1.35]));
}
