//! Stage 2: trains an autoencoder whose latents follow the frozen flow.

mod before;
mod config;
mod contracted;
mod diagnose;
mod elbo;
pub(super) mod evidence;
mod fine_tune;
mod objective;
mod of_data;
mod of_points;
mod outputs;
mod prior;
#[cfg(test)]
mod tests;
mod thinned;
mod trajectory;
pub(super) mod vae;

use super::witness::{self, WITNESS};
use super::{
    CLASSIFIER, FLOW, Made, Preparation, Read, Sections, Stage, StageConfig, Upstream,
    pretrain_flow,
};
use crate::alignment::{Against, RegulariserConfig};
use crate::architectures::ArchitectureConfig;
use crate::autoencoders::Reconstruction;
use crate::classifiers::LabelledFeatures;
use crate::context::{Context, Monitor, Summary};
use crate::data::{Data, Demands, Element, Files, Part, Scan, files_of_parts};
use crate::devices::{Numbers, Shared};
use crate::error::{Error, Result};
use crate::priors::{KeptPoints, Placement, PointShape};
use crate::problems::Problems;
pub use before::{DATASET as INITIAL_DATASET, FILE as INITIAL_FILE};
pub use config::Config;
pub use contracted::LEARNED;
pub use diagnose::{Diagnosed, alone, diagnose};
use of_data::train_on;
use of_points::move_points;
pub use prior::Prior;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
pub use thinned::thin;

impl StageConfig for Config {
    fn stage(&self) -> Stage {
        Stage::TrainAutoencoder
    }

    fn example() -> Value {
        json!({"data": {"file": "images.h5"}, "latent": {"width": 16}})
    }

    fn check(&self, problems: &mut Problems) {
        self.check_values(problems);
    }

    /// Some regularisers need a prior with a velocity or a network.
    fn check_with(&self, sections: &Sections, problems: &mut Problems) {
        if let RegulariserConfig::Features(features) = &self.regulariser {
            problems.require(
                features.classifier.is_some() || sections.has(Stage::TrainClassifier),
                "train_autoencoder.regulariser.classifier",
                "nothing, and no `train_classifier` section",
                "one of them: the file of an experiment that trains a classifier, or such a section here",
            );
        }
        let Some(flow) = sections.get::<pretrain_flow::Config>() else {
            return; // a stored flow is checked when it is read
        };
        problems.require(
            flow.normalisation.logit.is_none(),
            "pretrain_flow.normalisation.logit",
            "a flow of the logits of pixels beside an autoencoder",
            "none: latents are not in the range of pixels, and have no likelihood under such a flow",
        );
        problems.require(
            flow.model.kind().offers() >= self.regulariser.kind().asks(),
            "train_autoencoder.regulariser.kind",
            format!(
                "one that needs more than `pretrain_flow.model: {{kind: {}}}` offers",
                flow.model.name()
            ),
            "`nll`, which works with every prior, or `model: {kind: flow_matching}`",
        );
    }

    fn reads(&self) -> Vec<Read> {
        let other = match &self.regulariser {
            RegulariserConfig::Nll(nll) => {
                let prior = nll.prior.clone();
                prior.map(|file| witness::read(file, "regulariser.prior"))
            }
            RegulariserConfig::Features(features) => Some(
                Read::own(CLASSIFIER, Stage::TrainClassifier)
                    .of("regulariser.classifier", features.classifier.clone()),
            ),
            _ => None,
        };
        let start = (self.fine_tune.iter()).map(|fine_tune| {
            Read::own(START, Stage::TrainAutoencoder).of("fine_tune.from", fine_tune.from.clone())
        });
        let flow = [Read::own(FLOW, Stage::PretrainFlow)];
        flow.into_iter().chain(other).chain(start).collect()
    }

    fn check_made(&self, read: &Read, made: &[Made]) -> std::result::Result<(), String> {
        match read.role {
            WITNESS => witness::check(made),
            _ => Ok(()),
        }
    }

    fn numbers(&self) -> Option<Numbers> {
        Some(self.precision.numbers("precision"))
    }

    /// Free points stay together: each is a parameter.
    fn shared(&self) -> Option<Shared> {
        (self.data.as_ref()).map(|_| Shared::of_batch(self.batch))
    }

