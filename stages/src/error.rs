//! What can go wrong in a stage, sorted by what the reader has to do about it.

use std::path::{Path, PathBuf};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a stage stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input is wrong. The message names the file or key, what was found, what was expected and
    /// how to fix it.
    #[error("{0}")]
    Input(String),
    /// A file could not be read or written.
    #[error("{path}: {message}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        message: String,
    },
    /// The numbers went wrong: a loss that is not finite, a solver that does not converge.
    #[error("{0}")]
    Numerical(String),
    /// A training came to numbers that are not finite.
    #[error("{what} after step {step}; lower optimiser.learning_rate or optimiser.gradient_clip")]
    Diverged {
        /// The first such step, from 0.
        step: u64,
        /// What is not finite, such as `the loss is NaN`.
        what: String,
    },
    /// The device cannot do what was asked.
    #[error("{0}")]
    Device(String),
    /// The user asked to stop.
    #[error("stopped on request")]
    Cancelled,
}

impl Error {
    /// Wrong input, described in full.
    pub fn input(message: impl Into<String>) -> Self {
        Self::Input(message.into())
    }

    /// The same with where it happened in front, if it is wrong input.
    #[must_use]
    pub fn under(self, place: &str) -> Self {
        match self {
            Self::Input(why) => Self::Input(format!("{place}: {why}")),
            other => other,
        }
    }

    /// Of two that came of the same training, the one that happened first: divergences know their step.
    /// Of one step it is `later`, which is of what was computed last.
    #[must_use]
    pub fn earlier(self, later: Self) -> Self {
        match (&self, &later) {
            (Self::Diverged { step: a, .. }, Self::Diverged { step: b, .. }) if b <= a => later,
            _ => self,
        }
    }

    /// A failure of the file system or of a file format.
    pub fn file(path: impl AsRef<Path>, message: impl ToString) -> Self {
        Self::File {
            path: path.as_ref().to_owned(),
            message: message.to_string(),
        }
    }
}
