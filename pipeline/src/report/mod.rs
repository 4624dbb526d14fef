//! What people read about runs: figures, summaries, reports.

mod page;
mod plots;
mod summary;

pub use page::{write_run, write_sweep};
pub use plots::{Plots, Table, write_png};
pub use summary::Summary;
