//! `latent-align show RUN`

mod artifact;
pub mod chart;
pub mod curves;
pub mod hdf5;
mod run;

pub use artifact::one;

use crate::catalogue::Catalogue;
use crate::console::Console;
use crate::store::Store;
use crate::tables::{OutputArguments, Query};
use anyhow::Result;
use clap::Args;
use run::run_page;

/// Options of `show`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The run's name or folder; NAME@NUMBER is an older entry of its history
    #[arg(value_name = "RUN")]
    run: String,
    #[command(flatten)]
    output: OutputArguments,
}

/// Prints a page on the run; where programs read, every column that `ls` knows of it.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    let output = arguments.output.open()?;
    let mut catalogue = Catalogue::of(store);
    let name = catalogue.one_named(&arguments.run)?;
    let runs = catalogue.runs(&[name]);
    if output.is_text_on_stdout() {
        console.print(&run_page(store, &runs[0]));
        return Ok(());
    }
    let all = Query {
        columns: vec!["*".into()],
        ..Query::default()
    };
    let mut frame = all.run(&catalogue.table(&runs))?;
    output.write(&mut frame, console)
}
