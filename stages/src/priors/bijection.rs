//! Normalizing flows: networks that map points to noise and back in closed form, as priors. With z = f(x) and N the
//! standard normal density,
//!
//! ```text
//! log p(x) = log N(f(x)) + log |det df / dx|
//! ```

use super::condition::ConditionKind;
use super::drawing::{Carried, Way, Ways, add_up};
use super::kind::{Fit, Fitted};
use super::maximum_likelihood::{Likelihood, fit_by_likelihood};
use super::placed::Placed;
use super::prior::{
    Nll, NllOptions, Noised, Placement, PointShape, Points, Prior, Progress, finite_nll, normal_nll,
};
use crate::context::Context;
use crate::error::Result;
use crate::persist::{load_weights, save_weights};
use crate::random::Streams;
use crate::tensors::to_f64;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor};
use std::path::Path;

/// A network that maps points to noise and back in closed form, optionally under conditions.
pub(super) trait Bijection: Module + Send + Sync + 'static {
    /// Maps points to noise [n, D]; also returns `log |det d noise / d point|` [n, 1].
    fn to_noise(&self, points: &Points) -> (Tensor<2>, Tensor<2>);

    /// As [`Self::to_noise`] in training: random elements such as dropout come from `streams` at `step`.
    fn to_noise_in_training(
        &self,
        points: &Points,
        _streams: Streams,
        _step: u64,
    ) -> (Tensor<2>, Tensor<2>) {
        self.to_noise(points)
    }

    /// Maps noise [n, T, d] to points. `none` is the condition "none" [n, c] of networks with conditions, needed
    /// for guidance.
    ///
    /// # Errors
    /// Returned by `progress`.
    #[allow(clippy::wrong_self_convention)] // `self` is the network, not a conversion's result
    fn from_noise(
        &self,
        noise: Tensor<3>,
        under: Under,
        way: &Way,
        progress: Progress,
    ) -> Result<Carried>;

    /// Number of points of `shape` per pass, chosen to bound the memory of activations.
    fn chunk(&self, shape: PointShape) -> usize;
}

/// Conditions of generated points.
pub(super) struct Under {
    /// [n, c].
    pub condition: Option<Tensor<2>>,
    /// The condition "none", [n, c].
    pub none: Option<Tensor<2>>,
}

impl<B: Bijection> Likelihood for B {
    fn nll(&self, points: &Points) -> Tensor<1> {
        nll_of(self.to_noise(points))
    }

    fn training_nll(&self, points: &Points, streams: Streams, step: u64) -> Tensor<1> {
        nll_of(self.to_noise_in_training(points, streams, step))
    }
}

/// `-log N(noise) - log_det`, `[n]`.
fn nll_of((noise, log_det): (Tensor<2>, Tensor<2>)) -> Tensor<1> {
    let [n, _] = noise.dims();
    (normal_nll(noise) - log_det).reshape([n])
}

/// Fits a prior made of `network` by maximum likelihood.
///
/// # Errors
/// As [`fit_by_likelihood`].
pub(super) fn fit_bijection<B: Bijection>(
    network: B,
    ways: Ways,
    fit: Fit,
    context: &Context,
) -> Result<Fitted> {
    let (shape, condition) = (fit.shape, fit.condition);
    let (network, figures) = fit_by_likelihood(network, fit, context)?;
    let prior = prior_of(network, ways, (shape, condition));
    Ok(Fitted { prior, figures })
}

/// Makes a prior of the trained `network` without autodiff.
pub(super) fn prior_of<B: Bijection>(
    network: B,
    ways: Ways,
    (shape, condition): (PointShape, Option<ConditionKind>),
) -> Box<dyn Prior> {
    let network = Placed::plain(network);
    Box::new(NormalizingFlow {
        ways,
        shape,
        condition,
        network,
    })
}

/// Makes a prior of `network` with frozen weights from the safetensors file `path`.
///
/// # Errors
/// File errors; an input error for weights of another network.
pub(super) fn load_bijection<B: Bijection>(
    mut network: B,
    ways: Ways,
    path: &Path,
    (shape, condition): (PointShape, Option<ConditionKind>),
    place: &Placement,
) -> Result<Box<dyn Prior>> {
    load_weights(&mut network, path)?;
    Ok(Box::new(NormalizingFlow {
        ways,
        shape,
        condition,
        network: Placed::new(network, place),
    }))
}

