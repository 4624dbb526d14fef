//! The interface of proposers.

use super::history::History;
use crate::error::Result;
use crate::random::Streams;
use std::path::Path;

/// A text to evaluate, with information from its proposer.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// The text.
    pub text: String,
    /// The trust region it is from, if any.
    pub region: Option<u32>,
    /// The score predicted by a surrogate, in the objective's own direction.
    pub predicted: Option<f64>,
    /// Its standard deviation.
    pub uncertainty: Option<f64>,
    /// The distance of the chosen latent from the latent of its sequence: the root mean square over elements.
    pub moved: Option<f64>,
    /// The difference of the scores that the surrogate predicts at these two latents.
    pub discrepancy: Option<f64>,
}

impl Proposal {
    /// A proposal without further information.
    pub fn of(text: String) -> Self {
        Self {
            text,
            region: None,
            predicted: None,
            uncertainty: None,
            moved: None,
            discrepancy: None,
        }
    }
}

/// Proposes the texts to evaluate next. A round depends only on the state before the round, the history, and the
/// random streams of the round, so that an interrupted round is repeated identically.
pub trait Proposer {
    /// At most `count` texts for `round` (from 1), without repetitions and not in `history`; empty if it finds
    /// nothing new.
    ///
    /// # Errors
    /// [`crate::Error::Cancelled`] if `cancelled` says so; numerical and device errors.
    fn propose(
        &mut self,
        history: &History,
        count: usize,
        streams: Streams,
        round: u64,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<Proposal>>;

    /// Those of `texts` that the model can encode, each with its reconstruction; empty without a model.
    ///
    /// # Errors
    /// Device errors.
    fn encoded_and_back(&self, _texts: &[&str]) -> Result<Vec<(usize, String)>> {
        Ok(Vec::new())
    }

    /// Writes its state between rounds into the folder `dir`; does nothing for a stateless proposer.
    ///
    /// # Errors
    /// File errors.
    fn save(&self, _dir: &Path) -> Result<()> {
        Ok(())
    }

    /// Restores the state that [`Self::save`] wrote to `dir`.
    ///
    /// # Errors
    /// File errors; an input error for the state of another search.
    fn restore(&mut self, _dir: &Path) -> Result<()> {
        Ok(())
    }
}
