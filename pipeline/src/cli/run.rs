//! `latent-align run CONFIG`

use super::arguments::ExperimentArguments;
use super::require::Requirement;
use crate::config;
use crate::console::Console;
use crate::store::{REPORT, SUMMARY, Store};
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

/// Runs the experiment and prints its summary, which ends with the paths of the written files, the report
/// last.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    let experiment = &arguments.experiment;
    let loaded = config::load(&experiment.config, &experiment.overrides.overrides()?)?;
    let requirement = &arguments.requirement;
    requirement.check_experiment(&loaded.experiment)?;
    let summary = crate::run::run(&loaded, arguments.until.as_deref(), store, console)?;
    console.print(&format!(
        "{}\n{}\n{}\n",
        summary.markdown(),
        summary.folder().join(SUMMARY).display(),
        summary.folder().join(REPORT).display()
    ));
    requirement.check(&loaded.experiment, &summary)
}
