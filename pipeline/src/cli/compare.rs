//! `latent-align compare RUN...`

use crate::catalogue::{Catalogue, compare};
use crate::console::Console;
use crate::store::Store;
use crate::tables::{OutputArguments, Query};
use anyhow::Result;
use clap::Args;

/// Options of `compare`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Runs by name or folder, older entries such as digits@1, or patterns such as 'digits*' and 'digits@*';
    /// quote those
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<String>,
    /// The run that figures are compared with; the first by default
    #[arg(long, value_name = "RUN")]
    baseline: Option<String>,
    #[command(flatten)]
    query: Query,
    #[command(flatten)]
    output: OutputArguments,
}

/// Prints what differs.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    let output = arguments.output.open()?;
    let mut catalogue = Catalogue::of(store);
    let mut names = catalogue.named(&arguments.runs)?;
    if let Some(baseline) = &arguments.baseline {
        let baseline = catalogue.one_named(baseline)?;
        names.retain(|name| *name != baseline);
        names.insert(0, baseline);
    }
    let runs = catalogue.runs(&names);
    let source = compare(&catalogue, &runs);
    let mut frame = arguments.query.run(&source)?;
    let notes = format!("\n(differences from {})\n", names[0]);
    let notes = if names.len() > 1 {
        notes
    } else {
        String::new()
    };
    output.write_with(&mut frame, &notes, console)
}
