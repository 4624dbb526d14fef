//! The likelihood of test data under the whole model of an experiment, and its kind: the quantity in tables of
//! models.
//!
//! Without an autoencoder, the model is the prior, fitted to the data itself. With one, it is a latent-variable
//! model: p(x|z) is its decoder, q(z|x) its encoder, and p(z) the prior of the regulariser's KL divergence.

mod config;
mod found;
mod of_autoencoder;
mod of_prior;
mod weigh;

use super::train_autoencoder::{self, vae::Likelihood};
use super::{AUTOENCODER, FLOW, Preparation, Prepared, Read, Sections, Stage, StageConfig};
use super::{Upstream, pretrain_flow};
use crate::context::{Context, Monitor, Summary};
use crate::data::Data;
use crate::error::{Error, Result};
use crate::priors::{Flow, Offers, Placement, stored};
use crate::problems::Problems;
pub use config::{By, Config};
use of_autoencoder::Model;
pub use weigh::importance_weighted;

impl StageConfig for Config {
    fn stage(&self) -> Stage {
        Stage::EvaluateLikelihood
    }

    fn check(&self, problems: &mut Problems) {
        self.check_values(problems);
    }

    fn check_with(&self, sections: &Sections, problems: &mut Problems) {
        if let Some(autoencoder) = sections.get::<train_autoencoder::Config>() {
            problems.require(
                autoencoder.data.is_some(),
                "train_autoencoder",
                "free points, which have no decoder",
                "an autoencoder of data, or no such section: then the flow's features are the data",
            );
        }
        let flow = sections.get::<pretrain_flow::Config>();
        let velocity = flow.is_none_or(|flow| flow.offers() >= Offers::Velocity);
        problems.require(
            self.by == By::Nll || velocity,
            "evaluate_likelihood.by",
            "bound, with a prior that has no velocity",
            "nll, or `pretrain_flow.model: {kind: flow_matching}`",
        );
    }

    fn reads(&self) -> Vec<Read> {
        vec![
            Read::own(FLOW, Stage::PretrainFlow),
            Read::optional(AUTOENCODER, Stage::TrainAutoencoder),
        ]
    }

    fn prepare(
        &self,
        upstream: &Upstream,
        seed: u64,
        monitor: &dyn Monitor,
    ) -> Result<Preparation> {
        let trained = upstream.config::<train_autoencoder::Config>(AUTOENCODER);
        let model = trained.map(|trained| -> Result<(train_autoencoder::Config, Data)> {
            if Likelihood::of(trained).is_none() {
                return Err(no_likelihood(trained));
            }
            let data = train_autoencoder::open(trained, seed, monitor)?;
            Ok((trained.clone(), data.expect("checked: it has data")))
        });
        Ok(Preparation::Ready(Box::new(Ready {
            config: self.clone(),
            model: model.transpose()?,
        })))
    }
}

fn no_likelihood(trained: &train_autoencoder::Config) -> Error {
    Error::input(format!(
        "train_autoencoder.regulariser: found {} with its keys, whose loss is no negative ELBO, expected `kl` or `flow_kl`, or \
         `{{kind: nll, entropy: 1}}` with a reconstruction in nats: then the autoencoder is a latent-variable model, which has a \
         likelihood",
        trained.regulariser.name()
    ))
}

/// The stage with the opened data of its autoencoder, if any.
struct Ready {
    config: Config,
    model: Option<(train_autoencoder::Config, Data)>,
}

impl Prepared for Ready {
    fn run(self: Box<Self>, upstream: &Upstream, context: &Context) -> Result<Summary> {
        let dir = upstream.dir(FLOW)?;
        let flow = Flow::load(dir, &Placement::on(&context.device))?;
        let found = match &self.model {
            None => of_prior::found(&self.config, &flow, dir, context)?,
            Some((trained, data)) => {
                let dir = upstream.dir(AUTOENCODER)?;
                let model = Model::load(dir, trained, data, &context.device)?;
                let kind = stored(upstream.dir(FLOW)?)?.model.kind().nll();
                model.found(&self.config, (&flow, kind), context)?
            }
        };
        found.report(context)
    }
}
