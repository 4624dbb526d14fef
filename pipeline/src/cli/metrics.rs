//! `latent-align metrics RUN [--plot]`

use super::show::{chart, curves};
use crate::catalogue::Catalogue;
use crate::config::{hint, list};
use crate::console::Console;
use crate::store::{Stage, Store};
use crate::tables::{OutputArguments, Query, Source};
use anyhow::Result;
use clap::Args;
use latent_align_stages::Error;

/// Options of `metrics`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The run's name or folder
    #[arg(value_name = "RUN")]
    run: String,
    /// Draw charts in the terminal: a panel for each metric, training and held-out data together
    #[arg(long)]
    plot: bool,
    /// Only this stage, such as train-autoencoder; may be repeated
    #[arg(long, value_name = "STAGE")]
    stage: Vec<String>,
    /// Only this metric, such as reconstruction; may be repeated
    #[arg(long, value_name = "METRIC")]
    metric: Vec<String>,
    #[command(flatten)]
    query: Query,
    #[command(flatten)]
    output: OutputArguments,
}

/// Prints the learning curves of the run's stages, those of stages in progress included.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    let output = arguments.output.open()?;
    let mut catalogue = Catalogue::of(store);
    let name = catalogue.one_named(&arguments.run)?;
    let runs = catalogue.runs(std::slice::from_ref(&name));
    let stages = arguments.stage.iter().map(|name| stage(name));
    let stages: Vec<Stage> = stages.collect::<Result<_, Error>>()?;
    let (curves, damaged) = curves::of(&runs[0], &stages);
    damaged.iter().for_each(|why| console.note(why));
    if curves.is_empty() {
        return Err(Error::input(format!(
            "{name}: no learning curves; expected a run with a stage that trains{}",
            if stages.is_empty() {
                ""
            } else {
                " among those of --stage"
            }
        ))
        .into());
    }
    let curves = curves::chosen(curves, &arguments.metric)?;
    if arguments.plot {
        let panels: Vec<String> = curves::panels(&curves).iter().map(chart::draw).collect();
        console.print(&panels.join("\n"));
        return Ok(());
    }
    let source: Source = curves::table(&curves);
    let mut frame = arguments.query.run(&source)?;
    output.write(&mut frame, console)
}

fn stage(name: &str) -> Result<Stage, Error> {
    let wanted = name.replace('_', "-");
    let found = Stage::ALL.into_iter().find(|stage| stage.name() == wanted);
    found.ok_or_else(|| {
        let names = Stage::ALL.map(Stage::name);
        let near = hint(&wanted, names);
        let names = list(&names);
        Error::input(format!("--stage: found `{name}`, expected {names}{near}"))
    })
}
