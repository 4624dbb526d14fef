//! `latent-align export tensorboard RUN [--out DIR]`

use super::exported::Exported;
use crate::export;
use crate::store::Store;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

/// Options of `export tensorboard`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    exported: Exported,
    /// The folder to give to `tensorboard --logdir`; each stage of a run is one of its runs, named
    /// RUN/STAGE
    #[arg(long, value_name = "DIR", default_value = "tensorboard")]
    out: PathBuf,
}

/// Writes the event files, and returns how to view them.
pub fn run(arguments: &Arguments, store: &Store) -> Result<String> {
    let Arguments { exported, out } = arguments;
    let (written, dir) = exported.write(store, out, export::tensorboard)?;
    Ok(format!(
        "{}: {written}\nView it with `tensorboard --logdir {}`.\n",
        dir.display(),
        out.display()
    ))
}
