//! Reports for readers: figures, summaries and pages.

mod charts;
mod page;
mod summary;
mod view;

pub use charts::{Plots, Table, write_png};
pub use page::{brief_run, headline_of_sweep, write_run, write_sweep};
pub use summary::{Summary, of_stage};
pub use view::{RunView, trees};
