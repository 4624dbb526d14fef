//! Shared by the commands that apply a run's networks.

use super::devices::DeviceName;
use crate::console::Console;
use crate::destination::Destination;
use crate::inference::{Input, Output, dataset_of};
use crate::store::Store;
use crate::tables::figures_tables;
use clap::Args;
use latent_align_stages::Result;
use latent_align_stages::context::Summary;
use latent_align_stages::devices::{DeviceChoice, forms};
use latent_align_stages::figures::in_region;
use latent_align_stages::inference::{Condition, Grid};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Prints the `figures` of `region`, on stderr if results go to stdout.
pub fn tell(figures: Summary, region: &str, is_stream: bool, console: &Console) {
    let figures = figures.figures.into_iter();
    let named = figures.map(|(name, value)| (in_region(region, &name), value));
    let lines = figures_tables(&named.collect::<Vec<_>>());
    match is_stream {
        true => console.note(lines.trim_end()),
        false => console.print(&lines),
    }
}

/// The run to apply, and the destination of the results.
#[derive(Debug, Args)]
pub struct Applied {
    /// A run by name or folder, or an artifact by fingerprint or folder
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// The file to write
    ///
    /// Until it is complete, rows are kept in OUT.partial; the same command resumes from it
    #[arg(long, value_name = "OUT")]
    pub out: PathBuf,
    /// Replace the file of --out
    ///
    /// Starts over even if an interrupted run of the command could be resumed
    #[arg(long)]
    pub force: bool,
    /// Where to compute
    #[arg(long, default_value = "cpu", value_parser = DeviceName, hide_possible_values = true)]
    #[arg(help = format!("Where to compute: {}", forms("")))]
    device: String,
}

impl Applied {
    /// The device.
    ///
    /// # Errors
    /// An input error for an unknown name.
    pub fn device(&self) -> Result<DeviceChoice> {
        self.device.parse()
    }

    /// What the rows depend on: `models and options`, and the device.
    pub fn about<'a>(
        &self,
        pairs: impl IntoIterator<Item = (&'a str, Value)>,
    ) -> Map<String, Value> {
        let device = ("device", self.device.clone().into());
        let pairs = pairs.into_iter().chain([device]);
        pairs.map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// A picture beside the results: a grid of their first images.
pub struct Picture {
    path: PathBuf,
    grid: Grid,
    force: bool,
}

impl Picture {
    /// The picture of `--grid`, if given: `--out` with the ending `.png`.
    ///
    /// # Errors
    /// An input error if something is there, without `--force`.
    pub fn beside(applied: &Applied, grid: Option<Grid>) -> Result<Option<Self>> {
        let Some(grid) = grid else { return Ok(None) };
        let path = applied.out.with_extension("png");
        Output::new(&path, applied.force)?;
        Ok(Some(Self {
            path,
            grid,
            force: applied.force,
        }))
    }

    /// Where it is, for a sentence on what is written.
    pub fn told(&self) -> String {
        format!(", and {}", self.path.display())
    }

    /// Writes it by `write`.
    ///
    /// # Errors
    /// File errors; errors of `write`.
    pub fn fill(&self, write: impl FnOnce(Grid, &Path) -> Result<()>) -> Result<()> {
        let destination = Destination::open(&self.path, self.force)?;
        destination.fill(|file| write(self.grid, file))?;
        Ok(())
    }
}

/// The largest number of images per side of a picture.
const MOST: usize = 256;

/// Parses `--grid`.
///
/// # Errors
/// What was expected.
pub fn grid(text: &str) -> std::result::Result<Grid, String> {
    let sides = text.split_once('x').and_then(|(rows, columns)| {
        Some((rows.parse().ok()?, columns.parse().ok()?)).filter(|&(rows, columns)| {
            let range = 1..=MOST;
            range.contains(&rows) && range.contains(&columns)
        })
    });
    match sides {
        Some((rows, columns)) => Ok(Grid { rows, columns }),
        None => Err(format!(
            "expected ROWSxCOLUMNS, 1 to {MOST} each, such as 8x8"
        )),
    }
}

/// The conditions of the rows.
#[derive(Debug, Args)]
pub struct ConditionArguments {
    /// A class, counted from 0, or an HDF5 file with a label or embedding per row
    ///
    /// For conditional flows
    #[arg(long, value_name = "CLASS|FILE")]
    condition: Option<String>,
    /// The dataset of that file [default: labels or embeddings, or the only one]
    #[arg(long, value_name = "NAME", requires = "condition")]
    condition_dataset: Option<String>,
}

impl ConditionArguments {
    /// Whether a condition was given.
    pub fn is_given(&self) -> bool {
        self.condition.is_some()
    }

    /// The condition, and a JSON value that identifies it.
    ///
    /// # Errors
    /// An input error for a missing file.
    pub fn open(&self, store: &Store) -> Result<(Option<Condition>, Value)> {
        let Some(text) = &self.condition else {
            return Ok((None, Value::Null));
        };
        if let Ok(class) = text.parse::<u32>() {
            return Ok((Some(Condition::Class(class)), class.into()));
        }
        let (file, asked) = (Path::new(text), self.condition_dataset.as_deref());
        let dataset = dataset_of(file, asked, &["labels", "embeddings"])?;
        let input = Input::open(file, &dataset, store)?;
        Ok((Some(Condition::Rows(input.source())), input.identity()))
    }
}
