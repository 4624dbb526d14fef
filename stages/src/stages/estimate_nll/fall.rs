//! Whether training made latents collapse. Collapse is a fall of the NLL compared with latents without a
//! regulariser, or else of the alignment loss compared with latents before training: an encoder that never spread
//! its latents has a small loss too. (Before training, latents lie in the middle of the target, which may have a
//! hole there, so their NLL is not informative.)

use super::config::Config;
use super::measure::{Instruments, Measured};
use super::regions::Sources;
use super::tables::first;
use crate::alignment::Weighting;
use crate::context::{Context, Summary};
use crate::data::read_dataset_f32;
use crate::error::Result;
use crate::figures::error_beside;
use crate::figures::estimate_nll::{FALL_FROM_UNALIGNED, FALL_SINCE_TRAINING, LATENTS, UNALIGNED};
use crate::numerics::{mean, standard_error};
use crate::stages::train_autoencoder::{INITIAL_DATASET, INITIAL_FILE};
use crate::tensors::spread;

/// Rows of data whose latents before training are evaluated.
const ROWS: usize = 100;

/// The fall of latents.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fall {
    /// Mean of the reference minus that of the latents.
    pub by: f64,
    /// Its standard error.
    pub error: f64,
    /// The quantity and its reference.
    pub kind: Kind,
}

/// The quantity that falls, and its reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// NLL in nats, compared with unaligned latents.
    Unaligned,
    /// Alignment loss under the uniform weighting, compared with latents before training.
    BeforeTraining,
}

impl Fall {
    /// The fall of the latents in `measured`: from unaligned ones if available, else from those before training.
    /// None if latents were not regularised towards the flow, and for transported latents, which no training made
    /// collapse.
    ///
    /// # Errors
    /// File errors of the latents before training; [`crate::Error::Cancelled`]; a numerical error for a loss that
    /// is not finite.
    pub fn of(
        measured: &[Measured],
        sources: &Sources,
        config: &Config,
        instruments: &Instruments,
        context: &Context,
    ) -> Result<Option<Self>> {
        let trained = sources.autoencoder.filter(|_| sources.transport.is_none());
        let file = trained.map(|dir| dir.join(INITIAL_FILE));
        let Some(file) = file.filter(|file| file.exists()) else {
            return Ok(None);
        };
        let known = |names: &[&str]| {
            let found = first(measured, names)?;
            let nll = &found.likelihoods.values;
            Some((mean(nll), standard_error(nll, found.region.group)))
        };
        let Some(latents) = known(&LATENTS) else {
            return Ok(None);
        };
        let (from, to, kind) = match known(&[UNALIGNED]) {
            Some(unaligned) => (unaligned, latents, Kind::Unaligned),
            None => {
                let (shape, points) = read_dataset_f32(&file, INITIAL_DATASET)?;
                let [_, tokens, width] = shape[..] else {
                    return Ok(None);
                };
                let rows = ROWS.min(config.points.div_ceil(tokens));
                let points = spread(&points, tokens * width, rows);
                let check = || context.check_cancelled();
                let Some(before) = instruments.uniform_losses(points, check)? else {
                    return Ok(None);
                };
                let own = first(measured, &LATENTS).map_or(&[][..], |m| uniform(m));
                let told = |losses: &[f64]| (mean(losses), standard_error(losses, tokens));
                (told(&before), told(own), Kind::BeforeTraining)
            }
        };
        Ok(Some(Self {
            by: from.0 - to.0,
            error: from.1.hypot(to.1),
            kind,
        }))
    }

    /// Whether it exceeds two standard errors.
    pub fn is_one(&self) -> bool {
        self.by > 2.0 * self.error
    }

    /// Adds the figures.
    pub fn note(&self, summary: &mut Summary) {
        let name = match self.kind {
            Kind::Unaligned => FALL_FROM_UNALIGNED,
            Kind::BeforeTraining => FALL_SINCE_TRAINING,
        };
        summary.add(name, self.by);
        summary.add(error_beside(name), self.error);
    }
}

/// The losses of a region's points under the uniform weighting.
fn uniform(measured: &Measured) -> &[f64] {
    &measured.losses[Weighting::Uniform.index()].values
}

/// The warning for latents that are likelier than features by more than two standard errors.
pub fn warning(fall: Option<Fall>) -> String {
    let likelier = "the latents are likelier than the features";
    let Some(fall) = fall else {
        return format!(
            "{likelier}: they cover less than the target; without a regulariser, latents before \
             training are not recorded, so this is not reported as collapse"
        );
    };
    let fell = match fall.kind {
        Kind::Unaligned => format!("and {:.2} nats likelier than unaligned latents", fall.by),
        Kind::BeforeTraining => {
            format!(
                "and their alignment loss fell by {:.2} during training",
                fall.by
            )
        }
    };
    match (fall.is_one(), fall.kind) {
        (true, _) => format!(
            "{likelier}, {fell}: collapse onto modes, which the alignment loss does not prevent; \
             lower train_autoencoder.regulariser.weight or use one of the remedies: `posterior: \
             {{kind: gaussian}}` with `regulariser: {{kind: flow_kl}}`, `posterior: {{kind: \
             fixed_noise}}`, or `regulariser: {{kind: distribution_matching}}`"
        ),
        (false, Kind::Unaligned) => format!(
            "{likelier}, and so are unaligned latents: they cover less than the target, which is not collapse"
        ),
        (false, Kind::BeforeTraining) => format!(
            "{likelier}, but their alignment loss did not fall during training: they cover less \
             than the target; compare with latents without a regulariser (estimate_nll.unaligned) \
             to see whether it keeps them there"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likelier_latents_are_collapse_only_after_a_fall() {
        for kind in [Kind::Unaligned, Kind::BeforeTraining] {
            let fall = |by| Fall {
                by,
                error: 0.5,
                kind,
            };
            let collapsed = warning(Some(fall(2.0)));
            assert!(
                collapsed.contains("collapse onto modes")
                    && collapsed.contains("regulariser.weight")
            );
            for told in [
                warning(Some(fall(0.9))),
                warning(Some(fall(-3.0))),
                warning(None),
            ] {
                assert!(
                    !told.contains("onto modes") && !told.contains("weight"),
                    "{told}"
                );
            }
        }
    }
}
