//! `latent-align show THING`

mod artifact;
mod chart;
mod curves;
mod hdf5;
mod run;
mod sweep;

use super::list::NO_ARTIFACTS;
use crate::catalogue::{Catalogue, Prefer, Thing, artifacts};
use crate::console::Console;
use crate::launch;
use crate::process::Signals;
use crate::run::StageMonitor;
use crate::store::Store;
use crate::tables::{Output, OutputArguments, Query, Source};
use anyhow::Result;
use artifact::artifact_page;
use clap::Args;
use curves::CurvesArguments;
use latent_align_stages::Error;
use run::run_page;
use std::path::{Path, PathBuf};
use sweep::Ranking;

/// Options of `show`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A run (NAME@NUMBER: an older entry), a sweep or its file, an artifact's fingerprint, an HDF5 file, a folder
    ///
    /// A name is looked up among runs and sweeps first, then as a file or folder, then as four or more characters
    /// of an artifact's fingerprint. For a file with the same name as a run, write ./
    #[arg(value_name = "THING")]
    thing: Option<PathBuf>,
    #[command(flatten)]
    curves: CurvesArguments,
    #[command(flatten)]
    ranking: Ranking,
    /// For an HDF5 file: the rows of each dataset to show [default: 3]
    #[arg(long, value_name = "N")]
    rows: Option<usize>,
    /// For an HDF5 file: this dataset only
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    #[command(flatten)]
    query: Query,
    #[command(flatten)]
    output: OutputArguments,
}

/// The command of older versions that showed a part of `show`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Former {
    /// `inspect [THING]`: all artifacts without a THING.
    Inspect,
    /// `metrics RUN`
    Metrics,
    /// `best SWEEP`
    Best,
    /// `features scan FILE`: no rows.
    Scan,
}

/// Shows the thing that the arguments name.
pub fn run(mut arguments: Arguments, store: &Store, console: &Console) -> Result<()> {
    let prefer = arguments.prefers();
    if arguments.thing.is_none() {
        // `--objective SWEEP` reads as `--objective FIGURE`
        arguments.thing = (arguments.ranking)
            .give_back(|what| Thing::find(store, Path::new(what), prefer).is_ok());
    }
    run_preferring(prefer, &arguments, store, console)
}

/// As `run`, with the thing to `prefer` if a run and a sweep share the name.
pub fn run_preferring(
    prefer: Prefer,
    arguments: &Arguments,
    store: &Store,
    console: &Console,
) -> Result<()> {
    let thing = arguments.find(store, prefer)?;
    arguments.show(&thing, store, console)
}

/// Shows it as the command of an older version did.
pub fn run_as(
    former: Former,
    mut arguments: Arguments,
    store: &Store,
    console: &Console,
) -> Result<()> {
    match former {
        Former::Inspect if arguments.thing.is_none() => {
            return arguments.show(&Thing::Store(store.clone()), store, console);
        }
        Former::Inspect => {}
        Former::Metrics => arguments.curves.curves = true,
        Former::Best => arguments.ranking.ask(),
        Former::Scan => arguments.rows = arguments.rows.or(Some(0)),
    }
    let prefer = arguments.prefers();
    let thing = arguments.find(store, prefer)?;
    match (former, &thing) {
        (Former::Inspect, _)
        | (Former::Metrics, Thing::Run(..))
        | (Former::Best, Thing::Sweep(..))
        | (Former::Scan, Thing::Hdf5(_)) => arguments.show(&thing, store, console),
        // the option stands for the command; the user did not type it
        _ => Err(Error::input(format!(
            "{}: found {}, expected {}",
            thing.path().display(),
            thing.kind(),
            match former {
                Former::Best => "a sweep",
                Former::Scan => "an HDF5 file",
                Former::Metrics | Former::Inspect => "a run",
            }
        ))
        .into()),
    }
}

impl Arguments {
    /// The thing to show, if given.
    pub fn thing(&self) -> Option<&Path> {
        self.thing.as_deref()
    }

    /// What the options prefer if a run and a sweep share the name.
    fn prefers(&self) -> Prefer {
        match (self.curves.given(), self.ranking.given()) {
            (Some(_), _) => Prefer::Run,
            (None, Some(_)) => Prefer::Sweep,
            (None, None) => Prefer::Neither,
        }
    }

