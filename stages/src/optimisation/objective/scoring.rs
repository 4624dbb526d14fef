//! The interface of objectives.

use crate::error::Result;
use crate::optimisation::Direction;

/// The score of a text; none if it is infeasible.
pub type Score = Option<f64>;

/// Scores texts. Equal texts have equal scores.
pub trait Objective {
    /// Which direction is better.
    fn direction(&self) -> Direction;

    /// Scores `texts` in order. `sink` receives scores as they arrive, each once, and stores them, so that they are
    /// never computed again.
    ///
    /// # Errors
    /// Those of `sink`; [`crate::Error::Cancelled`] if `cancelled` says so; an input error for a program that
    /// violates the protocol.
    fn score(
        &mut self,
        texts: &[&str],
        cancelled: &dyn Fn() -> bool,
        sink: &mut dyn FnMut(&[Score]) -> Result<()>,
    ) -> Result<()>;
}
