//! Flow matching as a prior: a velocity network and its probability-flow ODE, which maps noise to points.

mod config;
mod exact;
mod fit;
mod import;
mod matching;
mod network;
mod probability_flow;
mod tabulated;
mod velocity;

use super::condition::ConditionKind;
use super::drawing::{Carried, Way, Ways};
use super::field::VelocityField;
use super::kind::{Batch, Fit, Fitted, Offers, PriorConfig, Schedule};
use super::maximum_likelihood::told;
use super::placed::Placed;
use super::prior::{
    Halving, Nll, NllKind, NllOptions, Noised, Placement, PointShape, Points, Prior, Progress,
};
use crate::context::Context;
use crate::data::Part;
use crate::devices::{Numbers, Shared};
use crate::error::{Error, Result};
use crate::figures::{of_rows, pretrain_flow as names};
use crate::persist::{load_weights, save_weights};
use crate::problems::Problems;
use crate::random::Streams;
use crate::training::MatmulPrecision;
use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

pub use config::VelocityNetworkConfig;
pub use exact::ExactMixture;
use fit::Conditioning;
pub use fit::FitConfig;
pub use import::{ImportConfig, TimeDirection, import};
pub use matching::{Evaluation, flow_matching_loss, interpolate};
pub use network::VelocityNetwork;
use probability_flow::guided_points_of;
pub(super) use probability_flow::noise_of;
pub use probability_flow::{MOST_INTERVALS, negative_log_likelihood, points_of};
pub use tabulated::Tabulated;

/// Flow matching: a velocity network and its probability-flow ODE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FlowMatching {
    /// Size of the velocity network.
    pub network: VelocityNetworkConfig,
    /// Stratified times per step, each shared by batch / times points; the time embedding and its
    /// modulations are computed once for each.
    pub times: usize,
    /// Precision of the matrix products of training.
    pub precision: MatmulPrecision,
}

impl Default for FlowMatching {
    fn default() -> Self {
        Self {
            network: VelocityNetworkConfig::default(),
            times: 64,
            precision: MatmulPrecision::F32,
        }
    }
}

impl FlowMatching {
    /// A small configuration for tests.
    pub(super) fn example() -> Self {
        Self {
            network: VelocityNetworkConfig {
                width: 16,
                blocks: 1,
                frequencies: 8,
                time_scale: 10.0,
            },
            times: 8,
            ..Self::default()
        }
    }

    /// The settings for fitting by `schedule`.
    fn fit_config(&self, schedule: &Schedule) -> FitConfig {
        FitConfig {
            network: self.network.clone(),
            optimiser: schedule.optimiser.clone(),
            steps: schedule.steps,
            batch: schedule.batch,
            times: self.times,
            precision: self.precision,
        }
    }
}

/// Supported ways of sampling.
const WAYS: Ways = Ways {
    kind: "flow_matching",
    stepped: true,
    guided: true,
    sequential: false,
};

impl PriorConfig for FlowMatching {
    fn check(&self, problems: &mut Problems) {
        problems.section("network", |p| self.network.check(p));
    }

    fn check_with(&self, schedule: &Schedule, problems: &mut Problems) {
        fit::check_times(self.times, schedule.batch, problems);
    }

    fn numbers(&self) -> Option<Numbers> {
        Some(self.precision.numbers("model.precision"))
    }

    fn shared(&self, _: &Schedule) -> Option<Shared> {
        Some(Shared {
            key: "model.times",
            count: self.times,
        })
    }

    fn offers(&self) -> Offers {
        Offers::Velocity
    }

    fn nll(&self) -> NllKind {
        NllKind::Ode
    }

    fn conditional(&self) -> bool {
        true
    }

    fn ways(&self) -> Ways {
        WAYS
    }

    fn parameters(&self, shape: PointShape, condition: Option<ConditionKind>) -> u128 {
        (self.network).parameters(
            shape.elements(),
            condition.map_or(0, ConditionKind::columns),
        )
    }

    /// Figures: the flow-matching loss on held-out points, on the test part and of the exact velocity, if
    /// available, summed over dimensions. The exact velocity is not available under conditions.
    fn fit(&self, fit: Fit, context: &Context) -> Result<Fitted> {
        let Fit {
            shape,
            schedule,
            next,
            held_out,
            test,
            exact,
            streams,
            condition,
            dropout,
            bits: _,
            logit: _,
        } = fit;
        let evaluate = |part: &Batch| {
            let points = schedule.evaluation_points;
            Evaluation::new(
                part,
                condition,
                shape.elements(),
                points,
                streams,
                &context.device,
            )
        };
        let evaluation = evaluate(held_out);
        let (network, step) = self.fit_config(schedule).fit_under(
            condition.map(|kind| Conditioning { kind, dropout }),
            shape.elements(),
            next,
            &evaluation,
            (schedule.evaluate_every, schedule.early_stopping),
            streams,
            context,
        )?;
        let mut figures = told(schedule, step);
        let loss = evaluation.loss(&network)?;
        figures.add(of_rows(Part::HeldOut.word(), names::LOSS), loss);
        let (evaluation, loss) = match test {
            Some(test) => {
                let evaluation = evaluate(test);
                let loss = evaluation.loss(&network)?;
                figures.add(of_rows(Part::Test.word(), names::LOSS), loss);
                (evaluation, loss)
            }
            None => (evaluation, loss),
        };
        if let Some(exact) = exact.filter(|_| condition.is_none()) {
            let floor = evaluation.loss(exact)?;
            figures.add(names::FLOOR, floor);
            figures.add(names::LOSS_OVER_FLOOR, loss / floor);
        }
        let prior = Box::new(VelocityFlow {
            shape,
            condition,
            network: Placed::plain(network),
        });
        Ok(Fitted { prior, figures })
    }

