//! The command line: one file a subcommand.

pub mod applied;
pub mod arguments;
pub mod best;
pub mod compare;
pub mod completions;
pub mod config;
pub mod decode;
pub mod devices;
pub mod diff;
pub mod encode;
pub mod export;
pub mod features;
pub mod gc;
pub mod import;
pub mod init;
pub mod inspect;
pub mod ls;
pub mod man;
pub mod metrics;
pub mod plan;
pub mod report;
pub mod require;
pub mod run;
pub mod sample;
pub mod score;
mod sequences;
#[cfg(feature = "remote")]
pub mod serve;
pub mod show;
pub mod sweep;
pub mod verify;

use crate::console::{Console, LogFormat};
use crate::failure::EXIT_CODES;
use crate::store::Store;
use anyhow::Result;
use clap::{ArgAction, Args, CommandFactory as _, Parser, Subcommand};
use std::path::PathBuf;

/// Train latent spaces that follow a distribution known only by samples, and prove it with
/// likelihoods.
#[derive(Debug, Parser)]
#[command(name = "latent-align", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Global {
    /// The folder of artifacts [default: $LATENT_ALIGN_ARTIFACTS or `artifacts`]
    #[arg(long, global = true, value_name = "DIR")]
    artifacts: Option<PathBuf>,
    /// Say more: -v what happens, -vv why, -vvv everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Say less: no progress and no warnings
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// How logs and progress are written to stderr
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring every stage of an experiment up to date
    Run(run::Arguments),
    /// Run variants of an experiment, each with several seeds, and tabulate their figures
    Sweep(sweep::Arguments),
    /// Show what `run` would do, and why
    Plan(plan::Arguments),
    /// Print a configuration with all its values, the defaults, or the JSON Schema
    Config(config::Arguments),
    /// List runs, sweeps or artifacts
    Ls(ls::Arguments),
    /// Show everything about one run
    Show(show::Arguments),
    /// Show what differs between runs
    Compare(compare::Arguments),
    /// Order the trials of a sweep by its objective
    Best(best::Arguments),
    /// Show how two runs or two artifacts differ, and which artifacts runs share
    Diff(diff::Arguments),
    /// Show the learning curves of a run, as a table or in the terminal
    Metrics(metrics::Arguments),
    /// Find artifacts that no run leads to (an imported flow counts once a run uses it), and delete them
    Gc(gc::Arguments),
    /// Look at artifacts, all as a table or one in full, or into an HDF5 file
    Inspect(inspect::Arguments),
    /// Read everything that has a digest, and say what is not as it was written
    Verify(verify::Arguments),
    /// Write the report of a run or of a sweep: one HTML file that opens anywhere
    Report(report::Arguments),
    /// Make a flow artifact of a checkpoint trained elsewhere
    Import(import::Arguments),
    /// Look at features, or generate some whose density is known
    Features(features::Arguments),
    /// Write a commented starter configuration for your own HDF5 file, after scanning it
    Init(init::Arguments),
    /// Encode rows of data with a run's autoencoder
    Encode(encode::Arguments),
    /// Decode latents to data with a run's autoencoder
    Decode(decode::Arguments),
    /// Draw samples from a run's flow: points, features, and data
    Sample(sample::Arguments),
    /// Score features or latents under a run's flow: NLLs and alignment losses, a row each
    Score(score::Arguments),
    /// Copy results out for other programs: TensorBoard, or weights as safetensors
    Export(export::Arguments),
    /// Show the devices of this machine, and what this binary was built for
    Devices(devices::Arguments),
    /// Print the completions of a shell
    Completions(completions::Arguments),
    /// Print the manual, or write its pages
    Man(man::Arguments),
    /// Let other hosts compute on a device of this one
    #[cfg(feature = "remote")]
    Serve(serve::Arguments),
}

impl Cli {
    /// The console that the options ask for.
    pub fn console(&self) -> Console {
        let verbosity = if self.global.quiet {
            -1
        } else {
            i8::try_from(self.global.verbose).unwrap_or(i8::MAX)
        };
        Console::start(verbosity, self.global.log_format)
    }

    /// Does what was asked for.
    pub fn execute(&self, console: &Console) -> Result<()> {
        let store = self.store();
        match &self.command {
            Command::Run(arguments) => run::run(arguments, &store, console),
            Command::Sweep(arguments) => sweep::run(arguments, &store, console),
            Command::Plan(arguments) => plan::run(arguments, &store, console),
            Command::Config(arguments) => config::run(arguments, console),
            Command::Ls(arguments) => ls::run(arguments, &store, console),
            Command::Show(arguments) => show::run(arguments, &store, console),
            Command::Compare(arguments) => compare::run(arguments, &store, console),
            Command::Best(arguments) => best::run(arguments, &store, console),
            Command::Diff(arguments) => diff::run(arguments, &store, console),
            Command::Metrics(arguments) => metrics::run(arguments, &store, console),
            Command::Gc(arguments) => gc::run(arguments, &store, console),
            Command::Inspect(arguments) => inspect::run(arguments, &store, console),
            Command::Verify(arguments) => verify::run(arguments, &store, console),
            Command::Report(arguments) => report::run(arguments, &store, console),
            Command::Import(arguments) => import::run(arguments, &store, console),
            Command::Features(arguments) => features::run(arguments, console),
            Command::Init(arguments) => init::run(arguments, console),
            Command::Encode(arguments) => encode::run(arguments, &store, console),
            Command::Decode(arguments) => decode::run(arguments, &store, console),
            Command::Sample(arguments) => sample::run(arguments, &store, console),
            Command::Score(arguments) => score::run(arguments, &store, console),
            Command::Export(arguments) => export::run(arguments, &store, console),
            Command::Devices(arguments) => devices::run(arguments, console),
            Command::Completions(arguments) => {
                completions::run(arguments, Self::command(), console)
            }
            Command::Man(arguments) => man::run(arguments, Self::command(), console),
            #[cfg(feature = "remote")]
            Command::Serve(arguments) => serve::run(arguments, console),
        }
    }

    fn store(&self) -> Store {
        let given = self.global.artifacts.clone();
        let variable = || std::env::var_os("LATENT_ALIGN_ARTIFACTS").filter(|v| !v.is_empty());
        Store::at(
            given
                .or_else(|| variable().map(PathBuf::from))
                .unwrap_or_else(|| PathBuf::from("artifacts")),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
