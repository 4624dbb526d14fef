//! What people read about runs: numbers, tables, figures, summaries.

mod figures;
mod numbers;
mod plots;
mod summary;
mod table;
mod verdict;

pub use figures::{figures_tables, is_bound, shown};
pub use numbers::{bytes, duration, number, with_spread};
pub use plots::{Plots, Table};
pub use summary::Summary;
pub use table::{TERMINAL, columns, markdown, markdown_within};
pub use verdict::{RegionVerdict, is_verdict, short_name};
