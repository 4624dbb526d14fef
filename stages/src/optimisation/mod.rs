//! Search for sequences that an objective scores well: what was evaluated, and who proposes the next.

mod history;
mod proposer;

pub use history::{Direction, Evaluation, History};
pub use proposer::{Proposal, Proposer};
