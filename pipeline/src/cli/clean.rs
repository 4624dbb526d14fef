//! `latent-align clean [--delete]`

use crate::catalogue::{Candidate, Catalogue, candidates, remove};
use crate::console::Console;
use crate::store::{Stage, Store};
use crate::tables::{Field, Kind, OutputArguments, Query, Source, bytes};
use anyhow::Result;
use clap::Args;
use std::collections::BTreeSet;

/// Options of `clean`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Delete what is listed; by default nothing is deleted
    #[arg(long)]
    delete: bool,
    /// Include artifacts with a damaged manifest
    #[arg(long)]
    damaged: bool,
    #[command(flatten)]
    query: Query,
    #[command(flatten)]
    output: OutputArguments,
}

/// Prints everything unreferenced, and deletes it with `--delete`.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    let output = arguments.output.open()?;
    let found = candidates(&mut Catalogue::of(store), arguments.damaged)?;
    let mut frame = arguments.query.run(&table(&found))?;
    // Entries excluded by the filters are neither shown nor deleted.
    let paths = Query {
        columns: vec!["path".into()],
        ..arguments.query.clone()
    };
    let paths = paths.run(&table(&found))?;
    let paths: BTreeSet<String> = paths.texts("path").collect();
    let chosen = |c: &&Candidate| c.goes && paths.contains(&*c.path.to_string_lossy());
    let going: Vec<&Candidate> = found.iter().filter(chosen).collect();
    let total: u64 = going.iter().map(|c| c.bytes).sum();
    let freed = arguments
        .delete
        .then(|| remove(store, &going))
        .transpose()?;
    let notes = match &freed {
        None if going.is_empty() => "nothing to delete\n".to_owned(),
        None => format!(
            "\n{} things, {}; --delete removes them\n",
            going.len(),
            bytes(total)
        ),
        Some((freed, stayed)) => {
            let stayed = stayed.iter().map(|s| format!("stayed: {s}\n"));
            let told = format!("deleted {}\n", bytes(*freed));
            std::iter::once(told).chain(stayed).collect()
        }
    };
    if found.is_empty() && output.is_text_on_stdout() {
        console.print(&notes);
        return Ok(());
    }
    output.write_with(&mut frame, &notes, console)
}

fn table(found: &[Candidate]) -> Source<'static> {
    let (going, staying): (Vec<&Candidate>, Vec<&Candidate>) = found.iter().partition(|c| c.goes);
    let all = || going.iter().chain(&staying);
    let sizes = all().map(|c| i64::try_from(c.bytes).ok());
    let fields = vec![
        Field::text("stage", all().map(|c| c.stage.map_or("", Stage::name))),
        Field::text("name", all().map(|c| c.name.as_str())),
        Field::ints("bytes", sizes).of(Kind::Bytes),
        Field::text("goes", all().map(|c| if c.goes { "yes" } else { "no" })),
        Field::text("why", all().map(|c| c.why.as_str())),
        Field::text("path", all().map(|c| c.path.to_string_lossy())),
    ];
    Source::new(found.len(), fields).showing(&["stage", "name", "bytes", "goes", "why"])
}
