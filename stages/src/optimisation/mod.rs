//! Search for sequences that an objective scores well: what was evaluated, and who proposes the next.

mod history;
mod latents;
mod proposer;

pub use history::{Direction, Evaluation, History};
pub use latents::{
    Latents, LatentsConfig, LengthRule, PerturbationConfig, RefitConfig, RegionsConfig,
    SurrogateConfig,
};
pub use proposer::{Proposal, Proposer};
