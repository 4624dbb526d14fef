//! `latent-align generate KIND --out FILE --count N`

use crate::config::{hint, parse_value};
use crate::console::Console;
use crate::destination::Destination;
use clap::Args;
use latent_align_stages::targets::{Target, generate};
use latent_align_stages::{Error, Result};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// Options of `generate`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// gaussian, gaussian_ring, gaussian_grid, mixture, moons, rings, spiral, swiss_roll, checkerboard,
    /// torus
    kind: String,
    /// The HDF5 file to write
    #[arg(long)]
    out: PathBuf,
    /// Replace the file of --out
    #[arg(long)]
    force: bool,
    /// The number of rows
    #[arg(long)]
    count: usize,
    /// The seed of the samples
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The dataset to write
    #[arg(long, default_value = "features")]
    dataset: String,
    /// A parameter of the distribution as YAML, as in `--param modes=8`; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
}

/// Draws the samples, and prints what was written, on stderr if the output goes to stdout.
///
/// # Errors
/// [`Error::Input`] for an unknown kind or parameter, or a value out of range; as
/// [`Destination::open`].
pub fn run(arguments: &Arguments, console: &Console) -> Result<()> {
    let target: Target = serde_json::from_value(tree(arguments)?).map_err(|e| explain(&e))?;
    let Arguments {
        out,
        count,
        seed,
        dataset,
        ..
    } = arguments;
    let destination = Destination::open(out, arguments.force)?;
    let told = format!(
        "{}: /{dataset} [{count}, {}] f32, {} with seed {seed}",
        out.display(),
        target.width(),
        target.kind()
    );
    let is_stream = destination.is_stream();
    destination.fill(|file| generate(&target, *count, *seed, file, dataset))?;
    if is_stream {
        console.note(&told);
    } else {
        console.print(&(told + "\n"));
    }
    Ok(())
}

/// Serde's message about a target, in terms of the command line.
fn explain(error: &serde_json::Error) -> Error {
    let message = error.to_string();
    let words: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let near = words
        .split_first()
        .map_or(String::new(), |(word, expected)| hint(word, expected));
    let what = message
        .replace("unknown variant", "unknown kind")
        .replace("unknown field", "unknown --param")
        .replace("missing field", "missing --param");
    Error::input(format!("generate: {what}{near}"))
}

/// The distribution as the tagged map that [`Target`] reads.
fn tree(arguments: &Arguments) -> Result<Value> {
    let mut target = Map::new();
    target.insert("kind".into(), arguments.kind.replace('-', "_").into());
    for parameter in &arguments.parameters {
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

    fn arguments(parameters: &[&str]) -> Arguments {
        Arguments {
            kind: "gaussian-ring".into(),
            out: "a.h5".into(),
            force: false,
            count: 1,
            seed: 0,
            dataset: "features".into(),
            parameters: parameters.iter().map(|p| (*p).to_owned()).collect(),
        }
    }

    #[test]
    fn parameters_are_yaml() {
        let found = tree(&arguments(&["modes=8", "mean=[0, 1.5]"])).unwrap();
        let expected = json!({"kind": "gaussian_ring", "modes": 8, "mean": [0, 1.5]});
        assert_eq!(found, expected);
    }

    #[test]
    fn a_parameter_without_a_value_or_given_twice_is_refused() {
        for bad in [&["modes"][..], &["modes=1", "modes=2"], &["kind=moons"]] {
            assert!(tree(&arguments(bad)).is_err(), "{bad:?}");
        }
    }
}
