//! `.progress.json`: what a run is doing now, for whoever asks from another process.

use super::RunFolder;
use serde::{Deserialize, Serialize};

const FILE: &str = ".progress.json";
/// No progress is larger.
const LARGEST: u64 = 64 * 1024;

/// What a run is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The stage.
    pub stage: String,
    /// The task of the stage, such as `training`.
    pub task: String,
    /// Units of it that are done.
    pub done: u64,
    /// Units of it in all.
    pub total: u64,
    /// What else there is to say, such as a loss.
    pub note: String,
}

impl RunFolder {
    /// What the run is doing, if it says so.
    pub fn progress(&self) -> Option<Progress> {
        let file = self.path().join(FILE);
        let size = std::fs::metadata(&file).ok()?.len();
        let bytes = (size <= LARGEST).then(|| std::fs::read(&file).ok())??;
        serde_json::from_slice(&bytes).ok()
    }

    /// Says what the run is doing. Nothing is lost if that cannot be written.
    pub fn write_progress(&self, progress: &Progress) {
        let text = serde_json::to_string(progress).unwrap_or_default();
        if let Err(e) = self.write_lightly(FILE, &text) {
            tracing::debug!("{e}");
        }
    }

    /// Takes the file away.
    pub fn clear_progress(&self) {
        let _ = std::fs::remove_file(self.path().join(FILE));
    }
}
