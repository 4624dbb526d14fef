//! What is asked of an objective.

use crate::error::Result;
use crate::optimisation::Direction;

/// The score of a text; none where it is infeasible.
pub type Score = Option<f64>;

/// Scores texts. Equal texts have equal scores.
pub trait Objective {
    /// Which scores are better.
    fn direction(&self) -> Direction;

    /// Scores `texts` in order. `sink` gets scores as they come, each once, and keeps them: what it was given is paid for and
    /// never asked again.
    ///
    /// # Errors
    /// Those of `sink`; [`crate::Error::Cancelled`] where `cancelled` says so; an input error for a program that does not
    /// do what is asked.
    fn score(
        &mut self,
        texts: &[&str],
        cancelled: &dyn Fn() -> bool,
        sink: &mut dyn FnMut(&[Score]) -> Result<()>,
    ) -> Result<()>;
}