    fn inputs(&mut self) -> Vec<(String, &mut PathBuf)> {
        let data = self.data.iter_mut();
        data.flat_map(|data| data.file.inputs("data.file"))
            .chain(files_of_parts(&mut self.held_out, &mut self.test))
            .collect()
    }

    fn data_files(&mut self) -> Vec<(&'static str, &mut Files)> {
        let data = self.data.iter_mut();
        data.map(|data| ("data.file", &mut data.file)).collect()
    }

    fn experiments(&mut self) -> Vec<&mut Option<PathBuf>> {
        let start = self
            .fine_tune
            .iter_mut()
            .map(|fine_tune| &mut fine_tune.from);
        self.regulariser
            .experiment()
            .into_iter()
            .chain(start)
            .collect()
    }

    fn prepare(
        &self,
        upstream: &Upstream,
        seed: u64,
        monitor: &dyn Monitor,
    ) -> Result<Preparation> {
        let Some(points) = upstream.points(FLOW)? else {
            return Ok(Preparation::Wait);
        };
        if witness::dir(upstream).is_some() {
            match witness::elements(upstream, PRIOR)? {
                Some(elements) => self.check_witness(elements)?,
                None => return Ok(Preparation::Wait),
            }
        }
        let prepared = prepare(self, seed, points, monitor)?;
        if self.regulariser.kind().needs_rows()
            && let (Some(data), Some(classifier)) = (&prepared.data, upstream.made(CLASSIFIER)?)
        {
            require_classified(data, classifier)?;
        }
        if let (Some(sampling), Some(flow)) =
            (self.regulariser.kind().samples(), upstream.made(FLOW)?)
        {
            let kept = KeptPoints::load(Part::Train, flow)?;
            sampling.check_features(kept.as_ref(), points, self.latent.shape())?;
        }
        Ok(Preparation::Ready(Box::new(prepared)))
    }
}

impl super::Prepared for Prepared {
    fn run(self: Box<Self>, upstream: &Upstream, context: &Context) -> Result<Summary> {
        let others = Others {
            witness: witness::dir(upstream),
            classifier: upstream.dir_if_any(CLASSIFIER),
            start: upstream.dir_if_any(START),
        };
        (*self).run(upstream.dir(FLOW)?, others, context)
    }
}

/// Directories of artifacts that are read if they are configured.
#[derive(Debug, Clone, Copy, Default)]
pub struct Others<'a> {
    /// A prior that the regulariser uses instead of the flow.
    pub witness: Option<&'a Path>,
    /// A classifier whose features the regulariser compares latents with.
    pub classifier: Option<&'a Path>,
    /// The autoencoder to start from.
    pub start: Option<&'a Path>,
}

/// Refuses the classifier in the directory `classifier` if it was trained on other data.
fn require_classified(data: &Data, classifier: &Path) -> Result<()> {
    let found = Scan::read(classifier)?;
    if found.digest == data.ingest.scan.digest {
        return Ok(());
    }
    Err(Error::input(format!(
        "train_autoencoder.regulariser.classifier: found a classifier of {} rows of width {} (digest {:.12}), expected \
         one of the same rows as {} (digest {:.12}); give train_classifier.data and train_autoencoder.data the same file \
         and dataset",
        found.rows,
        found.width,
        found.digest,
        data.ingest.dataset.describe(),
        data.ingest.scan.digest
    )))
}

/// Role of the autoencoder to start from.
const START: &str = "start";
/// The key for the prior of another experiment.
const PRIOR: &str = "train_autoencoder.regulariser.prior";

impl Config {
    /// Refuses a witness whose points do not fit a latent.
    fn check_witness(&self, elements: usize) -> Result<()> {
        let latent = self.latent.shape();
        if latent.elements().is_multiple_of(elements) {
            return Ok(());
        }
        Err(Error::input(format!(
            "{PRIOR}: found a prior over points of {elements} numbers, expected a divisor of the \
             numbers of a latent, {} tokens of {}; set train_autoencoder.latent.tokens to {}, or \
             fit a prior of single tokens (`pretrain_flow.rows: tokens` there)",
            latent.tokens,
            latent.width,
            elements.div_ceil(latent.width)
        )))
    }
}

