//! What every consumer asks of a prior, and no more.
//!
//! Points are [n, T, d]: T tokens of width d that are one point together. Flow matching as the paper has it
//! takes each token for a point of its own, T = 1.

use super::condition::ConditionKind;
use super::drawing::{Carried, SampleOptions, Way};
use super::field::VelocityField;
use super::flow_matching::VelocityNetwork;
use crate::error::{Error, Result};
use crate::problems::Problems;
use crate::random::Streams;
use crate::tensors::{from_f32, to_f64};
use crate::training::MatmulPrecision;
use burn::tensor::{DType, Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;
use std::path::Path;

/// The shape of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PointShape {
    /// T, its tokens.
    pub tokens: usize,
    /// d, the width of each.
    pub width: usize,
}

impl PointShape {
    /// Numbers in a point, T d.
    pub fn elements(self) -> usize {
        self.tokens * self.width
    }

    /// Rows [n, T d] on the host as points [n, T, d].
    pub fn tensor(self, rows: Vec<f32>, device: &Device) -> Tensor<3> {
        let dims = [rows.len() / self.elements(), self.tokens, self.width];
        from_f32(rows, dims, device)
    }
}

/// Points, and what each is conditioned on.
#[derive(Debug, Clone)]
pub struct Points {
    /// [n, T, d].
    pub values: Tensor<3>,
    /// [n, c], as [`ConditionKind::encode`] makes it; none for a prior that takes none.
    pub condition: Option<Tensor<2>>,
}

impl Points {
    /// Points [n, T, d] that are conditioned on nothing.
    pub fn new(values: Tensor<3>) -> Self {
        let condition = None;
        Self { values, condition }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.values.dims()[0]
    }

    /// `count` of them from `start`.
    pub fn narrow(&self, start: usize, count: usize) -> Self {
        Self {
            values: self.values.clone().narrow(0, start, count),
            condition: (self.condition.clone()).map(|c| c.narrow(0, start, count)),
        }
    }

    /// The values as rows [n, T d].
    pub fn rows(&self) -> Tensor<2> {
        self.values.clone().flatten(1, 2)
    }

    /// The same on a device with autodiff, nothing of them tracked.
    pub fn tracked(&self) -> Self {
        Self {
            values: Tensor::from_inner(self.values.clone()),
            condition: self.condition.clone().map(Tensor::from_inner),
        }
    }
}

/// What kind of number an NLL is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum NllKind {
    /// In closed form, up to rounding.
    #[default]
    Exact,
    /// Through an ODE, to a tolerance.
    Ode,
}

/// Negative log-likelihoods of points, and what they cost.
#[derive(Debug, Clone, Default)]
pub struct Nll {
    /// In nats, one a point, in the coordinates the points were given in.
    pub values: Vec<f64>,
    /// The standard error of each over the probes of an estimated divergence; empty where nothing is drawn.
    pub errors: Vec<f64>,
    /// What kind of number each is.
    pub kind: NllKind,
    /// Evaluations of the divergence, of one point each; 0 where there is none.
    pub evaluations: u64,
    /// Whether the integral of each settled within the tolerance; false where its quadrature stopped at
    /// [`super::MOST_INTERVALS`] without.
    pub settled: Vec<bool>,
}

/// NLLs of points that are solved twice.
#[derive(Debug, Clone, Default)]
pub struct Halving {
    /// In nats, one a point.
    pub values: Vec<f64>,
    /// By how much each changes when every step is halved, in nats: what tolerance and precision leave uncertain.
    pub changes: Vec<f64>,
}

impl Nll {
    /// Points whose integral did not settle.
    pub fn unsettled(&self) -> usize {
        self.settled.iter().filter(|settled| !**settled).count()
    }

    /// Exact NLLs `[n]` or [n, 1], one for each point, read from the device.
    ///
    /// # Errors
    /// Device errors; a numerical error for one that is not finite.
    pub fn exact<const D: usize>(values: Tensor<D>) -> Result<Self> {
        let values = finite_nll(to_f64(values)?)?;
        Ok(Self {
            settled: vec![true; values.len()],
            values,
            ..Self::default()
        })
    }
}

