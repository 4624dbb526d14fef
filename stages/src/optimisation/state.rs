//! The state of a proposer after a round, on disk: the newest state is complete, or the previous one is used.

use super::proposer::Proposer;
use crate::error::{Error, Result};
use crate::persist::{numbered, sync};
use latent_align_hdf5::temporary;
use std::path::Path;

/// The prefix of a folder of states, before the round.
const ROUND: &str = "round-";

/// Writes the state of `proposer` after `round` into the folder `dir`, and removes earlier states.
///
/// # Errors
/// File errors, those of [`Proposer::save`].
pub fn save(proposer: &dyn Proposer, dir: &Path, round: u64) -> Result<()> {
    let place = dir.join(format!("{ROUND}{round:012}"));
    let made = temporary::beside(&place);
    let failed = |e: std::io::Error| Error::file(&made, e);
    std::fs::create_dir(&made).map_err(failed)?;
    proposer.save(&made)?;
    for entry in made.read_dir().map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        sync(&path)?;
    }
    sync(&made)?;
    std::fs::rename(&made, &place).map_err(failed)?;
    sync(dir)?;
    for (_, path) in numbered(dir, ROUND)
        .into_iter()
        .filter(|(before, _)| *before != round)
    {
        // best effort: a remaining folder only takes space
        let _ = std::fs::remove_dir_all(path);
    }
    Ok(())
}

/// Restores `proposer` from the newest state in `dir`, and returns its round; 0 without a state.
///
/// # Errors
/// Those of [`Proposer::restore`].
pub fn restore(proposer: &mut dyn Proposer, dir: &Path) -> Result<u64> {
    // their creators have ended: only one process at a time uses the folder
    temporary::remove_abandoned(dir, |_| true);
    let Some((round, path)) = numbered(dir, ROUND).pop() else {
        return Ok(0);
    };
    proposer.restore(&path)?;
    Ok(round)
}