/// The stage with its input opened, scanned and validated.
pub struct Prepared {
    config: Config,
    data: Option<Data>,
}

/// Opens and scans the data; problems with it, or with a flow over points of shape `flow`, are found here, before
/// any training.
///
/// # Errors
/// File errors; input errors for data or latents that do not match.
fn prepare(
    config: &Config,
    seed: u64,
    flow: PointShape,
    monitor: &dyn Monitor,
) -> Result<Prepared> {
    let PointShape { tokens, width } = flow;
    if config.latent.width != width {
        return Err(Error::input(format!(
            "train_autoencoder.latent.width: found {}, expected {width}, the width of the \
             flow's points; set it to {width}, or change pretrain_flow.normalisation.projection",
            config.latent.width
        )));
    }
    if tokens != 1 && config.latent.tokens != tokens {
        return Err(Error::input(format!(
            "train_autoencoder.latent.tokens: found {}, expected {tokens}, the tokens of a point of the flow; \
             set it to {tokens}, or fit a flow of single tokens (`pretrain_flow.rows: tokens`)",
            config.latent.tokens
        )));
    }
    let against = config.regulariser.kind().divergence_from();
    if tokens != 1 && matches!(against, Some(Against::Flow(_))) {
        return Err(Error::input(format!(
            "train_autoencoder.regulariser.kind: found {} with points of {tokens} tokens, \
             expected points of one (`pretrain_flow.rows: tokens`): its bound applies to single \
             tokens; use `alignment` or `nll`",
            config.regulariser.name()
        )));
    }
    Ok(Prepared {
        config: config.clone(),
        data: open(config, seed, monitor)?,
    })
}

/// Opens and scans the data of `config`, if any.
///
/// # Errors
/// File errors; input errors for data that does not match the configuration.
pub(super) fn open(config: &Config, seed: u64, monitor: &dyn Monitor) -> Result<Option<Data>> {
    let demands = Demands {
        stage: "train_autoencoder",
        parts: [&config.held_out, &config.test],
        images_only: config.architecture.takes_images(),
        batch: config.batch,
        bounded: config.reconstruction.in_nats(),
        binarise: config.binarise,
    };
    let data = (config.data.as_ref())
        .map(|data| Data::read(data, demands, seed, monitor))
        .transpose()?;
    if let Some(data) = &data
        && config.reconstruction == Reconstruction::DiscretisedLogistic
        && data.ingest.dataset.element() != Element::U8
    {
        return Err(Error::input(format!(
            "{}: found real numbers, expected integers in u8 for `reconstruction: \
             discretised_logistic`; use `mse` or `bernoulli` for others",
            data.ingest.dataset.describe()
        )));
    }
    Ok(data)
}

impl Prepared {
    /// Trains the autoencoder against the flow in the directory `flow` and the `others`, and fills the directory of
    /// `context`.
    ///
    /// # Errors
    /// File errors; an input error for a flow over points of another shape than the latents;
    /// [`crate::Error::Diverged`]; [`crate::Error::Cancelled`].
    pub fn run(self, flow: &Path, others: Others, context: &Context) -> Result<Summary> {
        let place = Placement {
            precision: self.config.precision,
            ..Placement::on(&context.device).for_gradients()
        };
        let prior = Prior::load(flow, &place)?.also_on(&context.replicas, flow, &place)?;
        let prior = match self.config.regulariser.kind().samples() {
            Some(_) => prior.with_training_features(flow)?,
            None => prior,
        };
        let prior = match (&self.data, others.classifier) {
            (Some(data), Some(classifier)) => {
                require_classified(data, classifier)?;
                let of_rows = Some(LabelledFeatures::load(classifier)?);
                Prior { of_rows, ..prior }
            }
            _ => prior,
        };
        let prior = match others.witness {
            Some(witness) => prior.beside(witness, &place)?,
            None => prior,
        };
        match &self.data {
            Some(data) => train_on(&self.config, data, &prior, others.start, context),
            None => {
                let ArchitectureConfig::Points { count } = self.config.architecture else {
                    unreachable!("a configuration without data is checked to have free points");
                };
                move_points(&self.config, count, &prior, context)
            }
        }
    }
}
