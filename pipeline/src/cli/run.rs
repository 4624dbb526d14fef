//! `latent-align run CONFIG`

use super::arguments::ExperimentArguments;
use super::require::Requirement;
use crate::console::Console;
use crate::report::brief_run;
use crate::store::{REPORT, RunFolder, Store};
use anyhow::Result;
use clap::Args;

/// Options of `run`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    /// Compute only what this stage needs, and the stage itself: a stage's name such as pretrain-flow, or the
    /// start of a fingerprint that `plan` shows
    #[arg(long, value_name = "STAGE", conflicts_with = "require")]
    until: Option<String>,
    #[command(flatten)]
    requirement: Requirement,
}

/// Runs the experiment and prints its headline and key figures, and the paths of the run and of its report; with
/// `-v` every figure before them.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    let loaded = arguments.experiment.load()?;
    let requirement = &arguments.requirement;
    requirement.check_experiment(&loaded.experiment)?;
    let summary = crate::run::run(&loaded, arguments.until.as_deref(), store, console)?;
    if console.is_verbose() {
        console.print(&format!("{}\n", summary.markdown()));
    }
    let folder = summary.folder();
    console.print(&format!(
        "{}\n{}\n{}\n",
        brief_run(&RunFolder::of(store, &loaded.experiment.name)),
        folder.display(),
        folder.join(REPORT).display()
    ));
    requirement.check(&loaded.experiment, &summary)
}
