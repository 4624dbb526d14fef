//! `latent-align import FILE [--into NAME]`

use super::devices::DeviceName;
use crate::config::{CheckpointConfig, NAME, is_name};
use crate::console::Console;
use crate::process::Signals;
use crate::run::Workshop;
use crate::store::{Digests, Key, RunFolder, Stage, Store};
use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use latent_align_stages::Error;
use latent_align_stages::devices::forms;
use latent_align_stages::priors::{ImportConfig, TimeDirection, import};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Options of `import`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The checkpoint: `.pt` / `.pth` with the keys `ema` or `model`, or `.safetensors`
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Link the flow as artifacts/runs/NAME/pretrain-flow
    #[arg(long, value_name = "NAME", default_value = "imported")]
    into: String,
    /// Replace the link of NAME if it points to another flow
    #[arg(long)]
    force: bool,
    /// The time of the noise in the checkpoint: `reversed` for t = 1, as in the paper's code;
    /// `forward` for t = 0, as in this program
    #[arg(long, value_enum, default_value_t)]
    time: Time,
    /// Factor applied to the time before the checkpoint's time embedding
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    time_scale: f64,
    /// Factor applied to the features before the checkpoint's network
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    feature_scale: f64,
    /// The dictionary of a `.pt` file that holds the weights; by default `ema`, else `model`, else the
    /// top level
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Where to check the weights
    #[arg(long, default_value = "cpu", value_parser = DeviceName, hide_possible_values = true)]
    #[arg(help = format!("Where to check the weights: {}", forms("")))]
    device: String,
}

/// The direction of time in a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Time {
    /// Data at t = 0, noise at t = 1, as in the paper's ImageNet code.
    #[default]
    Reversed,
    /// Noise at t = 0, data at t = 1, as in this program.
    Forward,
}

/// Commits an artifact of stage `pretrain-flow` and prints how to use it.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    let file =
        std::path::absolute(&arguments.file).context("the current folder no longer exists")?;
    refuse_unusable(arguments, &file, store)?;
    store.open_for_writing()?;
    let mut digests = Digests::of_store(store.root());
    let record = digests.of(&arguments.file)?;
    let config = ImportConfig {
        file: file.clone(),
        time: match arguments.time {
            Time::Reversed => TimeDirection::DataToNoise,
            Time::Forward => TimeDirection::NoiseToData,
        },
        time_scale: arguments.time_scale,
        feature_scale: arguments.feature_scale,
        key: arguments.key.clone(),
    };
    let key = Key {
        stage: Stage::PretrainFlow,
        config: json!({ "import": ImportConfig { file: PathBuf::new(), ..config.clone() } }),
        seed: 0,
        inputs: vec![("import.file".into(), file, record)],
        upstream: Vec::new(),
        quick: false,
    };
    let place = store.artifact(key.stage, &key.fingerprint());
    let run = RunFolder::of(store, &arguments.into);
    refuse_another(&run, &place, arguments)?;
    let mut workshop = Workshop {
        store,
        console,
        signals: Signals::listen()?,
        devices: vec![arguments.device.parse()?],
        digests,
        checkpoints: CheckpointConfig::default(),
        run: None,
    };
    let manifest = workshop.fill(&key, 1, Vec::new(), |context| import(&config, context))?;
    run.link(key.stage, &place)?;
    console.print(&format!(
        "Use it with `flow: {}` in place of `pretrain_flow`.\n{}\n",
        manifest.fingerprint,
        place.display()
    ));
    Ok(())
}

/// Refuses names, scales and paths that cannot be used.
fn refuse_unusable(arguments: &Arguments, file: &Path, store: &Store) -> Result<(), Error> {
    let into = &arguments.into;
    if !is_name(into) {
        return Err(Error::input(format!(
            "--into: found {into}, expected {NAME}"
        )));
    }
    for (option, found) in [
        ("--time-scale", arguments.time_scale),
        ("--feature-scale", arguments.feature_scale),
    ] {
        if !(found.is_finite() && found > 0.0) {
            return Err(Error::input(format!(
                "{option}: found {found}, expected a positive number such as 1"
            )));
        }
    }
    if RunFolder::of(store, into).record()?.is_some() {
        return Err(Error::input(format!(
            "--into: `{into}` is the run of an experiment, not of an imported flow; give another name"
        )));
    }
    match file.to_str() {
        Some(_) => Ok(()),
        // manifests are text
        None => Err(Error::input(format!(
            "{}: found a path that is not UTF-8, expected one that is; rename the file or its folder",
            file.display()
        ))),
    }
}

/// Refuses a run that leads to another flow, before any work is done.
fn refuse_another(run: &RunFolder, place: &Path, arguments: &Arguments) -> Result<(), Error> {
    let link = run.path().join(Stage::PretrainFlow.name());
    let way_out = match run.linked(Stage::PretrainFlow) {
        Some(led_to) if led_to == place || arguments.force => return Ok(()),
        Some(_) => ", or replace its link with --force",
        None if link.symlink_metadata().is_err() => return Ok(()),
        None => "",
    };
    Err(Error::input(format!(
        "--into {}: found another flow at {}, expected none; choose another name{way_out}",
        arguments.into,
        link.display()
    )))
}
