//! Errors of stages, by what the user has to do about them.

use std::path::{Path, PathBuf};

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a stage stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input is wrong. The message names the file or key, what was found, what was expected, and
    /// how to fix it.
    #[error("{0}")]
    Input(String),
    /// A file could not be read or written.
    #[error("{path}: {message}", path = path.display())]
    File {
        path: PathBuf,
        /// The system's message.
        message: String,
    },
    /// A numerical failure: a loss that is not finite, a solver that does not converge.
    #[error("{0}")]
    Numerical(String),
    /// A training reached values that are not finite.
    #[error("{what} after step {step}; lower optimiser.learning_rate or optimiser.gradient_clip")]
    Diverged {
        /// The first such step, from 0.
        step: u64,
        /// The value that is not finite, such as `the loss is NaN`.
        what: String,
    },
    /// The device does not support the operation.
    #[error("{0}")]
    Device(String),
    /// The user asked to stop.
    #[error("stopped on request")]
    Cancelled,
}

impl From<latent_align_hdf5::Error> for Error {
    fn from(error: latent_align_hdf5::Error) -> Self {
        use latent_align_hdf5::Error as Of;
        match error {
            Of::Input(message) => Self::Input(message),
            Of::File { path, message } => Self::File { path, message },
        }
    }
}

impl Error {
    /// An input error.
    pub fn input(message: impl Into<String>) -> Self {
        Self::Input(message.into())
    }

    /// Prefixes an input error with its location.
    #[must_use]
    pub fn under(self, place: &str) -> Self {
        match self {
            Self::Input(why) => Self::Input(format!("{place}: {why}")),
            other => other,
        }
    }

    /// The earlier of two errors of the same training: divergences carry their step. For equal steps it
    /// is `later`, which was computed last.
    #[must_use]
    pub fn earlier(self, later: Self) -> Self {
        match (&self, &later) {
            (Self::Diverged { step: a, .. }, Self::Diverged { step: b, .. }) if b <= a => later,
            _ => self,
        }
    }

    /// A failure of the file system or a file format.
    pub fn file(path: impl AsRef<Path>, message: impl ToString) -> Self {
        Self::File {
            path: path.as_ref().to_owned(),
            message: message.to_string(),
        }
    }
}
