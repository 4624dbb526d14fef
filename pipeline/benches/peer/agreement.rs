//! Whether all sides compute the same: loss and gradient of a step at given points, noise and times instead
//! of random ones.

use super::exchange::{Tensors, read_flow, write_flow};
use super::jobs::{Align, Size, device};
use super::protocol::{Request, Task};
use super::side::Side;
use anyhow::{Result, ensure};
use burn::module::Module as _;
use burn::tensor::Tensor;
use latent_align_stages::priors::{Tabulated, flow_matching_loss};
use latent_align_stages::random::Streams;
use latent_align_stages::tensors::{from_f32, scalar, to_f32};
use latent_align_stages::training::MatmulPrecision;
use std::path::PathBuf;
use tempfile::TempDir;

/// A small size, because the gradient is sent as text.
const SIZE: Size = Size {
    dimensions: 3,
    width: 32,
    blocks: 2,
    batch: 128,
};
/// The standard deviation of the noise added to fresh weights, most of which are zero.
const SCALE: f32 = 0.2;
/// Times, each shared by consecutive points.
const GROUPS: usize = 16;
/// The largest relative difference explained by rounding, including TF32 on a GPU.
const LIMIT: f64 = 1e-2;

/// A job whose loss and gradient are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The gradient is that with respect to the weights.
    Training,
    /// The gradient is that with respect to the latents.
    Alignment,
}

/// A perturbed flow, points, noise and times, in files that PyTorch reads, and the results of this program.
pub struct Given {
    /// Loss, and gradient with respect to the points.
    ours: Vec<f64>,
    flow: PathBuf,
    points: PathBuf,
    _folder: TempDir,
}

impl Given {
    /// # Errors
    /// The files cannot be written, or this program fails.
    pub fn write() -> Result<Self> {
        let (device, folder) = (device()?, tempfile::tempdir()?);
        let flow = folder.path().join("flow.safetensors");
        let points = folder.path().join("points.safetensors");
        let fresh = (SIZE.network()).init(SIZE.dimensions, Streams::new(0), &device);
        write_flow(&fresh, &flow)?;
        let mut weights = Tensors::read(&flow)?;
        weights.perturb(SCALE, Streams::new(6));
        weights.write(&flow)?;

        let (grid, [n, d]) = (Align::grid(), [SIZE.batch, SIZE.dimensions]);
        let times: Vec<f64> = (grid.iter().copied())
            .skip(grid.len() / GROUPS / 3)
            .step_by(grid.len() / GROUPS)
            .collect();
        let draw = |name| Streams::new(5).normal(name, 0, n * d);
        let (y, noise) = (draw("points"), draw("noise"));
        let mut tensors = Tensors::default();
        tensors.add("points", [n, d], y.clone());
        tensors.add("noise", [n, d], noise.clone());
        tensors.add("times", [GROUPS], times.iter().map(|&t| t as f32).collect());
        tensors.write(&points)?;

        let (device, shape) = (device.autodiff(), [GROUPS, n / GROUPS, d]);
        let y: Tensor<3> = from_f32(y, shape, &device).require_grad();
        let noise = from_f32(noise, shape, &device);
        let network = read_flow(&flow, SIZE, &device)?.no_grad();
        let flow_of_ours = Tabulated::new(network, grid);
        // PyTorch's loss is the mean over dimensions too
        let loss = flow_matching_loss(&flow_of_ours, y.clone(), noise, &times).div_scalar(d as f64);
        let gradients = loss.backward();
        let gradient = y.grad(&gradients).expect("it is a leaf of the loss");
        let mut ours = vec![scalar(loss)?];
        ours.extend(to_f32(gradient)?.into_iter().map(f64::from));
        Ok(Self {
            ours,
            flow,
            points,
            _folder: folder,
        })
    }

    /// The loss of this program.
    pub fn loss(&self) -> f64 {
        self.ours[0]
    }

    /// Loss and gradient of the same step by PyTorch.
    ///
    /// # Errors
    /// The worker fails.
    pub fn by(&self, side: &mut Side, step: Step) -> Result<Vec<f64>> {
        side.prepare(match step {
            Step::Training => Task::train(SIZE, MatmulPrecision::F32),
            Step::Alignment => Task::align(SIZE, MatmulPrecision::F32),
        })?;
        side.values(&Request::Gradient {
            flow: self.flow.clone(),
            points: self.points.clone(),
        })
    }

    /// The largest difference among `found`: of losses, relative to that of this program, and of gradients,
    /// with this program's if it has one of the same kind, relative to their largest number.
    ///
    /// # Panics
    /// If `found` is empty, or its members differ in length.
    pub fn difference(&self, step: Step, found: &[Vec<f64>]) -> f64 {
        let reference = match step {
            Step::Training => &found[0],
            Step::Alignment => &self.ours,
        };
        // NaN counts as infinitely different
        let or_infinite = |x: f64| if x.is_nan() { f64::INFINITY } else { x };
        let greatest =
            |numbers: &mut dyn Iterator<Item = f64>| numbers.map(or_infinite).fold(0.0, f64::max);
        let size = greatest(&mut reference[1..].iter().map(|x| x.abs()));
        let differences = found.iter().map(|found| {
            assert_eq!(found.len(), reference.len());
            let loss = (found[0] / self.loss() - 1.0).abs();
            let pairs = found[1..].iter().zip(&reference[1..]);
            let gradient = greatest(&mut pairs.map(|(a, b)| (a - b).abs())) / size;
            or_infinite(loss).max(gradient)
        });
        greatest(&mut differences.into_iter())
    }
}

/// A sentence with the largest difference of losses and gradients between `sides`, all of PyTorch.
///
/// # Errors
/// The difference exceeds rounding, or a side fails.
pub fn check<'a>(step: Step, sides: impl IntoIterator<Item = &'a mut Side>) -> Result<String> {
    let given = Given::write()?;
    let found: Result<Vec<_>> = sides.into_iter().map(|s| given.by(s, step)).collect();
    let difference = given.difference(step, &found?);
    ensure!(
        difference < LIMIT,
        "{step:?}: losses or gradients of ours and PyTorch's ways differ by {difference:.1e} of their size \
         at the same points, expected less than {LIMIT:.0e}: they do not compute the same thing"
    );
    Ok(format!(
        "{step:?}: at the same points, noise and times the losses and gradients of all ways differ by at most \
         {difference:.1e} of their size."
    ))
}
