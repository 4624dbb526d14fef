//! The comparison with PyTorch: answers of its workers, and its statistics.

#![expect(dead_code, reason = "the benchmarks use more of it")]

#[path = "../../benches/peer/agreement.rs"]
mod agreement;
#[path = "../../benches/peer/exchange.rs"]
mod exchange;
#[path = "../../benches/peer/held_out.rs"]
mod held_out;
#[expect(unused_imports, reason = "the benchmarks use more of it")]
#[path = "../../benches/jobs/mod.rs"]
mod jobs;
#[path = "../../benches/peer/machine.rs"]
mod machine;
#[path = "../../benches/peer/protocol.rs"]
mod protocol;
#[path = "../../benches/peer/race.rs"]
mod race;
#[path = "../../benches/peer/rounds.rs"]
mod rounds;
#[path = "../../benches/peer/shown.rs"]
mod shown;
#[path = "../../benches/peer/side.rs"]
mod side;
#[path = "../../benches/peer/statistics.rs"]
mod statistics;
#[path = "../../benches/peer/worker.rs"]
mod worker;

use crate::project::{Project, output, skipped};
use agreement::{Given, Step};
use exchange::{Tensors, write_flow};
use held_out::HeldOut;
use jobs::{
    DATASET, MEMORY, OfImages, OfProbe, OfVae, Size, Stream, TarSize, points, reference,
    trained_flow,
};
use latent_align_stages::priors::VelocityNetworkConfig;
use latent_align_stages::random::Streams;
use latent_align_stages::training::MatmulPrecision;
use machine::Usage;
use protocol::{Matching, Reply, Request, Task};
use race::{Moment, first_at};
use rounds::Round;
use side::{SCRIPTS, Side, Way};
use statistics::Spread;
use std::path::PathBuf;
use std::process::Command;

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

