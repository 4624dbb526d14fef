//! SeqFlow as a kind of prior.

use super::config::{SeqFlow, WAYS};
use super::coupling::Coupling;
use super::network::Network;
use crate::context::Context;
use crate::error::Result;
use crate::priors::bijection::{fit_bijection, load_bijection};
use crate::priors::condition::ConditionKind;
use crate::priors::drawing::Ways;
use crate::priors::kind::{Fit, Fitted, PriorConfig};
use crate::priors::prior::{Placement, PointShape, Prior};
use crate::problems::Problems;
use crate::random::Streams;
use std::path::Path;

impl PriorConfig for SeqFlow {
    fn check(&self, problems: &mut Problems) {
        problems.within("blocks", self.blocks, 1..=64);
        problems.within("couplings", self.couplings, 1..=64);
        problems.within("hidden", self.hidden, 1..=16_384);
        problems.section("context", |p| self.context.check(p));
        problems.section("embedding", |p| self.embedding.check(p));
    }

    fn check_shape(&self, shape: PointShape) -> Result<(), String> {
        match shape.width {
            0 | 1 => Err(
                "tokens of at least 2 numbers, since couplings split each: `rows: {split: T}` with a smaller T for \
                 vectors"
                    .into(),
            ),
            _ => Ok(()),
        }
    }

    fn ways(&self) -> Ways {
        WAYS
    }

    fn parameters(&self, shape: PointShape, _: Option<ConditionKind>) -> u128 {
        let dims = [shape.tokens as u128, shape.width as u128];
        let (context, hidden) = (self.context.width() as u128, self.hidden as u128);
        let couplings = self.couplings as u128 * Coupling::parameters(dims[1], context, hidden);
        self.blocks as u128 * (self.context.parameters(dims) + couplings)
    }

    fn fit(&self, fit: Fit, context: &Context) -> Result<Fitted> {
        let device = context.device.clone().autodiff();
        let network = Network::new(self, fit.shape, fit.streams, &device);
        fit_bijection(network, WAYS, fit, context)
    }

    fn load(
        &self,
        path: &Path,
        shape: PointShape,
        condition: Option<ConditionKind>,
        place: &Placement,
    ) -> Result<Box<dyn Prior>> {
        let network = Network::new(self, shape, Streams::new(0), &place.weights_device());
        load_bijection(network, WAYS, path, (shape, condition), place)
    }
}
