//! The standard normal distribution, without parameters: the prior of a plain VAE, and the moments of
//! whitened features.

use super::condition::ConditionKind;
use super::drawing::{Carried, Way, Ways};
use super::field::VelocityField;
use super::flow_matching::ExactMixture;
use super::kind::{Fit, Fitted, Offers, PriorConfig, Schedule};
use super::placed::Placed;
use super::prior::{
    Nll, NllOptions, Noised, Placement, PointShape, Points, Prior, Progress, normal_nll,
};
use crate::context::{Context, Summary};
use crate::devices::Shared;
use crate::error::Result;
use crate::persist::save_tensors;
use crate::targets::GaussianMixture;
use burn::tensor::{DType, Device, Tensor};
use safetensors::tensor::TensorView;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The standard normal distribution; nothing is trained.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Normal {}

/// N(0, I) over points.
struct StandardNormal {
    shape: PointShape,
    place: Placement,
    velocity: Placed<ExactMixture>,
}

impl StandardNormal {
    fn new(shape: PointShape, place: &Placement) -> Self {
        let elements = shape.elements();
        let one = GaussianMixture {
            weights: vec![1.0],
            means: vec![vec![0.0; elements]],
            covariances: vec![nalgebra::DMatrix::identity(elements, elements).data.into()],
        };
        Self {
            shape,
            place: place.clone(),
            velocity: Placed::made(place, |device| ExactMixture::new(&one, place.dtype, device)),
        }
    }
}

/// Supported ways of sampling.
const WAYS: Ways = Ways::plain("normal");

impl PriorConfig for Normal {
    /// Nothing is trained.
    fn shared(&self, _: &Schedule) -> Option<Shared> {
        None
    }

    fn offers(&self) -> Offers {
        Offers::Velocity
    }

    fn ways(&self) -> Ways {
        WAYS
    }

    fn parameters(&self, _: PointShape, _: Option<ConditionKind>) -> u128 {
        0
    }

    fn fit(&self, fit: Fit, context: &Context) -> Result<Fitted> {
        Ok(Fitted {
            prior: Box::new(StandardNormal::new(
                fit.shape,
                &Placement::on(&context.device),
            )),
            figures: Summary::default(),
        })
    }

    fn load(
        &self,
        _: &Path,
        shape: PointShape,
        _: Option<ConditionKind>,
        place: &Placement,
    ) -> Result<Box<dyn Prior>> {
        Ok(Box::new(StandardNormal::new(shape, place)))
    }
}

impl Prior for StandardNormal {
    fn shape(&self) -> PointShape {
        self.shape
    }

    fn nll(&self, points: &Points, _: &NllOptions, progress: Progress) -> Result<Nll> {
        progress(0.0)?;
        Nll::exact(normal_nll(points.rows()))
    }

    fn to_noise(&self, points: &Points, _: &NllOptions, progress: Progress) -> Result<Noised> {
        progress(0.0)?;
        Ok(Noised {
            noise: points.values.clone(),
            log_det: vec![0.0; points.count()],
        })
    }

    fn from_noise(
        &self,
        noise: Tensor<3>,
        _: Option<Tensor<2>>,
        way: &Way,
        progress: Progress,
    ) -> Result<Carried> {
        WAYS.refuse(way)?;
        progress(0.0)?;
        Ok(Carried {
            points: noise,
            evaluations: Vec::new(),
        })
    }

    fn nll_graph(&self, points: &Points) -> Option<Tensor<1>> {
        (self.place.gradients).then(|| normal_nll(points.rows()).flatten(0, 1))
    }

    fn velocity(&self) -> Option<&dyn VelocityField> {
        Some(&self.velocity.plain)
    }

    fn velocity_tracked(&self) -> Option<&dyn VelocityField> {
        self.velocity.tracked_field()
    }

    fn parameters(&self) -> usize {
        0
    }

    fn device(&self) -> Device {
        self.place.device.clone()
    }

    fn dtype(&self) -> DType {
        self.place.dtype
    }

    fn save(&self, path: &Path, metadata: &str) -> Result<()> {
        let none: [(&str, TensorView); 0] = [];
        save_tensors(none, metadata.to_owned(), path)
    }
}