/// A trained normalizing flow.
#[derive(Debug, Clone)]
struct NormalizingFlow<B> {
    ways: Ways,
    shape: PointShape,
    condition: Option<ConditionKind>,
    network: Placed<B>,
}

impl<B: Bijection> NormalizingFlow<B> {
    /// `points`, with the condition "none" added if the flow takes conditions and they have none.
    fn conditioned(&self, points: &Points) -> Points {
        let Some(kind) = self.condition.filter(|_| points.condition.is_none()) else {
            return points.clone();
        };
        let none = kind.encode(None, points.count(), &points.values.device());
        Points {
            condition: Some(none),
            ..points.clone()
        }
    }

    /// Applies the network to `points` in chunks.
    fn in_chunks<T>(
        &self,
        points: &Points,
        progress: Progress,
        mut of: impl FnMut(Points, Progress) -> Result<T>,
    ) -> Result<Vec<T>> {
        let points = self.conditioned(points);
        let (n, chunk) = (points.count(), self.network.plain.chunk(self.shape));
        let mut parts = Vec::new();
        for start in (0..n).step_by(chunk) {
            let count = chunk.min(n - start);
            let mut within =
                |share: f64| progress((start as f64 + share * count as f64) / n as f64);
            within(0.0)?;
            parts.push(of(points.narrow(start, count), &mut within)?);
        }
        progress(1.0)?;
        Ok(parts)
    }

    /// Device and element type, as of any parameter.
    fn placed(&self) -> (Device, DType) {
        struct First(Option<(Device, DType)>);
        impl ModuleVisitor for First {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                self.0
                    .get_or_insert_with(|| (param.val().device(), param.val().dtype()));
            }
        }
        let mut first = First(None);
        self.network.plain.visit(&mut first);
        first.0.expect("a network has weights")
    }
}

impl<B: Bijection> Prior for NormalizingFlow<B> {
    fn shape(&self) -> PointShape {
        self.shape
    }

    fn condition(&self) -> Option<ConditionKind> {
        self.condition
    }

    fn nll(&self, points: &Points, _: &NllOptions, progress: Progress) -> Result<Nll> {
        let network = &self.network.plain;
        let parts = self.in_chunks(points, progress, |part, _| Ok(network.nll(&part)))?;
        Nll::exact(Tensor::cat(parts, 0))
    }

    fn to_noise(&self, points: &Points, _: &NllOptions, progress: Progress) -> Result<Noised> {
        let network = &self.network.plain;
        let parts = self.in_chunks(points, progress, |part, _| Ok(network.to_noise(&part)))?;
        let (noise, log_det): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        Ok(Noised {
            noise: Tensor::cat(noise, 0).reshape(points.values.dims()),
            log_det: finite_nll(to_f64(Tensor::cat(log_det, 0))?)?,
        })
    }

    fn from_noise(
        &self,
        noise: Tensor<3>,
        condition: Option<Tensor<2>>,
        way: &Way,
        progress: Progress,
    ) -> Result<Carried> {
        self.ways.refuse(way)?;
        let given = Points {
            values: noise,
            condition,
        };
        let parts = self.in_chunks(&given, progress, |part, progress| {
            let (n, device) = (part.count(), part.values.device());
            let under = Under {
                condition: part.condition,
                none: self.condition.map(|kind| kind.encode(None, n, &device)),
            };
            let carried = (self.network.plain).from_noise(part.values, under, way, progress)?;
            Ok((carried.points, n, carried.evaluations))
        })?;
        let (mut points, mut evaluations) = (Vec::new(), Vec::new());
        for (part, n, of_part) in parts {
            let share = n as f64 / given.count() as f64;
            add_up(&mut evaluations, &of_part, share);
            points.push(part);
        }
        Ok(Carried {
            points: Tensor::cat(points, 0),
            evaluations,
        })
    }

    fn nll_graph(&self, points: &Points) -> Option<Tensor<1>> {
        let network = self.network.tracked.as_ref()?;
        Some(network.nll(&self.conditioned(points)))
    }

    fn parameters(&self) -> usize {
        self.network.plain.num_params()
    }

    fn device(&self) -> Device {
        self.placed().0
    }

    fn dtype(&self) -> DType {
        self.placed().1
    }

    fn save(&self, path: &Path, metadata: &str) -> Result<()> {
        save_weights(&self.network.plain, path, metadata)
    }
}
