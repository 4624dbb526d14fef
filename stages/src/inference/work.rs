//! Rows computed in order, and gone on with where they stopped.

use crate::context::Monitor;
use crate::error::{Error, Result};
use crate::persist::Partial;

/// Given the bytes of some whole rows, the next ones.
pub type Keep<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

/// Work of many rows, each of which becomes as many bytes.
pub trait Work {
    /// What progress calls it.
    fn task(&self) -> &'static str;

    /// Rows in all.
    fn total(&self) -> usize;

    /// Bytes that a row becomes.
    fn row_bytes(&self) -> usize;

    /// Computes rows `from` to the last, and gives them to `keep` in order. Rows that start where `keep` was
    /// given rows before become the same bytes as then.
    ///
    /// # Errors
    /// What `keep` returns; an input error for rows that the model cannot take.
    fn compute(&self, from: usize, monitor: &dyn Monitor, keep: Keep) -> Result<()>;
}

/// Computes all rows of `work` that `partial` lacks.
///
/// # Errors
/// As [`Work::compute`]; [`Error::Cancelled`] when the user asked to stop. What is in `partial` stays.
pub fn go_on(work: &dyn Work, partial: &mut Partial, monitor: &dyn Monitor) -> Result<()> {
    let total = work.total();
    if partial.rows() >= total {
        return Ok(());
    }
    work.compute(partial.rows(), monitor, &mut |rows| {
        partial.append(rows)?;
        monitor.progress(work.task(), partial.rows() as u64, total as u64, "");
        match monitor.cancelled() {
            true => Err(Error::Cancelled),
            false => Ok(()),
        }
    })
}