    fn find(&self, store: &Store, prefer: Prefer) -> Result<Thing, Error> {
        match &self.thing {
            Some(what) => Thing::find(store, what, prefer),
            None => Err(Error::input(
                "THING: found nothing, expected a run, a sweep, an artifact, an HDF5 file or a folder; `latent-align \
                 list` lists runs",
            )),
        }
    }

    fn show(&self, thing: &Thing, store: &Store, console: &Console) -> Result<()> {
        let output = self.output.open()?;
        self.refuse_what_does_not_apply(thing)?;
        match thing {
            Thing::Run(store, name) => self.run(store, name, output, console),
            Thing::Sweep(store, name) => self.sweep(store, name, output, console),
            Thing::Artifact(dir) if output.is_text() && self.query.is_empty() => {
                output.write_page(&artifact_page(dir)?, console)
            }
            Thing::Artifact(_) => self.artifacts(thing, store, output, console),
            Thing::Store(store) => self.artifacts(thing, store, output, console),
            Thing::Hdf5(file) => self.hdf5(file, output, console),
        }
    }

    fn refuse_what_does_not_apply(&self, thing: &Thing) -> Result<(), Error> {
        let is_hdf5 = matches!(thing, Thing::Hdf5(_));
        let (run, sweep, file) = ("a run", "a sweep", "an HDF5 file");
        let wanted = [
            (self.curves.given(), run, matches!(thing, Thing::Run(..))),
            (
                self.ranking.given(),
                sweep,
                matches!(thing, Thing::Sweep(..)),
            ),
            (self.rows.map(|_| "--rows"), file, is_hdf5),
            (self.dataset.as_ref().map(|_| "--dataset"), file, is_hdf5),
            (self.query.given(), "something shown as a table", !is_hdf5),
        ];
        let mut wrong = wanted.into_iter().filter(|(_, _, applies)| !applies);
        match wrong.find_map(|(option, expected, _)| Some((option?, expected))) {
            None => Ok(()),
            Some((option, expected)) => Err(Error::input(format!(
                "{option}: found {}, expected {expected}; leave it out",
                thing.kind()
            ))),
        }
    }

    /// A page on the run, or its learning curves; in formats for programs, every column that `list` has for it.
    fn run(&self, store: &Store, name: &str, output: Output, console: &Console) -> Result<()> {
        let mut catalogue = Catalogue::of(store);
        let runs = catalogue.runs(&[name.to_owned()]);
        if self.curves.given().is_some() {
            return self.curves.show(&runs[0], &self.query, output, console);
        }
        if output.is_text() && self.query.is_empty() {
            return output.write_page(&run_page(&runs[0]), console);
        }
        self.all_columns(&catalogue.table(&runs), output, console)
    }

    /// The states of the sweep's trials, or their ranking by an objective.
    fn sweep(&self, store: &Store, name: &str, output: Output, console: &Console) -> Result<()> {
        if self.ranking.given().is_some() {
            return self.ranking.show(store, name, &self.query, output, console);
        }
        let status = launch::status(name, store, console)?;
        let mut frame = self.query.run(&status.trials)?;
        output.write_with(&mut frame, &status.notes, console)
    }

    /// A row for each artifact; for a single one every column.
    fn artifacts(
        &self,
        thing: &Thing,
        store: &Store,
        output: Output,
        console: &Console,
    ) -> Result<()> {
        let mut catalogue = Catalogue::of(store);
        let entries = catalogue.artifacts(&thing.artifacts()?);
        let source = artifacts(&catalogue, &entries);
        match thing {
            Thing::Store(_) if source.height == 0 && output.is_text_on_stdout() => {
                console.print(NO_ARTIFACTS);
                Ok(())
            }
            Thing::Store(_) => output.write(&mut self.query.run(&source)?, console),
            _ => self.all_columns(&source, output, console),
        }
    }

    fn all_columns(&self, source: &Source, output: Output, console: &Console) -> Result<()> {
        let mut query = self.query.clone();
        if query.columns.is_empty() {
            query.columns.push("*".into());
        }
        output.write(&mut query.run(source)?, console)
    }

    /// The contents of the file, the statistics of each dataset, and first rows.
    fn hdf5(&self, file: &Path, output: Output, console: &Console) -> Result<()> {
        output.must_be_text("an HDF5 file")?;
        let signals = Signals::listen()?;
        let monitor = StageMonitor::new(console, &signals, "show", None, None);
        let rows = self.rows.unwrap_or(3);
        let page = hdf5::page(file, self.dataset.as_deref(), rows, &monitor);
        monitor.finish()?;
        output.write_page(&page?, console)
    }
}
