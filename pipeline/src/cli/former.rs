//! Names of commands in older versions: they still work, but help, completions and manual omit them.

use super::show::{self, Former as Of};
use super::{clean, compare, generate, list, verify};
use crate::catalogue::{Prefer, Thing};
use crate::console::Console;
use crate::store::Store;
use anyhow::Result;
use clap::error::{ContextKind, ContextValue};
use clap::{Args, Command, Subcommand};
use std::collections::BTreeSet;
use std::path::Path;

// Not a doc comment: clap takes the doc comment of a flattened enum as the first line of --help.
#[derive(Debug, Subcommand)]
pub enum Former {
    /// As `list`
    #[command(hide = true)]
    Ls(list::Arguments),
    /// As `clean`
    #[command(hide = true)]
    Gc(clean::Arguments),
    /// As `show`; without a THING as `list artifacts`
    #[command(hide = true)]
    Inspect(Inspect),
    /// As `show RUN --curves`
    #[command(hide = true)]
    Metrics(show::Arguments),
    /// As `show SWEEP --objective`
    #[command(hide = true)]
    Best(show::Arguments),
    /// As `compare`
    #[command(hide = true)]
    Diff(compare::Arguments),
    /// As `show FILE.h5 --rows 0` and `generate`
    #[command(hide = true)]
    Features(Features),
}

/// Options of `inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    #[command(flatten)]
    show: show::Arguments,
    /// Also read every file of the artifact and compare its digest, as `verify` does
    #[arg(long)]
    verify: bool,
}

/// Options of `features`.
#[derive(Debug, Args)]
pub struct Features {
    #[command(subcommand)]
    command: FeaturesCommand,
}

#[derive(Debug, Subcommand)]
enum FeaturesCommand {
    /// As `show FILE.h5 --rows 0`
    Scan(Box<show::Arguments>),
    /// As `generate`
    Generate(generate::Arguments),
}

impl Former {
    /// Runs the current command.
    pub fn run(self, store: &Store, console: &Console) -> Result<()> {
        match self {
            Self::Ls(arguments) => list::run(&arguments, store, console),
            Self::Gc(arguments) => clean::run(&arguments, store, console),
            Self::Inspect(Inspect { show, verify }) => {
                let what = show.thing().map(Path::to_owned);
                show::run_as(Of::Inspect, show, store, console)?;
                let thing = match (verify, what) {
                    (false, _) => return Ok(()),
                    (true, Some(what)) => Thing::find(store, &what, Prefer::Neither)?,
                    (true, None) => Thing::Store(store.clone()),
                };
                verify::check(&thing, console)
            }
            Self::Metrics(arguments) => show::run_as(Of::Metrics, arguments, store, console),
            Self::Best(arguments) => show::run_as(Of::Best, arguments, store, console),
            Self::Diff(arguments) => compare::run(&arguments, store, console),
            Self::Features(Features { command }) => match command {
                FeaturesCommand::Scan(arguments) => {
                    show::run_as(Of::Scan, *arguments, store, console)
                }
                FeaturesCommand::Generate(arguments) => Ok(generate::run(&arguments, console)?),
            },
        }
    }
}

/// `error` without hints at names that the help of `program`, the current command line, omits.
pub fn unmentioned(mut error: clap::Error, mut program: Command) -> clap::Error {
    program.build();
    let shown = names(&program);
    let commands = error.remove(ContextKind::SuggestedSubcommand);
    if let Some(ContextValue::Strings(mut commands)) = commands {
        commands.retain(|name| shown.contains(name));
        if !commands.is_empty() {
            let commands = ContextValue::Strings(commands);
            error.insert(ContextKind::SuggestedSubcommand, commands);
        }
    }
    let option = error.remove(ContextKind::SuggestedArg);
    if let Some(ContextValue::String(option)) = option
        && shown.contains(&option)
    {
        error.insert(ContextKind::SuggestedArg, ContextValue::String(option));
    }
    error
}

/// The current names of the commands and options of `program`.
fn names(program: &Command) -> BTreeSet<String> {
    let options = program
        .get_arguments()
        .filter(|option| !option.is_hide_set());
    let options = options.filter_map(|option| Some(format!("--{}", option.get_long()?)));
    let mut all: BTreeSet<String> = options.collect();
    for command in program.get_subcommands() {
        all.insert(command.get_name().to_owned());
        all.extend(names(command));
    }
    all
}
