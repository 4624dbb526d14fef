//! `.progress.json`: the current progress of a run, for other processes.

use super::RunFolder;
use serde::{Deserialize, Serialize};

const FILE: &str = ".progress.json";
/// The largest size of the file in bytes.
const LARGEST: u64 = 64 * 1024;

/// The progress of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The stage.
    pub stage: String,
    /// The task of the stage, such as `training`.
    pub task: String,
    /// Units completed.
    pub done: u64,
    /// Total units.
    pub total: u64,
    /// Further information, such as a loss.
    pub note: String,
}

impl RunFolder {
    /// The current progress, if recorded.
    pub fn progress(&self) -> Option<Progress> {
        let file = self.path().join(FILE);
        let size = std::fs::metadata(&file).ok()?.len();
        let bytes = (size <= LARGEST).then(|| std::fs::read(&file).ok())??;
        serde_json::from_slice(&bytes).ok()
    }

    /// Writes the progress. A failure is ignored.
    pub fn write_progress(&self, progress: &Progress) {
        let text = serde_json::to_string(progress).unwrap_or_default();
        if let Err(e) = self.write_lightly(FILE, &text) {
            tracing::debug!("{e}");
        }
    }

    /// Removes the file.
    pub fn clear_progress(&self) {
        let _ = std::fs::remove_file(self.path().join(FILE));
    }
}
