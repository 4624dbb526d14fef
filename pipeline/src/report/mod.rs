//! Reports for readers: figures, summaries and pages.

mod charts;
mod page;
mod summary;
mod view;

pub use charts::{Plots, Table, write_png};
pub use page::{write_run, write_sweep};
pub use summary::{Summary, of_stage};
pub use view::{RunView, trees};
