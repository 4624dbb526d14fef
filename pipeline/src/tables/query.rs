//! Options of the command line for tables.

use super::filter::Filter;
use super::frame::Frame;
use super::names::{choose, resolve};
use super::output::{Format, Output};
use super::source::Source;
use clap::Args;
use latent_align_stages::Result;
use std::path::PathBuf;

/// Which rows and columns to show, and in which order.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Tables")]
pub struct Query {
    /// Keep matching rows, as in `state=finished`, `pretrain_flow.steps>=1000` or `name~digits*`;
    /// nothing after `=` means no value; may be repeated
    #[arg(long, value_name = "COLUMN OP VALUE")]
    pub filter: Vec<String>,
    /// Order by a column, as in `--sort=started`, or descending, as in `--sort=-started`; may be
    /// repeated
    #[arg(long, value_name = "[-]COLUMN", allow_hyphen_values = true)]
    pub sort: Vec<String>,
    /// Keep only the first rows
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Show these columns, separated by commas; `*` matches any text
    #[arg(long, value_name = "NAMES")]
    pub columns: Vec<String>,
}

/// The format and destination of a table.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Tables")]
pub struct OutputArguments {
    /// The format of the table
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: Format,
    /// Write it into this file, pipe or device
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Replace the file of --out
    #[arg(long, requires = "out")]
    pub force: bool,
}

impl OutputArguments {
    /// Opens the destination, before any work.
    ///
    /// # Errors
    /// As [`Output::open`].
    pub fn open(&self) -> Result<Output> {
        Output::open(self.format, self.out.as_deref(), self.force)
    }
}

impl Query {
    /// The first given option that selects rows, columns or an order.
    pub fn given(&self) -> Option<&'static str> {
        [
            ("--filter", !self.filter.is_empty()),
            ("--sort", !self.sort.is_empty()),
            ("--limit", self.limit.is_some()),
            ("--columns", !self.columns.is_empty()),
        ]
        .into_iter()
        .find_map(|(option, is_given)| is_given.then_some(option))
    }

    /// Whether no such option is given.
    pub fn is_empty(&self) -> bool {
        self.given().is_none()
    }

    /// Applies the query to `source`.
    ///
    /// # Errors
    /// [`latent_align_stages::Error::Input`] for an unknown column, and for an invalid comparison.
    pub fn run(&self, source: &Source) -> Result<Frame> {
        let filters = self.filter.iter().map(|f| Filter::parse(f, source));
        let filters: Vec<Filter> = filters.collect::<Result<_>>()?;
        let sort = self.sort.iter().map(|wanted| {
            let (column, descending) = match wanted.strip_prefix('-') {
                Some(column) => (column, true),
                None => (wanted.as_str(), false),
            };
            Ok((resolve(source, column, "--sort")?, descending))
        });
        let sort: Vec<(usize, bool)> = sort.collect::<Result<_>>()?;
        let shown = if self.columns.is_empty() {
            source.shown.clone()
        } else {
            choose(source, &self.columns)?
        };
        Frame::of(source, &filters, &sort, self.limit, &shown)
    }
}