/// The NLL task, and what f64 says of it.
fn solve(project: &Project, nested: bool) -> (Task, Vec<f64>) {
    let device = jobs::device().unwrap();
    let flow = trained_flow(TINY, 30, &device).unwrap();
    let rows = points(2, 12, Streams::new(3));
    let (weights, file) = (
        project.path("flow.safetensors"),
        project.path("points.safetensors"),
    );
    write_flow(&flow, &weights).unwrap();
    let mut tensors = Tensors::default();
    tensors.add("points", [12, 2], rows.clone());
    tensors.write(&file).unwrap();
    let task = Task::Likelihood {
        size: TINY.into(),
        flow: weights,
        points: file,
        nested,
        tolerance: 1e-4,
    };
    (task, reference(flow, &rows, TINY).unwrap())
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
    let (task, expected) = solve(&project, false);
    let replies = answers(&[
        Request::Prepare(task),
        Request::Steps(1),
        Request::Likelihoods(()),
    ]);
    within_a_thousandth(values(&replies[2]), &expected);
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

#[test]
fn a_solve_of_pytorch_with_our_weights_is_that_of_f64() {
    let Some(python) = pytorch() else { return };
    let project = Project::new();
    let mut eager = Side::pytorch(Way::CarefulEager, &python, SCRIPTS.as_ref(), 1).unwrap();
    for nested in [false, true] {
        let (task, expected) = solve(&project, nested);
        eager.prepare(task).unwrap();
        eager.run(1).unwrap();
        within_a_thousandth(&eager.values(&Request::Likelihoods(())).unwrap(), &expected);
    }
}

/// Fails if PyTorch has another loss, sampler or posterior than this program, so that rows would compare
/// different work.
#[test]
fn pytorch_computes_what_our_jobs_compute() {
    let Some(python) = pytorch() else { return };
    let samples = TarSize {
        batch: 3,
        ..TarSize::DIGITS
    };
    let tasks = [
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
        Task::Divergence { size: TINY.into() },
    ];
    let vaes = OfVae::ALL.map(|posterior| Task::Vae { posterior });
    let folder = tempfile::tempdir().unwrap();
    let mut eager = Side::pytorch(Way::CarefulEager, &python, SCRIPTS.as_ref(), 1).unwrap();
    for task in tasks.into_iter().chain(vaes) {
        let what = format!("{task:?}");
        let path = folder
            .path()
            .join(blake3::hash(what.as_bytes()).to_string());
        std::fs::create_dir(&path).unwrap();
        let show = Request::Show {
            folder: path.clone(),
        };
        let replies = answers(&[Request::Prepare(task.clone()), show]);
        assert!(
            matches!(replies[1], Reply::Written(())),
            "{what}: {replies:?}"
        );
        eager.prepare(task).unwrap();
        eager.show(&path).unwrap();
        let (greatest, of) = shown::differences(&path).unwrap();
        assert!(greatest < 1e-3, "{what}: {of} {greatest:e}");
        assert!(eager.run(1).unwrap() > 0.0);
    }
}

#[test]
fn what_comes_out_differs_by_its_greatest_number_relative_to_the_size_of_its_tensor() {
    let tensors = |a: &[f32], b: f32| {
        let mut found = Tensors::default();
        found.add("a", [a.len()], a.to_vec());
        found.add("b", [1], vec![b]);
        found
    };
    let of = |other| shown::difference(&tensors(&[1.0, -4.0], 100.0), &other);
    assert_eq!(of(tensors(&[1.0, -4.0], 100.0)).unwrap().0, 0.0);
    assert_eq!(
        of(tensors(&[1.0, -3.0], 99.0)).unwrap(),
        (0.25, "a".to_owned())
    );
    assert_eq!(
        of(tensors(&[f32::NAN, -4.0], 100.0)).unwrap().0,
        f64::INFINITY
    );
    let error = of(tensors(&[1.0], 100.0)).unwrap_err().to_string();
    assert!(
        error.contains("`a`: found 1 numbers, expected 2"),
        "{error}"
    );
    assert!(of(Tensors::default()).is_err());
}

/// Fails if careful PyTorch shares a time among the wrong points, takes another row of its table, or forgets a
/// factor.
#[test]
fn naive_and_careful_pytorch_have_our_loss_and_the_same_gradient() {
    let Some(python) = pytorch() else { return };
    let given = Given::write().unwrap();
    let mut sides = [Way::NaiveEager, Way::CarefulEager]
        .map(|way| Side::pytorch(way, &python, SCRIPTS.as_ref(), 1).unwrap());
    for step in [Step::Training, Step::Alignment] {
        let found = sides.each_mut().map(|side| given.by(side, step).unwrap());
        let difference = given.difference(step, &found);
        assert!(difference < 1e-4, "{step:?}: {difference:e}");
        // and each takes steps that way
        for side in &mut sides {
            assert!(side.run(2).unwrap() > 0.0);
        }
    }
}

#[test]
fn a_difference_is_the_greatest_of_losses_and_gradients_relative_to_their_size() {
    let given = Given::write().unwrap();
    let (loss, gradient) = (2.0, vec![4.0, -8.0]);
    let answer = |loss: f64, gradient: &[f64]| {
        let ours = given.loss();
        [&[loss / 2.0 * ours], gradient].concat()
    };
    let same = answer(loss, &gradient);
    let of = |other: Vec<f64>| given.difference(Step::Training, &[same.clone(), other]);
    assert_eq!(of(same.clone()), 0.0);
    assert_eq!(of(answer(loss, &[4.0, -7.0])), 0.125);
    assert!((of(answer(2.5, &gradient)) - 0.25).abs() < 1e-12);
    assert_eq!(of(answer(loss, &[4.0, f64::NAN])), f64::INFINITY);
}

#[test]
fn a_ratio_is_that_of_the_fastest_of_its_ways() {
    let seconds = [2.0, 9.0, 7.0, 3.0, 5.0];
    let round = Round {
        seconds: Way::ALL.into_iter().zip(seconds).collect(),
        ..Default::default()
    };
    assert_eq!(round.ratio(Way::is_careful), Some(1.5));
    assert_eq!(round.ratio(Way::is_naive), Some(3.5));
    assert_eq!(round.ratio(|_| false), None);
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
fn a_loss_is_first_reached_between_two_turns() {
    let at = |steps: f64, seconds, loss| Moment {
        steps,
        seconds,
        loss,
    };
    let moments = [at(50.0, 1.0, 3.0), at(100.0, 3.0, 2.0), at(150.0, 4.0, 2.5)];
    assert_eq!(first_at(&moments, 2.5), Some(at(75.0, 2.0, 2.5)));
    assert_eq!(
        first_at(&moments, 3.5),
        Some(at(50.0, 1.0, 3.0)).map(|m| Moment { loss: 3.0, ..m })
    );
    assert_eq!(first_at(&moments, 1.0), None);
}

#[test]
fn a_spread_is_median_least_and_greatest() {
    assert_eq!(
        Spread::of([3.0, 1.0, 2.0]).to_string(),
        "2.00 (1.00 to 3.00)"
    );
    assert_eq!(format!("{:.1}", Spread::of([4.0, 1.0])), "2.5 (1.0 to 4.0)");
}

#[test]
fn what_others_used_is_what_the_process_and_its_children_did_not() {
    let process = |id, parent, user, system| {
        format!("{id} (a (b) c) S {parent} 1 1 0 -1 0 0 0 0 0 {user} {system} 0 0 20")
    };
    let usage = |stat: &str, child, stranger| {
        let processes = [
            process(1, 0, 5, 5),
            process(7, 1, 10, 0),
            process(9, 7, child, 5),
            process(8, 1, stranger, 0),
        ];
        Usage::parse(stat, &processes, 7).unwrap()
    };
    let before = usage("cpu  100 0 0 900 0 0 0 0 0 0\n", 0, 0);
    let after = usage("cpu  160 0 20 1110 5 0 0 5 0 0\n", 45, 30);
    // 300 ticks of all cores, of which 85 busy or stolen, 45 of them of the child
    assert!((after.others_since(&before) - 40.0 / 300.0).abs() < 1e-12);
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
