//! How latents are compared with target samples.

use super::latents::Latents;
use crate::error::{Error, Result};
use crate::priors::{KeptPoints, PointShape};
use crate::problems::Problems;

/// How many rows are compared, and what a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    /// What a row is: all tokens of a row of data, or one token.
    pub latents: Latents,
    /// Target rows drawn at each step, and the largest number of latents compared with them.
    pub batch: usize,
}

/// Default number of target rows at a step.
pub(super) const BATCH: usize = 256;

impl Sampling {
    pub(super) fn of(latents: Latents, batch: usize) -> Self {
        Self { latents, batch }
    }

    /// Reports values out of range.
    pub(super) fn check(self, problems: &mut Problems) {
        problems.within("batch", self.batch, 2..=16_384);
    }

    /// Numbers of a compared row, for latents of shape `latent`.
    pub(super) fn width(self, latent: PointShape) -> usize {
        match self.latents {
            Latents::Whole => latent.elements(),
            Latents::Tokens => latent.width,
        }
    }

    /// Checks that `kept`, the training features of a prior over points of shape `prior`, suffice for latents of
    /// shape `latent`.
    ///
    /// # Errors
    /// An input error without features, for too few of them, or for tokens of a prior over whole rows.
    pub fn check_features(
        self,
        kept: Option<&KeptPoints>,
        prior: PointShape,
        latent: PointShape,
    ) -> Result<()> {
        let Some(kept) = kept else {
            return Err(Error::input(
                "train_autoencoder.regulariser.kind: found one that compares latents with the target's features, and \
                 a flow without training features (train.h5), expected a flow that this version has pretrained: an \
                 imported one and those of the program (`flow: words-16`) have none, and one of an earlier version \
                 has to be made again",
            ));
        };
        self.latents.check_prior(prior, self.width(latent))?;
        let points = kept.points.values.len() / prior.elements();
        if self.batch <= points {
            return Ok(());
        }
        Err(Error::input(format!(
            "train_autoencoder.regulariser.batch: found {}, expected at most {points}, the number of training \
             features that are kept with the flow; lower it, or give pretrain_flow.features more rows",
            self.batch
        )))
    }
}
