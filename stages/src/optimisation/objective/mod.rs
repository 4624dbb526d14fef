//! Objectives for sequences, one kind per file: arithmetic expressions, Ehrlich functions, external programs.

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

/// The objective of a search, by `kind`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ObjectiveConfig {
    /// Arithmetic expressions that fit a function; smaller is better.
    Expression(ExpressionConfig),
    /// An Ehrlich function: sequences of a Markov chain that contain motifs; the largest score is 1.
    Ehrlich(EhrlichConfig),
    /// Scores of an external program.
    Command(CommandConfig),
}

/// An objective ready for scoring.
pub struct Opened {
    /// The objective.
    pub objective: Box<dyn Objective>,
    /// The space of its texts, if known.
    pub space: Option<Arc<dyn Space>>,
    /// Its canonical form of texts.
    pub canonical: Canonical,
}

impl ObjectiveConfig {
    /// Reports every value out of range.
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

    /// Opens the objective; an external program is located now, and started on first use.
    ///
    /// # Errors
    /// An input error for a program that does not exist.
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
