//! The hot paths, named by stage, on the device in LATENT_ALIGN_DEVICE.

#[expect(
    dead_code,
    unused_imports,
    reason = "the comparison with PyTorch uses more of it"
)]
mod jobs;
#[expect(dead_code, reason = "tests use more of it")]
#[path = "../tests/cli/project.rs"]
mod project;
#[expect(dead_code, reason = "tests use more of it")]
#[path = "../tests/cli/tiny.rs"]
mod tiny;

use burn::tensor::Device;
use divan::Bencher;
use jobs::{
    Align, Divergence, Job, Likelihood, OfVae, SampleTarFlow, Size, TarSize, Train, TrainTarFlow,
    TrainVae, points, trained_flow,
};
use latent_align_stages::priors::VelocityNetwork;
use latent_align_stages::random::Streams;
use latent_align_stages::training::MatmulPrecision;
use project::Project;
use std::sync::OnceLock;

/// The allocator of the binary, which affects the cost of tensors.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    latent_align_stages::devices::keep_memory_between_steps();
    divan::main();
}

/// Seconds of measurement per size, for slow jobs.
const SECONDS: u64 = 4;

#[divan::bench(args = Size::ALL, sample_size = 1, max_time = SECONDS)]
fn pretrain_flow_step(bencher: Bencher, size: Size) {
    let device = device();
    time(
        bencher,
        &device,
        Train::on_noise(size, MatmulPrecision::F32, &device),
    );
}

#[divan::bench(args = Size::ALL, sample_size = 1, max_time = SECONDS)]
fn alignment_step(bencher: Bencher, size: Size) {
    let device = device();
    time(
        bencher,
        &device,
        Align::new(size, MatmulPrecision::F32, &device).unwrap(),
    );
}

#[divan::bench(args = TarSize::ALL, sample_size = 1, max_time = SECONDS)]
fn tarflow_step(bencher: Bencher, size: TarSize) {
    let device = device();
    time(bencher, &device, TrainTarFlow::new(size, &device));
}

/// The cost of a step with each posterior, relative to the diagonal Gaussian.
#[divan::bench(args = OfVae::ALL, sample_size = 1, max_time = SECONDS)]
fn vae_step(bencher: Bencher, posterior: OfVae) {
    let device = device();
    time(bencher, &device, TrainVae::new(posterior, &device));
}

/// Samples of MNIST's size in batches, with cached keys and values and without.
#[divan::bench(args = [(16, true), (16, false), (256, true), (256, false)], sample_size = 1, max_time = SECONDS)]
fn tarflow_samples_cached(bencher: Bencher, (batch, cached): (usize, bool)) {
    let device = device();
    let size = TarSize {
        batch,
        ..TarSize::MNIST
    };
    time(bencher, &device, SampleTarFlow::new(size, cached, &device));
}

#[divan::bench(args = [Size::tokens(256, 256), Size::tokens(256, 1024)], sample_size = 1, max_time = SECONDS)]
fn velocity_and_divergence(bencher: Bencher, size: Size) {
    let device = device();
    time(bencher, &device, Divergence::new(size, &device).unwrap());
}

/// The cost of the exact divergence by the dimension of a point.
#[divan::bench(args = [2, 8, 32, 128], sample_size = 1, max_time = SECONDS)]
fn divergence_by_dimensions(bencher: Bencher, dimensions: usize) {
    let device = device();
    let size = Size {
        dimensions,
        ..Size::tokens(256, 256)
    };
    time(bencher, &device, Divergence::new(size, &device).unwrap());
}

/// Points of a solve, and steps of training before it.
const POINTS: usize = 100;
const STEPS: u64 = 100;

/// Tolerances, in the sense of each solver, the loosest first.
const TOLERANCES: [f64; 9] = [1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6];

/// By accuracy in nats: with the loosest tolerance whose worst error is below it for the points
/// that are also solved in f64.
#[divan::bench(args = [1e-2, 1e-3], sample_size = 1, max_time = SECONDS)]
fn nll_solve_of_100_points(bencher: Bencher, nats: f64) {
    let (device, size) = (device(), Size::tokens(256, 256));
    let solved = Solved::once(size, &device);
    let job = TOLERANCES.into_iter().find_map(|tolerance| {
        let (flow, rows) = (solved.flow.clone(), solved.rows.clone());
        let mut job = Likelihood::new(flow, rows, size, tolerance);
        job.step().unwrap();
        let mut errors = job.nll.iter().zip(&solved.reference);
        errors.all(|(a, b)| (a - b).abs() < nats).then_some(job)
    });
    time(bencher, &device, job.expect("one is tight enough"));
}

/// A flow, points, and the NLL of the first of them.
struct Solved {
    flow: VelocityNetwork,
    rows: Vec<f32>,
    reference: Vec<f64>,
}

/// Points whose NLL is known in f64.
const REFERENCES: usize = 16;

impl Solved {
    fn once(size: Size, device: &Device) -> &'static Self {
        static SOLVED: OnceLock<Solved> = OnceLock::new();
        SOLVED.get_or_init(|| {
            let flow = trained_flow(size, STEPS, device).unwrap();
            let rows = points(size.dimensions, POINTS, Streams::new(1));
            let first = &rows[..REFERENCES * size.dimensions];
            let solve = Likelihood::new(flow.clone(), first.to_vec(), size, TOLERANCES[0]);
            let reference = solve.reference().unwrap();
            Self {
                flow,
                rows,
                reference,
            }
        })
    }
}

#[divan::bench(sample_size = 1)]
fn start_up(bencher: Bencher) {
    let project = Project::new();
    bencher.bench_local(|| project.run(&["--version"]));
}

#[divan::bench(sample_size = 1)]
fn plan_with_nothing_to_do(bencher: Bencher) {
    let project = tiny::project();
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    bencher.bench_local(|| {
        project
            .run(&["plan", "tiny.yaml"])
            .expect(0, &["Nothing to do"]);
    });
}

/// Runs the job repeatedly, and waits for the device each time.
fn time(bencher: Bencher, device: &Device, mut job: impl Job) {
    job.step().unwrap(); // job.step().unwrap(); // warm-up
    bencher.bench_local(|| {
        job.step().unwrap();
        jobs::wait_for(device).unwrap();
    });
}

fn device() -> Device {
    jobs::device().unwrap()
}
