//! Search for sequences that an objective scores well: the history of evaluations, and proposers.

mod genetic;
mod history;
mod journal;
mod latents;
mod objective;
mod proposer;
mod random;
mod search;
mod start;
mod state;

pub use genetic::{Genetic, GeneticConfig, VariationKind};
pub use history::{Direction, Evaluation, History};
pub use journal::{Evaluated, Round};
pub use latents::{
    Latents, LatentsConfig, LengthRule, PerturbationConfig, RefitConfig, RegionsConfig,
    SurrogateConfig, SurrogateInput,
};
pub use objective::{
    Alphabet, Canonical, CommandConfig, EhrlichConfig, ExpressionConfig, Objective,
    ObjectiveConfig, Opened, Score, Space, Variation,
};
pub use proposer::{Proposal, Proposer};
pub use random::RandomSearch;
pub use search::{Budget, Outcome, Search, Start};
pub use start::{Row, Rows, StartConfig, Starting};
