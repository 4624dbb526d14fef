//! What people read about runs: numbers, tables, figures, summaries, reports.

mod figures;
mod numbers;
mod page;
mod plots;
mod summary;
mod table;
mod trials;
mod verdict;

pub use figures::{figures_tables, is_bound, shown};
pub use numbers::{brief, bytes, duration, mean_and_deviation, number, with_spread};
pub use page::{FILE as REPORT, write_run, write_sweep};
pub use plots::{Plots, Table, write_png};
pub use summary::Summary;
pub use table::{TERMINAL, columns, markdown, markdown_within};
pub use trials::{ERROR, FEATURES_NLL, NLL};
pub use verdict::{RegionVerdict, is_verdict, short_name, verdicts_of};
