//! `latent-align sweep FILE`

use super::arguments::OverrideArguments;
use super::show;
use crate::catalogue::Prefer;
use crate::console::Console;
use crate::failure::Unmet;
use crate::launch::{Launcher, Local, Swept, cores};
use crate::report::headline_of_sweep;
use crate::store::Store;
use crate::{launch, sweep};
use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use latent_align_stages::Error;
use std::path::PathBuf;

/// Options of `sweep`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The sweep's YAML file; --set and --device apply to all its trials
    #[arg(value_name = "FILE", required = true)]
    file: Option<PathBuf>,
    /// Number of concurrent trials, in processes that share cores and GPUs [default: 1; with Slurm, all]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Continue with the other trials when one fails; the default
    #[arg(long)]
    keep_going: bool,
    /// Stop the other trials when one fails
    #[arg(long, conflicts_with = "keep_going")]
    fail_fast: bool,
    /// Where trials run
    #[arg(long, value_enum, default_value_t, value_name = "LAUNCHER")]
    launcher: Where,
    /// With Slurm: stay until all trials have ended, and print their table
    #[arg(long)]
    wait: bool,
    /// Show which trials would run, and what each would compute; run nothing
    #[arg(long, conflicts_with_all = ["wait", "fail_fast"])]
    dry_run: bool,
    #[command(flatten)]
    overrides: OverrideArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The former name of `show SWEEP`
    #[command(hide = true)]
    Status(Box<show::Arguments>),
}

/// Where trials run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Where {
    /// On this machine.
    #[default]
    Local,
    /// As a job array of Slurm, with the settings in the file's `slurm` section.
    Slurm,
}

/// Runs the trials and prints their table, and the paths of the written files, the report last.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    let file = match (&arguments.command, &arguments.file) {
        (Some(Command::Status(arguments)), _) => {
            return show::run_preferring(Prefer::Sweep, arguments, store, console);
        }
        (None, Some(file)) => file,
        (None, None) => bail!("clap requires a file"),
    };
    let loaded = sweep::load(file, &arguments.overrides.overrides()?)?;
    if arguments.dry_run {
        let here = arguments.launcher == Where::Local;
        console.print(&launch::dry_run(&loaded, here, store)?);
        return Ok(());
    }
    let launcher = arguments.launcher(console)?;
    let swept = launch::sweep(&loaded, launcher, store, console)?;
    let headline = headline_of_sweep(store, &loaded.name);
    console.print(&format!(
        "# {}\n\n{}\n{}\n{}",
        loaded.name,
        headline.unwrap_or_default(),
        swept.table,
        swept.paths()
    ));
    verdict(&swept)?;
    if arguments.wait && !swept.waiting.is_empty() {
        bail!(
            "{} of {} trials did not finish, and none of them is left in Slurm's queue: {}; see \
             the logs beside {}, and `sacct`",
            swept.waiting.len(),
            swept.trials,
            swept.waiting.join(", "),
            swept.file.display()
        );
    }
    Ok(())
}

impl Arguments {
    fn launcher(&self, console: &Console) -> Result<Launcher> {
        let jobs = self.jobs.map(usize::from);
        if self.launcher == Where::Slurm {
            if self.fail_fast {
                return Err(Error::input(
                    "--fail-fast: Slurm's tasks do not stop each other; leave it out, or use --launcher local",
                )
                .into());
            }
            let wait = self.wait;
            return Ok(Launcher::Slurm { jobs, wait });
        }
        let wanted = jobs.unwrap_or(1);
        let jobs = wanted.min(cores());
        if jobs < wanted {
            console.note(&format!(
                "--jobs {wanted}: {jobs} at a time, as many as there are cores"
            ));
        }
        Ok(Launcher::Local(Local {
            jobs,
            fail_fast: self.fail_fast,
        }))
    }
}

fn verdict(swept: &Swept) -> Result<()> {
    if !swept.failed.is_empty() {
        bail!(
            "{} of {} trials failed: {}",
            swept.failed.len(),
            swept.trials,
            swept.failed.join(", ")
        );
    }
    if !swept.missed.is_empty() {
        let missed = swept.missed.join("\n  ");
        return Err(Unmet(format!(
            "{} claims of the sweep do not hold; everything was computed and written\n  {missed}",
            swept.missed.len()
        ))
        .into());
    }
    Ok(())
}
