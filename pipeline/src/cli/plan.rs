//! `latent-align plan CONFIG`

use super::arguments::ExperimentArguments;
use crate::console::Console;
use crate::store::{Digests, Store};
use crate::tables::duration;
use anyhow::Result;
use clap::Args;

/// Options of `plan`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
}

/// Prints the plan. Runs nothing and needs no writable folder.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    let loaded = arguments.experiment.load()?;
    let mut digests = Digests::of_store(store.root());
    let plan = crate::plan::make(&loaded, store, &mut digests)?;
    digests.save();
    let end = match plan.to_run().count() {
        0 => "Nothing to do: every stage is up to date.".to_owned(),
        1 => "1 stage would run.".to_owned(),
        some => format!("{some} stages would run."),
    };
    let end = match plan.took() {
        None => end,
        Some((seconds, stages)) if stages == plan.to_run().count() => {
            format!("{end} Last time this took {}.", duration(seconds))
        }
        Some((seconds, stages)) => {
            format!(
                "{end} Last time {stages} of them took {}.",
                duration(seconds)
            )
        }
    };
    console.print(&format!("{}\n{}\n{end}\n", plan.heading(), plan.render()));
    Ok(())
}