/// `values` if all are finite.
///
/// # Errors
/// A numerical error that names the first point whose NLL is not.
pub(super) fn finite_nll(values: Vec<f64>) -> Result<Vec<f64>> {
    match values.iter().position(|nll| !nll.is_finite()) {
        Some(point) => Err(Error::Numerical(format!(
            "the NLL of point {point} is not finite"
        ))),
        None => Ok(values),
    }
}

/// How the divergence of a velocity is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Divergence {
    /// Exactly, by forward mode with d tangents a point.
    #[default]
    Exact,
    /// Estimated with fixed Rademacher probes (Hutchinson), for points of many dimensions; NLLs then
    /// have a standard error.
    Hutchinson {
        /// Probes a point.
        #[serde(default = "default_probes")]
        probes: usize,
    },
}

fn default_probes() -> usize {
    8
}

impl Divergence {
    /// Notes every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        if let Self::Hutchinson { probes } = self {
            problems.require(
                (2..=4096).contains(probes),
                "probes",
                probes,
                "2 to 4096 (two are needed for a standard error)",
            );
        }
    }
}

/// How likelihoods are computed where an ODE has to be solved for them; a closed form asks for none of it.
#[derive(Debug, Clone, Copy)]
pub struct NllOptions {
    /// In nats, what may be left of the integral of the divergence as its nodes are doubled; 0.0001 of
    /// it is the absolute and relative tolerance of each step of a trajectory (in f32 not below 1e-6).
    pub tolerance: f64,
    /// How the divergence is evaluated.
    pub divergence: Divergence,
    /// Where the probes of an estimated divergence come from.
    pub streams: Streams,
}

impl NllOptions {
    /// With the exact divergence.
    pub fn exact(tolerance: f64) -> Self {
        Self {
            tolerance,
            divergence: Divergence::Exact,
            streams: Streams::new(0),
        }
    }
}

/// Points carried to noise.
#[derive(Debug, Clone)]
pub struct Noised {
    /// [n, T, d], N(0, I) where the points follow the prior.
    pub noise: Tensor<3>,
    /// `log |det d noise / d point|` of each point in nats.
    pub log_det: Vec<f64>,
}

/// Called with the share that is done; an error from it stops the work.
pub type Progress<'a> = &'a mut dyn FnMut(f64) -> Result<()>;

/// A density over points [n, T, d] that is sampled, and that carries them to noise and back.
pub trait Prior: Send + Sync {
    /// The shape of a point.
    fn shape(&self) -> PointShape;

    /// What points may be conditioned on. Points without a condition are then scored and sampled under the
    /// condition "none", which training with dropout of conditions teaches.
    fn condition(&self) -> Option<ConditionKind> {
        None
    }

    /// The NLL of each point.
    ///
    /// # Errors
    /// A numerical error for an NLL that is not finite; what `progress` returns; device errors.
    fn nll(&self, points: &Points, options: &NllOptions, progress: Progress) -> Result<Nll>;

    /// NLLs, and how much one changes when what is approximate about it is halved. None where they are exact.
    ///
    /// # Errors
    /// As [`Self::nll`].
    fn halving_check(
        &self,
        _points: &Points,
        _options: &NllOptions,
        _progress: Progress,
    ) -> Result<Option<Halving>> {
        Ok(None)
    }

    /// Points carried to noise.
    ///
    /// # Errors
    /// As [`Self::nll`].
    fn to_noise(&self, points: &Points, options: &NllOptions, progress: Progress)
    -> Result<Noised>;

    /// Noise [n, T, d] carried to points, the inverse of [`Self::to_noise`] under the same `condition`, but for what
    /// `way` leans and how closely it goes.
    ///
    /// # Errors
    /// An input error for a way that this kind of prior does not have; what `progress` returns; device errors.
    #[allow(clippy::wrong_self_convention)] // the prior is what carries noise, not what is made of it
    fn from_noise(
        &self,
        noise: Tensor<3>,
        condition: Option<Tensor<2>>,
        way: &Way,
        progress: Progress,
    ) -> Result<Carried>;

    /// `count` samples [n, T, d]; with a `condition` [n, c], one under each row of it.
    ///
    /// # Errors
    /// As [`Self::sample_from`].
    fn sample(
        &self,
        count: usize,
        condition: Option<Tensor<2>>,
        options: &SampleOptions,
        progress: Progress,
    ) -> Result<Carried> {
        let shape = self.shape();
        let noise = options
            .streams
            .normal("samples", 0, count * shape.elements());
        let noise = shape.tensor(noise, &self.device()).cast(self.dtype());
        self.sample_from(noise, condition, options, progress)
    }

