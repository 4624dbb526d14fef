//! Tables of anything: chosen, filtered, sorted, and written as text or for other programs.
//!
//! A [`Source`] has every column there is; a [`Query`] takes what was asked for out of it as a
//! [`Frame`](frame::Frame), through polars; an [`Output`](output::Output) writes that.

mod arguments;
mod filter;
mod frame;
mod glob;
mod names;
mod output;
mod source;
mod text;

pub use arguments::{OutputArguments, Query};
pub use glob::matches;
pub use names::resolve;
pub use source::{Field, Kind, Source, Values};
