//! The interface of priors.
//!
//! Points are [n, T, d]: a point consists of T tokens of width d. Flow matching as in the paper treats each token
//! as a point of its own, T = 1.

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
    /// T, the number of tokens.
    pub tokens: usize,
    /// d, the width of a token.
    pub width: usize,
}

impl PointShape {
    /// Numbers per point, T d.
    pub fn elements(self) -> usize {
        self.tokens * self.width
    }

    /// Converts rows [n, T d] on the host to points [n, T, d].
    pub fn tensor(self, rows: Vec<f32>, device: &Device) -> Tensor<3> {
        let dims = [rows.len() / self.elements(), self.tokens, self.width];
        from_f32(rows, dims, device)
    }
}

/// Points with their conditions.
#[derive(Debug, Clone)]
pub struct Points {
    /// [n, T, d].
    pub values: Tensor<3>,
    /// [n, c], encoded by [`ConditionKind::encode`]; None for an unconditional prior.
    pub condition: Option<Tensor<2>>,
}

impl Points {
    /// Points [n, T, d] without conditions.
    pub fn new(values: Tensor<3>) -> Self {
        let condition = None;
        Self { values, condition }
    }

    /// Number of points.
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

    /// The same on a device with autodiff, not tracked.
    pub fn tracked(&self) -> Self {
        Self {
            values: Tensor::from_inner(self.values.clone()),
            condition: self.condition.clone().map(Tensor::from_inner),
        }
    }
}

/// How an NLL is computed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum NllKind {
    /// In closed form, up to rounding.
    #[default]
    Exact,
    /// By an ODE, to a tolerance.
    Ode,
}

/// Negative log-likelihoods of points and their cost.
#[derive(Debug, Clone, Default)]
pub struct Nll {
    /// In nats, one per point, in the coordinates of the given points.
    pub values: Vec<f64>,
    /// Standard error of each over the probes of an estimated divergence; empty without probes.
    pub errors: Vec<f64>,
    pub kind: NllKind,
    /// Number of evaluations of the divergence at one point; 0 in closed form.
    pub evaluations: u64,
    /// Whether each integral converged within the tolerance; false if its quadrature stopped at
    /// [`super::MOST_INTERVALS`].
    pub settled: Vec<bool>,
}

/// NLLs of points that are solved twice.
#[derive(Debug, Clone, Default)]
pub struct Halving {
    /// In nats, one per point.
    pub values: Vec<f64>,
    /// How much each NLL changes when every step is halved, in nats: the uncertainty left by tolerance and
    /// precision.
    pub changes: Vec<f64>,
}

impl Nll {
    /// Number of points whose integral did not converge.
    pub fn unsettled(&self) -> usize {
        self.settled.iter().filter(|settled| !**settled).count()
    }

    /// Exact NLLs `[n]` or [n, 1], one per point, read from the device.
    ///
    /// # Errors
    /// Device errors; a numerical error if one is not finite.
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
/// A numerical error that names the first point with an NLL that is not finite.
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
    /// Exactly, by forward mode with d tangents per point.
    #[default]
    Exact,
    /// Estimated with fixed Rademacher probes (Hutchinson), for points of many dimensions; NLLs then have a
    /// standard error.
    Hutchinson {
        /// Probes per point.
        #[serde(default = "default_probes")]
        probes: usize,
    },
}

fn default_probes() -> usize {
    8
}

impl Divergence {
    /// Reports every value out of range.
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

/// Options of likelihoods that need an ODE; closed forms ignore them.
#[derive(Debug, Clone, Copy)]
pub struct NllOptions {
    /// Tolerance in nats of the integral of the divergence as its nodes are doubled; 0.0001 of it is the absolute
    /// and relative tolerance of each step of a trajectory (in f32 at least 1e-6).
    pub tolerance: f64,
    /// How the divergence is evaluated.
    pub divergence: Divergence,
    /// Source of the probes of an estimated divergence.
    pub streams: Streams,
}

impl NllOptions {
    /// Options with the exact divergence.
    pub fn exact(tolerance: f64) -> Self {
        Self {
            tolerance,
            divergence: Divergence::Exact,
            streams: Streams::new(0),
        }
    }
}

/// Points mapped to noise.
#[derive(Debug, Clone)]
pub struct Noised {
    /// [n, T, d], distributed as N(0, I) if the points follow the prior.
    pub noise: Tensor<3>,
    /// `log |det d noise / d point|` of each point in nats.
    pub log_det: Vec<f64>,
}

/// Called with the finished fraction; an error from it stops the work.
pub type Progress<'a> = &'a mut dyn FnMut(f64) -> Result<()>;

/// A density over points [n, T, d] that can be sampled, and that maps points to noise and back.
pub trait Prior: Send + Sync {
    fn shape(&self) -> PointShape;

