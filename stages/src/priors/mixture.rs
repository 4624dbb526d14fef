//! A mixture of Gaussians with full covariances, fitted by maximum likelihood: the most expressive prior with
//! density, velocity and samples in closed form.
//!
//! Component k has a weight, a mean m and a lower-triangular factor L of its precision with positive diagonal:
//!
//! ```text
//! log p(x) = log sum_k w_k N(x; m_k, (L_k^T L_k)^-1)
//! log N = sum_i log L_ii - |L (x - m)|^2 / 2 - D/2 log 2 pi
//! ```
//!
//! Points and noise are mapped to each other by the probability-flow ODE of its exact velocity.

use super::condition::ConditionKind;
use super::drawing::{Carried, Way, Ways};
use super::field::VelocityField;
use super::flow_matching::{ExactMixture, noise_of, points_of};
use super::kind::{Fit, Fitted, Offers, PriorConfig};
use super::maximum_likelihood::{Likelihood, fit_by_likelihood};
use super::placed::Placed;
use super::prior::{Nll, NllOptions, Noised, Placement, PointShape, Points, Prior, Progress};
use crate::context::Context;
use crate::error::Result;
use crate::persist::{load_weights, save_weights};
use crate::problems::Problems;
use crate::random::Streams;
use crate::targets::GaussianMixture;
use crate::tensors::{from_f32, to_f64};
use burn::module::{Module, Param};
use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Device, Tensor};
use nalgebra::DMatrix;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;
use std::path::Path;

/// A mixture of Gaussians with full covariances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mixture {
    /// Number of components.
    pub components: usize,
}

impl Default for Mixture {
    fn default() -> Self {
        Self { components: 16 }
    }
}

/// The trained parameters.
#[derive(Module, Debug)]
struct Network {
    /// Unnormalised log-weights [1, K].
    logits: Param<Tensor<2>>,
    /// [K, D].
    means: Param<Tensor<2>>,
    /// Factors of the precisions [K, D, D]: the strict lower triangle of L, and the logarithm of its diagonal on
    /// the diagonal; entries above are ignored.
    factors: Param<Tensor<3>>,
}

impl Mixture {
    /// Components of unit covariance with means from N(0, I), the scale of normalised points.
    fn init(&self, elements: usize, streams: Streams, device: &Device) -> Network {
        let count = self.components;
        let means = streams.normal("initial means", 0, count * elements);
        let zeros = vec![0.0; count * elements * elements];
        let network = Network {
            logits: Param::from_tensor(Tensor::zeros([1, count], device)),
            means: Param::from_tensor(from_f32(means, [count, elements], device)),
            factors: Param::from_tensor(from_f32(zeros, [count, elements, elements], device)),
        };
        network.set_require_grad(true)
    }
}

impl Network {
    /// `log w_k N(x; k)` of `x` [n, D]: [n, K].
    fn log_joint(&self, x: Tensor<2>) -> Tensor<2> {
        let [count, elements] = self.means.val().dims();
        let diagonal = Tensor::<2>::eye(elements, &x.device()).cast(x.dtype());
        let diagonal = diagonal.unsqueeze::<3>();
        let factors = self.factors.val();
        let log_diagonal = factors.clone() * diagonal.clone();
        let lower = factors.tril(-1) + log_diagonal.clone().exp() * diagonal; // [K, D, D]
        let log_det: Tensor<2> = log_diagonal.flatten::<2>(1, 2).sum_dim(1).transpose(); // [1, K]
        let centred = x.unsqueeze_dim::<3>(0) - self.means.val().unsqueeze_dim::<3>(1); // [K, n, D]
        let whitened = centred.matmul(lower.swap_dims(1, 2));
        let square: Tensor<2> = whitened.square().sum_dim(2).squeeze_dim(2); // [K, n]
        let constant = 0.5 * elements as f64 * TAU.ln();
        debug_assert_eq!(log_det.dims(), [1, count]);
        square.transpose().mul_scalar(-0.5) - constant + log_det + log_softmax(self.logits.val(), 1)
    }

    /// The mixture on the host.
    ///
    /// # Errors
    /// Device errors.
    fn on_the_host(&self) -> Result<GaussianMixture> {
        let [count, elements] = self.means.val().dims();
        let logits = to_f64(log_softmax(self.logits.val(), 1))?;
        let means = to_f64(self.means.val())?;
        let factors = to_f64(self.factors.val())?;
        let covariances = factors.chunks_exact(elements * elements).map(|factor| {
            let lower = DMatrix::from_fn(elements, elements, |row, column| {
                let value = factor[row * elements + column];
                match row.cmp(&column) {
                    std::cmp::Ordering::Greater => value,
                    std::cmp::Ordering::Equal => value.exp(),
                    std::cmp::Ordering::Less => 0.0,
                }
            });
            // (L^T L)^-1 = L^-1 L^-T with a positive diagonal
            let identity = DMatrix::identity(elements, elements);
            let inverse = (lower.solve_lower_triangular(&identity)).expect("a positive diagonal");
            (&inverse * inverse.transpose()).data.into()
        });
        Ok(GaussianMixture {
            weights: logits.iter().map(|l| l.exp()).collect(),
            means: means.chunks_exact(elements).map(<[f64]>::to_vec).collect(),
            covariances: covariances.take(count).collect(),
        })
    }
}

