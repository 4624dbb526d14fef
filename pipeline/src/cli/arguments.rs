//! Arguments that several commands take.

use super::devices::DeviceName;
use crate::config::{self, Assignment, Loaded, Overrides};
use crate::sweep::SweepFile;
use anyhow::Result;
use clap::Args;
use latent_align_stages::Error;
use latent_align_stages::devices::forms;
use std::path::{Path, PathBuf};

/// The experiment of a command line.
#[derive(Debug, Args)]
pub struct ExperimentArguments {
    /// The experiment's YAML file
    #[arg(value_name = "CONFIG")]
    pub config: PathBuf,
    #[command(flatten)]
    overrides: OverrideArguments,
    /// Replace `seed`
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Divide steps, points, samples and every other size by 20: a first try in a minute or two, as NAME.quick.
    /// Its figures are not results, and it is marked so everywhere
    #[arg(long)]
    quick: bool,
}

impl ExperimentArguments {
    /// The experiment with its overrides.
    ///
    /// # Errors
    /// What is wrong with the file or the overrides.
    pub fn load(&self) -> Result<Loaded> {
        let mut overrides = self.overrides.overrides()?;
        if let Some(seed) = self.seed {
            let seed = Assignment::new("seed", seed.into(), format!("--seed {seed}"));
            overrides.set.push(seed);
        }
        overrides.quick = self.quick;
        let loaded = load_experiment(&self.config, &overrides)?;
        let name = &loaded.experiment.name;
        if config::is_quick(name) && !self.quick {
            // such as the file in the folder of a quick run, whose results would become those of a full run
            return Err(Error::input(format!(
                "{}: name: found {name}, which is the name of a quick run; run it with --quick, or give it another name",
                self.config.display()
            ))
            .into());
        }
        Ok(loaded)
    }
}

/// Loads the experiment in `file`.
///
/// # Errors
/// What is wrong with it; also that it is a sweep.
pub fn load_experiment(file: &Path, overrides: &Overrides) -> Result<Loaded> {
    let loaded = config::load(file, overrides);
    // a pipe cannot be read twice; an experiment of a base and a name parses as a sweep without variants
    let is_sweep = || {
        let swept = |sweep: SweepFile| {
            !sweep.list.is_empty() || !sweep.grid.0.is_empty() || sweep.random.is_some()
        };
        file.is_file() && config::read::<SweepFile>(file).is_ok_and(swept)
    };
    Ok(loaded.map_err(|wrong| match is_sweep() {
        true => Error::input(format!(
            "{}: found the file of a sweep, expected that of an experiment; `latent-align sweep` runs it, and with --dry-run shows what it would run",
            file.display()
        )),
        false => wrong,
    })?)
}

/// Overrides of values in the file.
#[derive(Debug, Args)]
pub struct OverrideArguments {
    /// Replace a value, as in `--set train_autoencoder.regulariser.weight=0.01`; may be repeated. `run`
    /// and `plan` also apply it to experiments that this one reads, wherever they have the same value
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Replace `device` and `devices`
    #[arg(long, value_name = "DEVICE", value_parser = DeviceName, hide_possible_values = true)]
    #[arg(help = format!("Replace `device` or `devices`: {}", forms("")))]
    device: Option<String>,
}

impl OverrideArguments {
    /// The overrides as given.
    ///
    /// # Errors
    /// A `--set` that is not KEY=VALUE.
    pub fn overrides(&self) -> Result<Overrides> {
        let set = self.set.iter().map(|given| Assignment::parse(given));
        Ok(Overrides {
            set: set.collect::<latent_align_stages::Result<_>>()?,
            device: self.device.clone(),
            quick: false,
        })
    }
}
