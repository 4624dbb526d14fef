//! What scores sequences, each kind in a file: arithmetic expressions, Ehrlich functions, any program.

mod canonical;
mod command;
mod ehrlich;
mod expression;
mod scoring;
mod space;

use crate::error::Result;
use crate::problems::Problems;
pub use canonical::Canonical;
pub use command::CommandConfig;
use ehrlich::Ehrlich;
pub use ehrlich::EhrlichConfig;
pub use expression::ExpressionConfig;
use expression::Expressions;
use schemars::JsonSchema;
pub use scoring::{Objective, Score};
use serde::{Deserialize, Serialize};
pub use space::{Alphabet, Space, Variation};
use std::path::PathBuf;
use std::sync::Arc;

/// What sequences are searched for, by `kind`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ObjectiveConfig {
    /// Arithmetic expressions that fit a function; lower is better.
    Expression(ExpressionConfig),
    /// An Ehrlich function: sequences that may be drawn from a Markov chain and hold motifs; 1 is the highest score.
    Ehrlich(EhrlichConfig),
    /// Whatever a program scores.
    Command(CommandConfig),
}

/// An objective that is ready to score.
pub struct Opened {
    /// It.
    pub objective: Box<dyn Objective>,
    /// The texts that it takes, where that is known.
    pub space: Option<Arc<dyn Space>>,
    /// How it writes them.
    pub canonical: Canonical,
}

impl ObjectiveConfig {
    /// Notes every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        match self {
            Self::Expression(config) => config.check(problems),
            Self::Ehrlich(config) => config.check(problems),
            Self::Command(config) => config.check(problems),
        }
    }

    /// The file that it reads, if any, with its key.
    pub fn input(&mut self) -> Option<(&'static str, &mut PathBuf)> {
        match self {
            Self::Command(config) => config
                .script
                .as_mut()
                .map(|script| ("objective.script", script)),
            Self::Expression(_) | Self::Ehrlich(_) => None,
        }
    }

    /// Ready to score; a program is looked for, and started when it is asked.
    ///
    /// # Errors
    /// An input error for a program that is not there.
    pub fn open(&self) -> Result<Opened> {
        Ok(match self {
            Self::Expression(config) => Opened::known(Expressions::new(config.clone())),
            Self::Ehrlich(config) => Opened::known(Ehrlich::new(config.clone())),
            Self::Command(config) => Opened {
                objective: Box::new(config.open()?),
                space: None,
                canonical: Canonical::by(config.open_canonical()?),
            },
        })
    }
}

impl Opened {
    fn known(objective: impl Objective + Space + Clone + 'static) -> Self {
        Self {
            space: Some(Arc::new(objective.clone())),
            objective: Box::new(objective),
            canonical: Canonical::default(),
        }
    }
}