impl Likelihood for Network {
    fn nll(&self, points: &Points) -> Tensor<1> {
        let joint = self.log_joint(points.rows());
        let [n, _] = joint.dims();
        let most = joint.clone().detach().max_dim(1);
        let sum = (joint - most.clone()).exp().sum_dim(1).log();
        (sum + most).neg().reshape([n])
    }
}

/// A fitted mixture.
struct FittedMixture {
    shape: PointShape,
    network: Placed<Network>,
    velocity: Placed<ExactMixture>,
}

impl FittedMixture {
    fn new(shape: PointShape, network: Placed<Network>, place: &Placement) -> Result<Self> {
        let mixture = network.plain.on_the_host()?;
        let exact = |device: &Device| ExactMixture::new(&mixture, place.dtype, device);
        Ok(Self {
            shape,
            velocity: Placed::made(place, exact),
            network,
        })
    }
}

/// Supported ways of sampling.
const WAYS: Ways = Ways {
    kind: "mixture",
    stepped: true,
    guided: false,
    sequential: false,
};

impl PriorConfig for Mixture {
    fn check(&self, problems: &mut Problems) {
        problems.within("components", self.components, 1..=4096);
    }

    fn offers(&self) -> Offers {
        Offers::Velocity
    }

    fn ways(&self) -> Ways {
        WAYS
    }

    fn parameters(&self, shape: PointShape, _: Option<ConditionKind>) -> u128 {
        let [components, elements] = [self.components, shape.elements()].map(|n| n as u128);
        components * (1 + elements + elements * elements)
    }

    fn fit(&self, fit: Fit, context: &Context) -> Result<Fitted> {
        let shape = fit.shape;
        let device = context.device.clone().autodiff();
        let network = self.init(shape.elements(), fit.streams, &device);
        let (network, figures) = fit_by_likelihood(network, fit, context)?;
        let network = Placed::plain(network);
        let place = Placement::on(&context.device);
        Ok(Fitted {
            prior: Box::new(FittedMixture::new(shape, network, &place)?),
            figures,
        })
    }

    fn load(
        &self,
        path: &Path,
        shape: PointShape,
        _: Option<ConditionKind>,
        place: &Placement,
    ) -> Result<Box<dyn Prior>> {
        let mut network = self.init(shape.elements(), Streams::new(0), &place.weights_device());
        load_weights(&mut network, path)?;
        let network = Placed::new(network, place);
        Ok(Box::new(FittedMixture::new(shape, network, place)?))
    }
}

impl Prior for FittedMixture {
    fn shape(&self) -> PointShape {
        self.shape
    }

    fn nll(&self, points: &Points, _: &NllOptions, progress: Progress) -> Result<Nll> {
        progress(0.0)?;
        Nll::exact(self.network.plain.nll(points))
    }

    fn to_noise(
        &self,
        points: &Points,
        options: &NllOptions,
        progress: Progress,
    ) -> Result<Noised> {
        noise_of(&self.velocity.plain, points, options, progress)
    }

    fn from_noise(
        &self,
        noise: Tensor<3>,
        _: Option<Tensor<2>>,
        way: &Way,
        progress: Progress,
    ) -> Result<Carried> {
        WAYS.refuse(way)?;
        points_of(&self.velocity.plain, noise, way.steps, progress)
    }

    fn nll_graph(&self, points: &Points) -> Option<Tensor<1>> {
        Some(self.network.tracked.as_ref()?.nll(points))
    }

    fn velocity(&self) -> Option<&dyn VelocityField> {
        Some(&self.velocity.plain)
    }

    fn velocity_tracked(&self) -> Option<&dyn VelocityField> {
        self.velocity.tracked_field()
    }

    fn parameters(&self) -> usize {
        self.network.plain.num_params()
    }

    fn device(&self) -> Device {
        self.network.plain.means.val().device()
    }

    fn dtype(&self) -> DType {
        self.network.plain.means.val().dtype()
    }

    fn save(&self, path: &Path, metadata: &str) -> Result<()> {
        save_weights(&self.network.plain, path, metadata)
    }
}
