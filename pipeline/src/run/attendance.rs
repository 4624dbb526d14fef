//! The record of a run while this process works on it, and when it ends.

use crate::failure::describe;
use crate::store::{Presence, RunFolder, RunRecord, RunState};
use latent_align_stages::{Error, Result};
use std::time::Instant;

/// A run that this process works on. Without [`Attendance::end`], the run counts as interrupted.
pub struct Attendance {
    folder: RunFolder,
    record: RunRecord,
    since: Instant,
    _presence: Presence,
}

impl Attendance {
    /// Announces that this process works on the run in `folder`.
    ///
    /// # Errors
    /// An error if the folder cannot be written.
    pub fn start(folder: &RunFolder, record: RunRecord) -> Result<Self> {
        let presence = folder.attend()?;
        folder.write_record(&record)?;
        Ok(Self {
            folder: folder.clone(),
            record,
            since: Instant::now(),
            _presence: presence,
        })
    }

    /// Records how the run ended: with `error`, or successfully, and then `whole` or only up to a
    /// stage.
    ///
    /// # Errors
    /// An error if the record cannot be written.
    pub fn end(self, error: Option<&anyhow::Error>, whole: bool) -> Result<()> {
        let state = match error {
            None if whole => RunState::Finished,
            None => RunState::Stopped,
            Some(e) if is_cancelled(e) => RunState::Stopped,
            Some(_) => RunState::Failed,
        };
        let failed = error.filter(|_| state == RunState::Failed);
        let ended = self.record.ended(state, failed.map(describe), self.since);
        self.folder.clear_progress();
        self.folder.write_record(&ended)
    }
}

/// Whether the user asked to stop.
pub fn is_cancelled(error: &anyhow::Error) -> bool {
    let mut causes = error.chain();
    causes.any(|cause| matches!(cause.downcast_ref(), Some(Error::Cancelled)))
}