    fn load(
        &self,
        path: &Path,
        shape: PointShape,
        condition: Option<ConditionKind>,
        place: &Placement,
    ) -> Result<Box<dyn Prior>> {
        let device = place.weights_device();
        let columns = condition.map_or(0, ConditionKind::columns);
        let streams = Streams::new(0);
        let mut network = (self.network).init_under(columns, shape.elements(), streams, &device);
        load_weights(&mut network, path)?;
        let network = network.in_precision(place.precision);
        Ok(Box::new(VelocityFlow {
            shape,
            condition,
            network: Placed::new(network, place),
        }))
    }
}

/// A trained velocity network and its probability-flow ODE.
pub(super) struct VelocityFlow {
    shape: PointShape,
    condition: Option<ConditionKind>,
    network: Placed<VelocityNetwork>,
}

impl VelocityFlow {
    /// Wraps `network` without autodiff.
    pub fn of(network: VelocityNetwork) -> Self {
        Self {
            shape: PointShape {
                tokens: 1,
                width: network.width(),
            },
            condition: None,
            network: Placed::plain(network),
        }
    }
}

impl VelocityFlow {
    /// The velocity of points under the rows of `condition` [n, c].
    fn under(&self, condition: Option<&Tensor<2>>) -> Option<Box<dyn VelocityField + '_>> {
        self.network.plain.under(condition?.clone())
    }

    /// The conditional velocity if there are conditions, else the plain one.
    fn field<'a>(
        &'a self,
        under: &'a Option<Box<dyn VelocityField + 'a>>,
    ) -> &'a dyn VelocityField {
        under.as_deref().unwrap_or(&self.network.plain)
    }
}

impl Prior for VelocityFlow {
    fn shape(&self) -> PointShape {
        self.shape
    }

    fn condition(&self) -> Option<ConditionKind> {
        self.condition
    }

    fn nll(&self, points: &Points, options: &NllOptions, progress: Progress) -> Result<Nll> {
        let under = self.under(points.condition.as_ref());
        negative_log_likelihood(self.field(&under), points.rows(), options, progress)
    }

    fn halving_check(
        &self,
        points: &Points,
        options: &NllOptions,
        progress: Progress,
    ) -> Result<Option<Halving>> {
        let under = self.under(points.condition.as_ref());
        let check = || progress(0.0);
        probability_flow::halving_check(self.field(&under), points.rows(), options, check).map(Some)
    }

    fn to_noise(
        &self,
        points: &Points,
        options: &NllOptions,
        progress: Progress,
    ) -> Result<Noised> {
        let under = self.under(points.condition.as_ref());
        noise_of(self.field(&under), points, options, progress)
    }

    fn from_noise(
        &self,
        noise: Tensor<3>,
        condition: Option<Tensor<2>>,
        way: &Way,
        progress: Progress,
    ) -> Result<Carried> {
        WAYS.refuse(way)?;
        let under = self.under(condition.as_ref());
        let field = self.field(&under);
        if way.guidance.is_off() {
            return points_of(field, noise, way.steps, progress);
        }
        let fields = [field, &self.network.plain];
        guided_points_of(fields, way.guidance.scale, noise, way.steps, progress)
    }

    fn nll_gradient(
        &self,
        points: &Points,
        options: &NllOptions,
        progress: Progress,
    ) -> Result<Vec<f64>> {
        let tracked = self.network.tracked.as_ref().ok_or_else(|| {
            Error::input("a gradient was asked of a flow that was not loaded for gradients")
        })?;
        let check = || progress(0.0);
        let under = self.under(points.condition.as_ref());
        let tracked_under =
            (points.condition.clone()).and_then(|c| tracked.under(Tensor::from_inner(c)));
        let fields = [
            self.field(&under),
            tracked_under.as_deref().unwrap_or(tracked),
        ];
        probability_flow::nll_gradient(fields, points.rows(), options, check)
    }

    fn velocity(&self) -> Option<&dyn VelocityField> {
        Some(&self.network.plain)
    }

    fn velocity_tracked(&self) -> Option<&dyn VelocityField> {
        self.network.tracked_field()
    }

    fn network(&self) -> Option<&VelocityNetwork> {
        self.network.tracked.as_ref()
    }

    fn parameters(&self) -> usize {
        self.network.plain.num_params()
    }

    fn device(&self) -> Device {
        self.network.plain.device()
    }

    fn dtype(&self) -> DType {
        self.network.plain.dtype()
    }

    fn save(&self, path: &Path, metadata: &str) -> Result<()> {
        save_weights(&self.network.plain, path, metadata)
    }
}
