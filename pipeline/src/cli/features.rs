//! `latent-align features scan FILE` and `latent-align features generate KIND`

use crate::config::parse_value;
use crate::console::Console;
use crate::pending;
use crate::run::{Signals, StageMonitor};
use anyhow::Result;
use clap::{Args, Subcommand};
use latent_align_stages::Error;
use serde_json::{Map, Value};
use std::path::PathBuf;

/// Options of `features`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what an HDF5 file holds, and scan one of its datasets
    Scan(Scan),
    /// Write samples of a distribution whose density is known
    Generate(Generate),
}

#[derive(Debug, Args)]
struct Scan {
    /// The HDF5 file
    file: PathBuf,
    /// Scan this dataset only; every one that can hold features by default
    #[arg(long)]
    dataset: Option<String>,
}

#[derive(Debug, Args)]
struct Generate {
    /// gaussian, gaussian_ring, gaussian_grid, mixture, moons, rings, spiral, swiss_roll, checkerboard
    kind: String,
    /// The HDF5 file to write
    #[arg(long)]
    out: PathBuf,
    /// Rows
    #[arg(long)]
    count: u64,
    /// The seed of the samples
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A parameter of the distribution as YAML, as in `--param modes=8`; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
}

/// Scans or generates.
pub fn run(arguments: &Arguments, console: &Console) -> Result<()> {
    let signals = Signals::listen()?;
    let monitor = StageMonitor::new(console, &signals, "features", None);
    let done = match &arguments.command {
        Command::Scan(scan) => pending::scan(&scan.file, scan.dataset.as_deref(), &monitor),
        Command::Generate(generate) => target(generate).and_then(|target| {
            pending::generate(
                &target,
                &generate.out,
                generate.count,
                generate.seed,
                &monitor,
            )
        }),
    };
    monitor.finish()?;
    console.print(&done?)
}

/// The distribution as the tagged map that `latent_align_stages::features::Target` reads.
fn target(generate: &Generate) -> Result<Value, Error> {
    let mut target = Map::new();
    target.insert("kind".into(), generate.kind.replace('-', "_").into());
    for parameter in &generate.parameters {
        let (name, text) = parameter.split_once('=').ok_or_else(|| {
            Error::input(format!(
                "--param {parameter}: expected NAME=VALUE, such as --param modes=8"
            ))
        })?;
        let value = parse_value(text, &format!("--param {name}"))?;
        if name == "kind" || target.insert(name.to_owned(), value).is_some() {
            return Err(Error::input(format!("--param {name}: given twice")));
        }
    }
    Ok(Value::Object(target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn generate(parameters: &[&str]) -> Generate {
        Generate {
            kind: "gaussian-ring".into(),
            out: "a.h5".into(),
            count: 1,
            seed: 0,
            parameters: parameters.iter().map(|p| (*p).to_owned()).collect(),
        }
    }

    #[test]
    fn parameters_are_yaml() {
        let found = target(&generate(&["modes=8", "mean=[0, 1.5]"])).unwrap();
        let expected = json!({"kind": "gaussian_ring", "modes": 8, "mean": [0, 1.5]});
        assert_eq!(found, expected);
    }

    #[test]
    fn a_parameter_without_a_value_or_given_twice_is_refused() {
        for bad in [&["modes"][..], &["modes=1", "modes=2"], &["kind=moons"]] {
            assert!(target(&generate(bad)).is_err(), "{bad:?}");
        }
    }
}