    /// Kind of conditions. Points without a condition are scored and sampled under the condition "none", which is
    /// learnt by dropout of conditions in training.
    fn condition(&self) -> Option<ConditionKind> {
        None
    }

    /// The NLL of each point.
    ///
    /// # Errors
    /// A numerical error if an NLL is not finite; errors of `progress`; device errors.
    fn nll(&self, points: &Points, options: &NllOptions, progress: Progress) -> Result<Nll>;

    /// NLLs, and how much each changes when all steps are halved. None if NLLs are exact.
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

    /// Maps points to noise.
    ///
    /// # Errors
    /// As [`Self::nll`].
    fn to_noise(&self, points: &Points, options: &NllOptions, progress: Progress)
    -> Result<Noised>;

    /// Maps noise [n, T, d] to points: the inverse of [`Self::to_noise`] under the same `condition`, up to guidance
    /// and the accuracy of `way`.
    ///
    /// # Errors
    /// An input error for an unsupported way; errors of `progress`; device errors.
    #[allow(clippy::wrong_self_convention)] // `self` is the prior, not a conversion's result
    fn from_noise(
        &self,
        noise: Tensor<3>,
        condition: Option<Tensor<2>>,
        way: &Way,
        progress: Progress,
    ) -> Result<Carried>;

    /// Draws `count` samples [n, T, d]; with a `condition` [n, c], one per row of it.
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

    /// The samples that [`Self::sample`] computes from `noise` [n, T, d] of N(0, I); deterministic in the noise.
    ///
    /// # Errors
    /// An input error for guidance without a condition; as [`Self::from_noise`].
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

    /// The NLL `[n]` of each point, differentiable with respect to points on a device with autodiff. None if there
    /// is no closed form, or the prior was not loaded for gradients.
    fn nll_graph(&self, _points: &Points) -> Option<Tensor<1>> {
        None
    }

    /// The gradient of each point's NLL with respect to the point, on the host: [n, T, d], in nats. The prior must
    /// be loaded for gradients; `points` are without autodiff.
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

    /// The velocity of its probability-flow ODE over points as rows [n, T d], without autodiff; None if there is no
    /// ODE. The alignment loss needs one.
    fn velocity(&self) -> Option<&dyn VelocityField> {
        None
    }

    /// As [`Self::velocity`] on a device with autodiff, if the prior was loaded for gradients.
    fn velocity_tracked(&self) -> Option<&dyn VelocityField> {
        None
    }

    /// The velocity network on a device with autodiff, with frozen weights, from which a table of modulations or a
    /// student is made. None if the velocity is not a network.
    fn network(&self) -> Option<&VelocityNetwork> {
        None
    }

    /// Number of trained parameters.
    fn parameters(&self) -> usize;

    /// The device of its tensors, without autodiff.
    fn device(&self) -> Device;

    /// The element type of its tensors; points must have the same.
    fn dtype(&self) -> DType;

    /// Writes the weights to the safetensors file `path`, with `metadata` in the header.
    ///
    /// # Errors
    /// File errors.
    fn save(&self, path: &Path, metadata: &str) -> Result<()>;
}

/// Placement of a loaded prior.
#[derive(Debug, Clone)]
pub struct Placement {
    /// The device, without autodiff.
    pub device: Device,
    /// The element type of its weights.
    pub dtype: DType,
    /// Precision of the matrix products in a velocity network's blocks.
    pub precision: MatmulPrecision,
    /// Whether gradients with respect to points are needed; if so, the prior is also placed on the device with
    /// autodiff.
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

    /// The same, with gradients.
    pub fn for_gradients(self) -> Self {
        Self {
            gradients: true,
            ..self
        }
    }

    /// The device on which weights are created.
    pub(super) fn weights_device(&self) -> Device {
        match self.gradients {
            true => self.device.clone().autodiff(),
            false => self.device.clone(),
        }
    }
}

/// `-log N(x; 0, I)` of each row of `x` [n, D]: [n, 1], in nats.
pub fn normal_nll(x: Tensor<2>) -> Tensor<2> {
    let [_, elements] = x.dims();
    x.square().sum_dim(1).mul_scalar(0.5) + 0.5 * elements as f64 * TAU.ln()
}
