//! Numbers and tables for readers and programs: selected, filtered, sorted, and written.
//!
//! A [`Source`] has all columns; a [`Query`] turns it into a [`Frame`](frame::Frame), using polars; an
//! [`Output`](output::Output) writes that. [`mod@numbers`], [`mod@table`], [`mod@figures`], [`coded`] and
//! [`verdict`] make text for pages; [`parquet`] writes the tables of stages.

mod coded;
mod figures;
mod filter;
mod frame;
mod glob;
mod names;
mod numbers;
mod output;
mod parquet;
mod query;
mod source;
mod table;
mod terminal;
mod verdict;

pub use coded::{short_name, words};
pub use figures::{figures_tables, is_bound, shown};
pub use glob::matches;
pub use names::resolve;
pub use numbers::{brief, bytes, duration, mean_and_deviation, number, with_spread};
pub use output::Output;
pub use parquet::{Metrics, TableWriter, write_table};
pub use query::{OutputArguments, Query};
pub use source::{Field, Kind, Source, Values};
pub use table::{TERMINAL, columns, markdown, markdown_within};
pub use terminal::wrapped;
pub use verdict::{RegionVerdict, is_verdict, verdicts_of};