    /// The samples that [`Self::sample`] makes of `noise` [n, T, d] from N(0, I), the same for the same noise.
    ///
    /// # Errors
    /// An input error for a guidance without what is to be leant from; as [`Self::from_noise`].
    fn sample_from(
        &self,
        noise: Tensor<3>,
        condition: Option<Tensor<2>>,
        options: &SampleOptions,
        progress: Progress,
    ) -> Result<Carried> {
        let noise = match options.temperature {
            1.0 => noise,
            temperature => noise.mul_scalar(temperature),
        };
        options.way.guidance.require(condition.is_some())?;
        self.from_noise(noise, condition, &options.way, progress)
    }

    /// The NLL of each point `[n]`, differentiable with respect to points on a device with autodiff. None
    /// where there is no closed form of it, or the prior was not loaded for gradients.
    fn nll_graph(&self, _points: &Points) -> Option<Tensor<1>> {
        None
    }

    /// The gradient of each point's NLL with respect to the point, on the host: [n, T, d], in nats. The
    /// prior is loaded for gradients; `points` are without autodiff.
    ///
    /// # Errors
    /// As [`Self::nll`].
    fn nll_gradient(
        &self,
        points: &Points,
        _options: &NllOptions,
        progress: Progress,
    ) -> Result<Vec<f64>> {
        progress(0.0)?;
        let mut points = points.tracked();
        points.values = points.values.require_grad();
        let nll = (self.nll_graph(&points)).expect("a prior without an ODE has it in closed form");
        let gradients = nll.sum().backward();
        let gradient = points.values.grad(&gradients);
        to_f64(gradient.expect("the NLL depends on the points"))
    }

    /// The velocity of its probability-flow ODE over points as rows [n, T d], without autodiff; none where
    /// it has no ODE. The alignment loss needs one.
    fn velocity(&self) -> Option<&dyn VelocityField> {
        None
    }

    /// As [`Self::velocity`] on a device with autodiff, where the prior was loaded for gradients.
    fn velocity_tracked(&self) -> Option<&dyn VelocityField> {
        None
    }

    /// The velocity network on a device with autodiff, its weights frozen: what a table of its modulations
    /// and a student that learns are made of. None where the velocity is no network's.
    fn network(&self) -> Option<&VelocityNetwork> {
        None
    }

    /// How many numbers were trained.
    fn parameters(&self) -> usize;

    /// Where its tensors live, without autodiff.
    fn device(&self) -> Device;

    /// The element type of its tensors, which points must have too.
    fn dtype(&self) -> DType;

    /// Writes the weights to the safetensors file `path`, with `metadata` in the header.
    ///
    /// # Errors
    /// File errors.
    fn save(&self, path: &Path, metadata: &str) -> Result<()>;
}

/// Where a stored prior is put.
#[derive(Debug, Clone)]
pub struct Placement {
    /// The device, without autodiff.
    pub device: Device,
    /// The element type of its weights.
    pub dtype: DType,
    /// What the matrix products of a velocity network's blocks are taken in.
    pub precision: MatmulPrecision,
    /// Whether gradients with respect to points are asked for: the prior is then on the device with autodiff
    /// too.
    pub gradients: bool,
}

impl Placement {
    /// On `device` in f32, without gradients.
    pub fn on(device: &Device) -> Self {
        Self {
            device: device.clone(),
            dtype: DType::F32,
            precision: MatmulPrecision::F32,
            gradients: false,
        }
    }

    /// The same, for gradients too.
    pub fn for_gradients(self) -> Self {
        Self {
            gradients: true,
            ..self
        }
    }

    /// The device weights are made on.
    pub(super) fn weights_device(&self) -> Device {
        match self.gradients {
            true => self.device.clone().autodiff(),
            false => self.device.clone(),
        }
    }
}

/// `-log N(x; 0, I)` of each of the rows `x` [n, D]: [n, 1], in nats.
pub fn normal_nll(x: Tensor<2>) -> Tensor<2> {
    let [_, elements] = x.dims();
    x.square().sum_dim(1).mul_scalar(0.5) + 0.5 * elements as f64 * TAU.ln()
}
