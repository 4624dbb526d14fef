//! `latent-align compare RUN...`, `latent-align compare ARTIFACT ARTIFACT`

use crate::catalogue::{Catalogue, Difference, Prefer, Thing, compare, differences};
use crate::console::Console;
use crate::store::{Manifest, Store};
use crate::tables::{Field, OutputArguments, Query, Source, Values, columns};
use anyhow::Result;
use clap::Args;
use latent_align_stages::Error;
use std::path::Path;

/// Options of `compare`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Runs by name or folder, older entries such as digits@1, or patterns such as 'digits*' (quote those); or the
    /// fingerprints or folders of two artifacts
    #[arg(value_name = "THING", required = true)]
    things: Vec<String>,
    /// The run to compare figures with; the first by default
    #[arg(long, value_name = "RUN")]
    baseline: Option<String>,
    #[command(flatten)]
    query: Query,
    #[command(flatten)]
    output: OutputArguments,
}

/// Prints the differences; between two runs also which artifacts they share, and why they do not share the others.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    let output = arguments.output.open()?;
    let mut catalogue = Catalogue::of(store);
    let mut names = match catalogue.named(&arguments.things) {
        Ok(names) => names,
        Err(no_run) => {
            let Some([one, other]) = artifacts(store, &arguments.things)? else {
                return Err(no_runs(store, &arguments.things).unwrap_or(no_run).into());
            };
            let rows = differences::artifacts(&one, &other);
            if rows.is_empty() && output.is_text_on_stdout() {
                console.print("no difference\n");
                return Ok(());
            }
            let source = table(&rows, &arguments.things[0], &arguments.things[1]);
            return output.write(&mut arguments.query.run(&source)?, console);
        }
    };
    if let Some(baseline) = &arguments.baseline {
        let baseline = catalogue.one_named(baseline)?;
        names.retain(|name| *name != baseline);
        names.insert(0, baseline);
    }
    let runs = catalogue.runs(&names);
    let shared = match &runs[..] {
        [one, other] => differences::stages(one, other),
        _ => Vec::new(),
    };
    let mut notes = String::new();
    let source = compare(&catalogue, &runs, &shared, output.is_text());
    if names.len() > 1 {
        // The first column is the name.
        let found = match source.shown.len() {
            ..=1 => "no difference",
            _ => "differences",
        };
        notes = format!("\n({found} from {})\n", names[0]);
    }
    if !shared.is_empty() {
        let row = |d: &Difference| vec![d.name.clone(), d.why.clone()];
        let rows: Vec<_> = shared.iter().map(row).collect();
        notes += &format!("\nartifacts\n{}", columns(&rows));
    }
    let mut frame = arguments.query.run(&source)?;
    output.write_with(&mut frame, &notes, console)
}

/// The two artifacts named by `things`, if both are artifacts.
fn artifacts(store: &Store, things: &[String]) -> Result<Option<[Manifest; 2]>> {
    let dir = |thing: &String| match Thing::find(store, Path::new(thing), Prefer::Run) {
        Ok(Thing::Artifact(dir)) => Some(dir),
        _ => None,
    };
    let dirs: Vec<_> = things.iter().filter_map(dir).collect();
    let [one, other] = &dirs[..] else {
        return Ok(None);
    };
    let manifest =
        |dir: &Path| Manifest::read(dir).map_err(|e| e.under(&dir.display().to_string()));
    match things.len() {
        2 => Ok(Some([manifest(one)?, manifest(other)?])),
        _ => Ok(None),
    }
}

/// An error for the first of `things` that is not a run of this store.
fn no_runs(store: &Store, things: &[String]) -> Option<Error> {
    let found = things.iter().find_map(|thing| {
        let found = Thing::find(store, Path::new(thing), Prefer::Run).ok();
        let found = found.filter(|found| !matches!(found, Thing::Run(..)));
        found.map(|found| (thing, found))
    });
    let (thing, found) = found?;
    let hint = match &found {
        Thing::Sweep(_, name) => {
            format!("; its trials are runs, and `latent-align show {name}` lists them")
        }
        Thing::Artifact(_) => "; an artifact is compared with one other".to_owned(),
        _ => String::new(),
    };
    Some(Error::input(format!(
        "{thing}: found {}, expected runs, or two artifacts{hint}",
        found.kind()
    )))
}

fn table(rows: &[Difference], one: &str, other: &str) -> Source<'static> {
    let values = |of: fn(&Difference) -> &Option<String>| {
        Values::Text(rows.iter().map(|row| of(row).clone()).collect())
    };
    let (one, other) = if one == other {
        ("A", "B")
    } else {
        (one, other)
    };
    let fields = vec![
        Field::text("what", rows.iter().map(|row| row.what)),
        Field::text("name", rows.iter().map(|row| row.name.as_str())),
        Field::new(one, values(|row| &row.one)),
        Field::new(other, values(|row| &row.other)),
    ];
    Source::new(rows.len(), fields)
}
