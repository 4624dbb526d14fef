//! `latent-align diff A B`

use crate::catalogue::{Catalogue, Difference, Target, differences, target};
use crate::console::Console;
use crate::store::{Manifest, Store};
use crate::tables::{Field, OutputArguments, Query, Source, Values};
use anyhow::Result;
use clap::Args;
use latent_align_stages::Error;
use std::path::Path;

/// Options of `diff`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A run's name or folder, or an artifact's fingerprint or folder
    #[arg(value_name = "A")]
    one: String,
    /// Another of the same
    #[arg(value_name = "B")]
    other: String,
    #[command(flatten)]
    query: Query,
    #[command(flatten)]
    output: OutputArguments,
}

/// Prints what differs.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    let output = arguments.output.open()?;
    let mut catalogue = Catalogue::of(store);
    let names = [&arguments.one, &arguments.other];
    let runs = names.map(|name| catalogue.one_named(name));
    let rows = match runs {
        [Ok(one), Ok(other)] => {
            let one = catalogue.runs(&[one]).remove(0);
            let other = catalogue.runs(&[other]).remove(0);
            differences::runs(&one, &other)
        }
        [one, other] => {
            let manifest = |name: &str| match target(store, Some(Path::new(name)))? {
                Target::One(dir) => {
                    Manifest::read(&dir).map_err(|e| e.under(&dir.display().to_string()))
                }
                Target::Many(_) => Err(Error::input(format!(
                    "{name}: holds several artifacts; expected one"
                ))),
            };
            match (manifest(names[0]), manifest(names[1]), one, other) {
                (Ok(one), Ok(other), ..) => differences::artifacts(&one, &other),
                // A name that is of nothing was most likely meant to be that of a run.
                (Err(_), _, Err(wrong), _) | (_, Err(_), _, Err(wrong)) => return Err(wrong.into()),
                (Err(wrong), ..) | (_, Err(wrong), ..) => {
                    return Err(wrong
                        .under("one names a run, the other must as well")
                        .into());
                }
            }
        }
    };
    if rows.is_empty() && output.is_text_on_stdout() {
        console.print("no difference\n");
        return Ok(());
    }
    let mut frame = arguments
        .query
        .run(&table(&rows, &arguments.one, &arguments.other))?;
    output.write(&mut frame, console)
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
    let mut fields = vec![
        Field::text("what", rows.iter().map(|row| row.what)),
        Field::text("name", rows.iter().map(|row| row.name.as_str())),
        Field::new(one, values(|row| &row.one)),
        Field::new(other, values(|row| &row.other)),
    ];
    if rows.iter().any(|row| !row.why.is_empty()) {
        fields.push(Field::text("why", rows.iter().map(|row| row.why.as_str())));
    }
    Source::new(rows.len(), fields)
}
