//! What people read about runs: numbers, tables, summaries.

mod numbers;
mod summary;
mod table;

pub use numbers::{bytes, duration, number};
pub use summary::Summary;
pub use table::{columns, markdown};
