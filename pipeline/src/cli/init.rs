//! `latent-align init FILE.h5`

use crate::config::{beside, expand, experiment_schema};
use crate::console::Console;
use crate::destination::{Destination, Found};
use crate::failure::this_command;
use crate::process::Signals;
use crate::run::StageMonitor;
use crate::shipped::{FLOWS, named as shipped};
use crate::starter::{DataAs, Request, SCHEMA, name_of_all, starter};
use anyhow::Result;
use clap::Args;
use clap::builder::PossibleValuesParser;
use latent_align_stages::Error;
use latent_align_stages::data::Files;
use std::path::{Path, PathBuf};

/// Options of `init`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The HDF5 file with the features that the latents should follow, [N, D] or [N, T, D], several
    /// files or a pattern; with --flow, the file of the data to encode
    #[arg(value_name = "FILE.h5")]
    files: Vec<PathBuf>,
    /// Follow a flow that is part of the program instead of features
    #[arg(long, value_name = "NAME", conflicts_with = "tokens")]
    #[arg(value_parser = PossibleValuesParser::new(FLOWS.each_ref().map(|flow| flow.name)))]
    flow: Option<String>,
    /// The dataset in it [default: `features`, or the only suitable one]
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// FILE's features of rank 3 are tokens: N items of T points of width D
    #[arg(long)]
    tokens: bool,
    /// The HDF5 file with the images or vectors to encode [default: FILE, if it holds images]
    #[arg(long, value_name = "FILE.h5")]
    data: Option<PathBuf>,
    /// The dataset in that file [default: `images`, or the only suitable one]
    #[arg(long, value_name = "NAME")]
    data_dataset: Option<String>,
    /// How to read data of shape [N, H, W]
    #[arg(long, value_enum, value_name = "KIND")]
    data_as: Option<DataAs>,
    /// The configuration to write [default: FILE's name with .yaml, in this folder]
    #[arg(long, value_name = "NAME.yaml")]
    out: Option<PathBuf>,
    /// Replace the files of --out and of the schema
    #[arg(long)]
    force: bool,
    /// Do not write the JSON Schema, which lets editors complete and check the configuration
    #[arg(long)]
    no_schema: bool,
}

/// Printed when no file was given.
const HINT: &str = "\
found no file, expected the HDF5 file with the features that the latents should follow, [N, D] or [N, T, D]:
  latent-align init features.h5                      scans it and writes features.yaml
  latent-align init features.h5 --data images.h5     with images or vectors to encode
  latent-align init images.h5 --flow words-16        without features: latents follow word embeddings
To write one with h5py: `h5py.File(\"features.h5\", \"w\")[\"features\"] = array`
To try it without one: `latent-align generate moons --out moons.h5 --count 5000`";

/// Writes the configuration, and prints the next steps.
pub fn run(arguments: &Arguments, console: &Console) -> Result<()> {
    let mut named = arguments.files.clone();
    if arguments.flow.is_some() {
        named.extend(arguments.data.clone());
    }
    let named = Files::of(named).ok_or_else(|| Error::input(format!("init: {HINT}")))?;
    let mut files = named.clone();
    expand("init", &mut files, Path::new("."))?;
    if let (Some(flow), true) = (&arguments.flow, files.are_several()) {
        let shown: Vec<_> = files
            .all()
            .iter()
            .map(|f| f.display().to_string())
            .collect();
        return Err(Error::input(format!(
            "init --flow {flow}: found {} files, expected one, that of the data to encode: {}",
            shown.len(),
            shown.join(", ")
        ))
        .into());
    }
    let name = name_of_all(&files);
    let out = arguments.out.clone();
    let out = out.unwrap_or_else(|| PathBuf::from(format!("{name}.yaml")));
    // Before the scan, which may take long.
    let destination = Destination::open(&out, arguments.force)?;
    // A pipe has no folder: its configuration refers to the current folder, and no schema is written
    // beside it.
    let is_stream = destination.is_stream();
    let out = match is_stream {
        true => PathBuf::from(format!("{name}.yaml")),
        false => out,
    };
    let request = Request {
        features: (&files, arguments.dataset.as_deref()),
        named: &named,
        flow: arguments.flow.as_deref().and_then(shipped),
        data: arguments.data.as_deref(),
        data_dataset: arguments.data_dataset.as_deref(),
        tokens: arguments.tokens,
        data_as: arguments.data_as,
        typed: this_command(),
        out: &out,
        schema: !arguments.no_schema && !is_stream,
    };
    let signals = Signals::listen()?;
    let monitor = StageMonitor::new(console, &signals, "init", None, None);
    let text = starter(&request, &monitor);
    monitor.finish()?;
    destination.write(text?.as_bytes())?;
    if is_stream {
        return Ok(());
    }
    if request.schema {
        write_schema(&beside(&out, Path::new(SCHEMA)), arguments.force, console)?;
    }
    let out = out.display();
    console.print(&format!(
        "{out}: written; read its comments on your data, then\n  \
         latent-align run {out} --quick    # a first try, marked as no result\n  \
         latent-align plan {out}           # what the whole run would do\n  \
         latent-align run {out}\n"
    ));
    Ok(())
}

fn write_schema(file: &Path, force: bool, console: &Console) -> Result<()> {
    let schema = experiment_schema()?;
    match Found::at(file)? {
        Found::Nothing => {}
        Found::File(found) if std::fs::read_to_string(&found).is_ok_and(|f| f == schema) => {
            return Ok(());
        }
        Found::File(_) if force => {}
        // A schema of another version still works; it is not worth an error.
        _ => {
            console.note(&format!("{}: left unchanged", file.display()));
            return Ok(());
        }
    }
    Ok(Destination::open(file, force)?.write(schema.as_bytes())?)
}
