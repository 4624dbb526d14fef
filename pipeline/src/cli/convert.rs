//! `latent-align convert FROM TO.h5`

use crate::console::Console;
use crate::conversion::{Channels, Colours, Conversion, Request, Written};
use crate::destination::Destination;
use crate::failure::quote;
use crate::process::Signals;
use crate::run::StageMonitor;
use anyhow::Result;
use clap::Args;
use latent_align_hdf5::{Number, foreign::beside};
use latent_align_stages::Error;
use latent_align_stages::context::Monitor as _;
use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Options of `convert`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A .npy, .npz, .parquet, .csv, .safetensors, .pt or IDX file, or a folder of PNG or JPEG images, where each
    /// subfolder is a class
    from: PathBuf,
    /// The HDF5 file to write
    #[arg(value_name = "TO.h5")]
    to: PathBuf,
    /// Replace the file TO.h5
    #[arg(long)]
    force: bool,
    /// The labels: a column of a table, or a file of integers [N] [default: a column `label`, subfolders]
    #[arg(long, value_name = "NAME or FILE")]
    labels: Option<String>,
    /// Columns of a table, or arrays of an archive [default: all]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    only: Vec<String>,
    /// The dataset to write [default: the name in FROM, or `images` or `features`]
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// Which axis of an array of images is that of the channels
    #[arg(long, value_enum, value_name = "PLACE")]
    channels: Option<Channels>,
    /// The colours of a folder of images, without transparency [default: grey if all are grey, else RGB]
    #[arg(long, value_enum, value_name = "COLOURS")]
    colours: Option<Colours>,
    /// Keep values that are NaN or infinite, which are refused otherwise
    #[arg(long)]
    keep_non_finite: bool,
}

/// Converts, and prints what was written and the next command.
///
/// # Errors
/// As [`Conversion::open`], [`Conversion::write`] and [`Destination::open`].
pub fn run(arguments: &Arguments, console: &Console) -> Result<()> {
    let to = &arguments.to;
    let labels = arguments.labels.as_deref().map(Path::new);
    for from in [Some(&*arguments.from), labels].into_iter().flatten() {
        if is_same(from, to) {
            return Err(Error::input(format!(
                "{}: found the file to convert as the one to write, expected another name, such as {}",
                to.display(),
                beside(from).display()
            ))
            .into());
        }
    }
    let destination = Destination::open(to, arguments.force)?;
    let conversion = Conversion::open(Request {
        from: &arguments.from,
        to,
        only: &arguments.only,
        labels: arguments.labels.as_deref(),
        dataset: arguments.dataset.as_deref(),
        channels: arguments.channels,
        colours: arguments.colours,
        keep_non_finite: arguments.keep_non_finite,
    })?;
    for note in conversion.notes() {
        console.note(&format!("{}: {note}", arguments.from.display()));
    }
    let signals = Signals::listen()?;
    let monitor = StageMonitor::new(console, &signals, "convert", None, None);
    let is_stream = destination.is_stream();
    let mut written = Vec::new();
    let done = destination.fill(|draft| {
        written = conversion.write(draft, &mut |done, of| {
            monitor.progress("values", done, of, "");
            match monitor.cancelled() {
                true => Err(Error::Cancelled),
                false => Ok(()),
            }
        })?;
        Ok(())
    });
    monitor.finish()?;
    done?;
    let told = format!("{}: written\n{}", to.display(), table(&written));
    match is_stream {
        true => console.note(told.trim_end()),
        false => console.print(&(told + &next(to, &written))),
    }
    Ok(())
}

/// Whether both are the same file or folder.
fn is_same(a: &Path, b: &Path) -> bool {
    let of = |path: &Path| std::fs::metadata(path).map(|m| (m.dev(), m.ino())).ok();
    of(a).is_some() && of(a) == of(b)
}

/// A line for each dataset.
fn table(written: &[Written]) -> String {
    let longest = |text: fn(&Written) -> String| written.iter().map(|w| text(w).len()).max();
    let name = longest(|w| w.name.clone()).unwrap_or(0);
    let shape = longest(|w| format!("{:?}", w.shape)).unwrap_or(0);
    let mut text = String::new();
    for dataset in written {
        let shown = format!("{:?}", dataset.shape);
        let _ = write!(
            text,
            "  /{:name$}  {shown:shape$}  {}  {}",
            dataset.name,
            dataset.number.name(),
            dataset.tally
        );
        let _ = match dataset.classes.as_slice() {
            [] => writeln!(text),
            classes => writeln!(text, "  {}", crate::conversion::shown(classes)),
        };
    }
    text
}

/// The command that begins with the datasets in `file`.
fn next(file: &Path, written: &[Written]) -> String {
    let file = quote(&file.display().to_string());
    let usable = written
        .iter()
        .filter(|w| w.number != Number::I64 && w.shape.len() > 1);
    let usable: Vec<&Written> = usable.collect();
    let mut text = String::new();
    let grey = usable.iter().find(|w| w.shape.len() == 3);
    if let Some(grey) = grey {
        let _ = writeln!(
            text,
            "/{} {:?} can be tokens [N, T, D], or images [N, H, W]: for those convert it again with --channels none",
            grey.name, grey.shape
        );
    }
    let all_images = !usable.is_empty() && usable.iter().all(|w| w.shape.len() == 4);
    let _ = match (all_images, grey, usable.as_slice()) {
        (true, _, [one, others @ ..]) => {
            let named = match (one.name.as_str(), others) {
                ("images", []) => String::new(),
                (name, _) => format!(" --data-dataset {}", quote(name)),
            };
            writeln!(
                text,
                "Next, with the features that the latents should follow, or a flow that comes with this program:\n  \
                 latent-align init FEATURES.h5 --data {file}{named}\n  \
                 latent-align init {file} --flow words-16{named}"
            )
        }
        (_, Some(_), _) => writeln!(text, "Next:\n  latent-align init {file} --tokens"),
        (_, _, [one]) if one.name != "features" => {
            writeln!(
                text,
                "Next:\n  latent-align init {file} --dataset {}",
                quote(&one.name)
            )
        }
        (_, _, [_]) => writeln!(text, "Next:\n  latent-align init {file}"),
        _ => writeln!(text, "Next:\n  latent-align show {file}"),
    };
    text
}
