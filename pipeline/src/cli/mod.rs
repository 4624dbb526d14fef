//! The command line, one file per subcommand.

pub mod applied;
pub mod arguments;
pub mod clean;
pub mod compare;
pub mod completions;
pub mod config;
pub mod convert;
pub mod decode;
pub mod devices;
pub mod encode;
pub mod export;
mod former;
pub mod generate;
mod help;
pub mod import;
pub mod init;
pub mod list;
#[cfg(any(test, feature = "remote"))]
mod listening;
pub mod man;
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
use crate::failure::{EXIT_CODES, SHORT_EXIT_CODES};
use crate::store::Store;
use anyhow::Result;
use clap::{ArgAction, Args, Command, CommandFactory, FromArgMatches as _, Parser, Subcommand};
use former::Former;
use std::path::PathBuf;

/// Train latent spaces that follow a distribution known only by samples, and verify it with
/// likelihoods.
#[derive(Debug, Parser)]
#[command(
    name = "latent-align",
    version,
    max_term_width = 100,
    disable_help_flag = true
)]
#[command(after_help = SHORT_EXIT_CODES, after_long_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Chosen,
}

#[derive(Debug, Args)]
struct Global {
    /// The folder of artifacts [default: $LATENT_ALIGN_ARTIFACTS or `artifacts`]
    #[arg(long, global = true, value_name = "DIR", hide_short_help = true)]
    artifacts: Option<PathBuf>,
    /// More output: -v what happens, -vv why, -vvv everything
    #[arg(short, long, global = true, action = ArgAction::Count, hide_short_help = true)]
    verbose: u8,
    /// Less output: no progress and no warnings
    #[arg(
        short,
        long,
        global = true,
        conflicts_with = "verbose",
        hide_short_help = true
    )]
    quiet: bool,
    /// How logs and progress are written to stderr
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        hide_short_help = true
    )]
    log_format: LogFormat,
    /// Print a help page
    #[arg(short, long, global = true, action = ArgAction::HelpShort, hide_short_help = true)]
    help: Option<bool>,
}

#[derive(Debug, Subcommand)]
enum Chosen {
    /// Scan your own HDF5 file and write a commented configuration for it
    Init(init::Arguments),
    /// Train and evaluate; skip finished stages
    Run(run::Arguments),
    /// Show what `run` would do, and why
    Plan(plan::Arguments),
    /// Run variants of an experiment, each with several seeds, and tabulate their figures
    Sweep(sweep::Arguments),
    /// List runs, sweeps or artifacts
    List(list::Arguments),
    /// Show one run, sweep, artifact or HDF5 file
    Show(show::Arguments),
    /// Show the differences between runs, or between two artifacts
    Compare(compare::Arguments),
    /// Write the report of a run or of a sweep: one HTML file that opens anywhere
    Report(report::Arguments),
    /// Encode rows of data with a run's autoencoder
    Encode(encode::Arguments),
    /// Decode latents to data with a run's autoencoder
    Decode(decode::Arguments),
    /// Draw samples from a run's flow: points, features, and data
    Sample(sample::Arguments),
    /// Score features or latents under a run's flow: NLL and alignment loss of each row
    Score(score::Arguments),
    /// Convert arrays, tables or a folder of images to HDF5
    Convert(convert::Arguments),
    /// Write features drawn from a distribution with a known density
    Generate(generate::Arguments),
    /// Import a checkpoint trained elsewhere as a flow artifact
    Import(import::Arguments),
    /// Export results to other programs: TensorBoard, safetensors, ONNX
    Export(export::Arguments),
    /// Check all checksums: artifacts, checkpoints and records of runs
    Verify(verify::Arguments),
    /// List artifacts that no run uses, and optionally delete them
    ///
    /// An imported flow is in use once a run reads it
    Clean(clean::Arguments),
    /// Print a configuration with all its values, the defaults, or the JSON Schema
    Config(config::Arguments),
    /// Show the devices of this machine and the backends of this binary
    Devices(devices::Arguments),
    /// Let other hosts compute on a device of this machine
    #[cfg(feature = "remote")]
    Serve(serve::Arguments),
    /// Print shell completions
    #[command(hide = true)]
    Completions(completions::Arguments),
    /// Print the manual, or write its pages
    #[command(hide = true)]
    Man(man::Arguments),
    #[command(skip)]
    Former(Former),
}

impl Cli {
    /// Parses the command line.
    ///
    /// # Errors
    /// What is wrong with it; also help and version, which are printed instead.
    pub fn parse() -> Result<Self, clap::Error> {
        let mut program = Former::augment_subcommands(Self::program());
        let matches = program
            .try_get_matches_from_mut(std::env::args_os())
            .map_err(|e| former::unmentioned(e, Self::program()))?;
        let is_former = matches
            .subcommand_name()
            .is_some_and(Former::has_subcommand);
        let parsed = match is_former {
            false => Self::from_arg_matches(&matches),
            true => Global::from_arg_matches(&matches).and_then(|global| {
                let command = Chosen::Former(Former::from_arg_matches(&matches)?);
                Ok(Self { global, command })
            }),
        };
        parsed.map_err(|e| e.format(&mut program))
    }

    /// The command line as a clap command.
    fn program() -> Command {
        help::arranged(<Self as CommandFactory>::command())
    }

    /// The console that the options specify.
    pub fn console(&self) -> Console {
        let verbosity = if self.global.quiet {
            -1
        } else {
            i8::try_from(self.global.verbose).unwrap_or(i8::MAX)
        };
        Console::start(verbosity, self.global.log_format)
    }

    /// Runs the command.
    pub fn execute(self, console: &Console) -> Result<()> {
        let store = self.store();
        match self.command {
            Chosen::Init(arguments) => init::run(&arguments, console),
            Chosen::Run(arguments) => run::run(&arguments, &store, console),
            Chosen::Plan(arguments) => plan::run(&arguments, &store, console),
            Chosen::Sweep(arguments) => sweep::run(&arguments, &store, console),
            Chosen::List(arguments) => list::run(&arguments, &store, console),
            Chosen::Show(arguments) => show::run(arguments, &store, console),
            Chosen::Compare(arguments) => compare::run(&arguments, &store, console),
            Chosen::Report(arguments) => report::run(&arguments, &store, console),
            Chosen::Encode(arguments) => encode::run(&arguments, &store, console),
            Chosen::Decode(arguments) => decode::run(&arguments, &store, console),
            Chosen::Sample(arguments) => sample::run(&arguments, &store, console),
            Chosen::Score(arguments) => score::run(&arguments, &store, console),
            Chosen::Convert(arguments) => convert::run(&arguments, console),
            Chosen::Generate(arguments) => Ok(generate::run(&arguments, console)?),
            Chosen::Import(arguments) => import::run(&arguments, &store, console),
            Chosen::Export(arguments) => export::run(&arguments, &store, console),
            Chosen::Verify(arguments) => verify::run(&arguments, &store, console),
            Chosen::Clean(arguments) => clean::run(&arguments, &store, console),
            Chosen::Config(arguments) => config::run(&arguments, console),
            Chosen::Devices(arguments) => devices::run(&arguments, console),
            #[cfg(feature = "remote")]
            Chosen::Serve(arguments) => serve::run(&arguments, console),
            Chosen::Completions(arguments) => {
                completions::run(&arguments, Self::program(), console)
            }
            Chosen::Man(arguments) => man::run(&arguments, Self::program(), console),
            Chosen::Former(former) => former.run(&store, console),
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
        Former::augment_subcommands(Cli::program()).debug_assert();
    }
}
