//! `latent-align inspect [PATH | FINGERPRINT]`

use crate::console::Console;
use crate::inspect::{Target, one, overview, target};
use crate::store::Store;
use anyhow::Result;
use clap::Args;
use latent_align_stages::Error;
use std::path::PathBuf;

/// Options of `inspect`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// An artifact's folder, a run's, a store's, or four or more characters of a fingerprint; all
    /// artifacts by default
    #[arg(value_name = "PATH|FINGERPRINT")]
    target: Option<PathBuf>,
    /// Read every output and compare its digest; damage is an error
    #[arg(long)]
    verify: bool,
}

/// Prints the table, or the one artifact.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    let target = target(store, arguments.target.as_deref())?;
    let artifacts = match target {
        Target::One(dir) => {
            let (page, result) = one(store, &dir, arguments.verify);
            console.print(&page)?;
            return Ok(result?);
        }
        Target::Many(artifacts) => artifacts,
    };
    console.print(&overview(&artifacts))?;
    if arguments.verify {
        let damaged: Vec<String> = artifacts
            .iter()
            .filter_map(|(_, dir)| one(store, dir, true).1.err())
            .map(|e| e.to_string())
            .collect();
        if !damaged.is_empty() {
            return Err(Error::file(store.root(), damaged.join("\n")).into());
        }
        console.print(&format!(
            "\nverified: the outputs of all {} artifacts have their digests\n",
            artifacts.len()
        ))?;
    }
    Ok(())
}
