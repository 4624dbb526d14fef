//! Rows computed in order, resumable after an interruption.

use crate::context::Monitor;
use crate::error::{Error, Result};
use crate::persist::Partial;

/// Stores the bytes of the next whole rows.
pub type Keep<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

/// A computation over many rows, each with an output of equal size.
pub trait Work {
    /// Its name in progress messages.
    fn task(&self) -> &'static str;

    /// Total number of rows.
    fn total(&self) -> usize;

    /// Output bytes per row.
    fn row_bytes(&self) -> usize;

    /// Computes the rows from `from` on, and passes them to `keep` in order. Rows are independent of `from`,
    /// provided it is a boundary at which `keep` was called before.
    ///
    /// # Errors
    /// Errors of `keep`; an input error for rows that the model cannot use.
    fn compute(&self, from: usize, monitor: &dyn Monitor, keep: Keep) -> Result<()>;
}

/// Computes all rows of `work` that `partial` lacks.
///
/// # Errors
/// As [`Work::compute`]; [`Error::Cancelled`] if the user asked to stop. Rows in `partial` are kept.
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
