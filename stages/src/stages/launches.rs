//! Kernel launches and transfers of training steps and likelihoods, counted on a software device of wgpu.

use crate::alignment::{Weighted, Weighting, alignment_loss, alignment_times};
use crate::devices;
use crate::error::Result;
use crate::numerics::{Slope, Tolerance, dormand_prince};
use crate::priors::{
    FitConfig, Tabulated, VelocityField, VelocityNetwork, VelocityNetworkConfig, flow_matching_loss,
};
use crate::random::Streams;
use crate::tensors::{from_f32, to_f32, transfers};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use cubecl::logging::{LaunchObservation, LaunchObserver};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts every launch of the process.
#[derive(Default)]
struct Launches(AtomicUsize);

impl LaunchObserver for Launches {
    fn launched(&self, _: &'static str) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Calls before counting: kernels are compiled by then, and fusion repeats what it has found.
const BEFORE: usize = 4;

/// What one call of `work` costs: launches, transfers to the device, and reads.
fn cost(device: &Device, mut work: impl FnMut()) -> [usize; 3] {
    for _ in 0..BEFORE {
        work();
        device.sync().unwrap();
    }
    let launches = Arc::new(Launches::default());
    let [written, read] = transfers::so_far();
    let watching = LaunchObservation::new(launches.clone());
    work();
    device.sync().unwrap();
    drop(watching);
    let [writes, reads] = transfers::so_far();
    let launched = launches.0.load(Ordering::Relaxed);
    [launched, writes - written, reads - read]
}

/// Points, their dimensions, and times per step, of which each is shared by 4 points.
const BATCH: usize = 256;
const WIDTH: usize = 16;
const TIMES: usize = 64;

fn network() -> VelocityNetworkConfig {
    VelocityNetworkConfig {
        width: 64,
        frequencies: 64,
        ..Default::default()
    }
}

fn points(device: &Device) -> Tensor<2> {
    let values = Streams::new(1).normal("points", 0, BATCH * WIDTH);
    from_f32(values, [BATCH, WIDTH], device)
}

/// Fails if a step launches kernels for each parameter, reads from the device, or uploads more than it needs.
#[test]
fn steps_launch_few_kernels_and_read_nothing() {
    let device = devices::other();
    let config = FitConfig {
        network: network(),
        batch: BATCH,
        times: TIMES,
        ..Default::default()
    };
    let streams = Streams::new(3);

    // a step of flow matching, and of it the part of the optimiser
    let mut rng = streams.at("steps", 0);
    let values = to_f32(points(&device)).unwrap();
    let mut trainer = Some(config.begin(WIDTH, streams, &device));
    let training = cost(&device, || {
        let (next, _) = config.step(trainer.take().unwrap(), values.clone(), &mut rng);
        trainer = Some(next);
    });
    let trainer = trainer.unwrap();
    let backward = cost(&device, || {
        let times: Vec<f64> = (0..TIMES).map(|k| k as f64 / TIMES as f64).collect();
        let dims = [TIMES, BATCH / TIMES, WIDTH];
        let device = device.clone().autodiff();
        let [data, noise] = ["data", "noise"].map(|_| from_f32(values.clone(), dims, &device));
        let loss = flow_matching_loss(&trainer.module, data, noise, &times);
        drop(loss.backward());
    });

    // a step of alignment to the frozen flow
    let frozen = trainer.averaged();
    let weighted = Weighted::new(Weighting::Uniform);
    let tracked = trainer.module.no_grad();
    let tabulated = Tabulated::new(tracked, alignment_times(weighted));
    let on_autodiff = device.clone().autodiff();
    let alignment = cost(&device, || {
        let y = points(&on_autodiff).require_grad();
        let loss = alignment_loss(&tabulated, y.clone(), weighted, 4, &mut rng);
        drop(y.grad(&loss.backward()));
    });

    // divergences of one level of a quadrature
    let times: Vec<f64> = (0..8).map(|k| f64::from(k) / 8.0).collect();
    let level = cost(&device, || {
        let x = points(&device).unsqueeze::<3>().repeat_dim(0, times.len());
        drop(frozen.divergences(x, &times));
    });

    // the trajectories of an NLL, for each accepted step of the solver
    let mut steps = 0;
    let whole = cost(&device, || {
        let tolerance = Tolerance {
            absolute: 1e-3,
            relative: 1e-3,
        };
        let slope = Ahead(&frozen, None);
        let trajectory = dormand_prince(slope, points(&device), 1.0, 0.0, tolerance).unwrap();
        steps = trajectory.grid.len();
    });
    let solver = whole.map(|count| count.div_ceil(steps));

    let optimiser = training[0] - backward[0];
    println!("optimiser: {optimiser} launches");
    for (name, found, [launches, written, read]) in [
        ("training step", training, [450, 4, 0]),
        ("alignment step", alignment, [350, 4, 0]),
        ("divergences of a level", level, [200, 4, 0]),
        ("step of the solver", solver, [700, 4, 2]),
    ] {
        let [l, w, r] = found;
        println!("{name}: {l} launches, {w} transfers to the device, {r} reads");
        assert!(
            l <= launches && w <= written && r <= read,
            "{name}: {found:?}"
        );
    }
    assert!(optimiser <= 40, "{optimiser}");
}

/// The velocity with what depends on time computed ahead, as the solver of NLLs uses it.
struct Ahead<'a>(&'a VelocityNetwork, Option<Box<dyn VelocityField + 'a>>);

impl Slope for Ahead<'_> {
    fn expect(&mut self, times: &[f64]) {
        self.1 = self.0.at_times(times);
    }

    fn at(&mut self, x: Tensor<2>, time: f64) -> Result<Tensor<2>> {
        let field = self.1.as_deref().unwrap_or(self.0);
        Ok(field.velocity(x.unsqueeze::<3>(), &[time]).squeeze_dim(0))
    }
}
