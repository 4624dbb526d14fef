//! Who proposes what is evaluated next.

use super::history::History;
use crate::error::Result;
use crate::random::Streams;
use std::path::Path;

/// A text to evaluate, and what the one who proposed it says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// The text.
    pub text: String,
    /// The trust region that it is from, where there are regions.
    pub region: Option<u32>,
    /// The score that a surrogate expects, in the objective's own direction.
    pub predicted: Option<f64>,
    /// The standard deviation of that.
    pub uncertainty: Option<f64>,
    /// How far the latent that was chosen is from that of its sequence: the root mean square over its numbers.
    pub moved: Option<f64>,
    /// By how much the scores that the surrogate expects of these two differ.
    pub discrepancy: Option<f64>,
}

impl Proposal {
    /// Of `text` alone.
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

/// Proposes what is evaluated next. What it does in a round depends on its state before the round, the history, and the
/// streams at that round, and on nothing else: an interrupted round is proposed again as it was.
pub trait Proposer {
    /// At most `count` texts for `round` (from 1), none of them twice and none in `history`; none at all where it finds
    /// nothing new.
    ///
    /// # Errors
    /// [`crate::Error::Cancelled`] where `cancelled` says so; numerical and device errors.
    fn propose(
        &mut self,
        history: &History,
        count: usize,
        streams: Streams,
        round: u64,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<Proposal>>;

    /// Those of `texts` that the model can encode, each with what it becomes by way of its latent; none where there is no
    /// model.
    ///
    /// # Errors
    /// Device errors.
    fn encoded_and_back(&self, _texts: &[&str]) -> Result<Vec<(usize, String)>> {
        Ok(Vec::new())
    }

    /// Writes its state between rounds into the folder `dir`; does nothing where it has none.
    ///
    /// # Errors
    /// File errors.
    fn save(&self, _dir: &Path) -> Result<()> {
        Ok(())
    }

    /// Takes the state that [`Self::save`] wrote to `dir`.
    ///
    /// # Errors
    /// File errors; an input error for the state of another search.
    fn restore(&mut self, _dir: &Path) -> Result<()> {
        Ok(())
    }
}
