//! Executes work from its input to the finished file.

use super::inputs::Input;
use crate::console::Console;
use crate::destination::{Destination, Found};
use crate::process::{Signals, peak_mib};
use crate::run::StageMonitor;
use crate::tables::duration;
use latent_align_stages::inference::{Partial, Work, go_on};
use latent_align_stages::{Error, Result};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Destination of results.
pub struct Output {
    path: PathBuf,
    force: bool,
    /// Opened at the start, since a pipe can be opened only once.
    stream: Option<Destination>,
}

impl Output {
    /// Checks that `path` may be written; a file is opened only when there is something to write.
    ///
    /// # Errors
    /// As [`Destination::open`].
    pub fn new(path: &Path, force: bool) -> Result<Self> {
        let is_file = matches!(Found::at(path)?, Found::Nothing | Found::File(_));
        let open = Destination::open(path, force)?;
        Ok(Self {
            path: path.to_owned(),
            force,
            stream: (!is_file).then_some(open),
        })
    }

    /// Whether it is a pipe or a device.
    pub fn is_stream(&self) -> bool {
        self.stream.is_some()
    }

    /// Path of the file beside it that holds partial rows.
    fn partial(&self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default();
        let mut name = name.to_owned();
        name.push(".partial");
        self.path.with_file_name(name)
    }
}

/// A command that computes rows.
pub struct Job<'a> {
    /// Name of the command.
    pub name: &'static str,
    pub console: &'a Console,
    /// Its input, if any.
    pub input: Option<&'a Input>,
    /// Everything that determines its rows: models, options, device.
    pub about: Map<String, Value>,
}

impl Job<'_> {
    /// Computes the rows of `work` that an interrupted command with the same `about` did not compute, calls
    /// `write` to make a file of them, moves it to its destination, and reports what was `written`.
    ///
    /// # Errors
    /// Errors of the work, `write` and [`Destination`]. After an input error nothing is left behind; after
    /// other errors the partial rows are kept.
    pub fn run(
        self,
        work: &dyn Work,
        output: Output,
        write: impl FnOnce(&mut Partial, &Path) -> Result<()>,
        written: &str,
    ) -> Result<()> {
        let signals = Signals::listen().map_err(|e| Error::Device(e.to_string()))?;
        let started = Instant::now();
        let (row, about) = (work.row_bytes(), self.identity());
        let mut partial = match output.stream {
            Some(_) => Partial::unnamed(&about, row)?,
            None => Partial::open(&output.partial(), &about, row, output.force)?,
        };
        let first = partial.rows();
        if first > 0 {
            let (total, path) = (work.total(), partial.path().display());
            self.console.note(&format!(
                "{}: resuming after {first} of {total} rows in {path}",
                self.name
            ));
        }
        let monitor = StageMonitor::new(self.console, &signals, self.name, None, None);
        let done = go_on(work, &mut partial, &monitor);
        let ended = monitor.finish();
        let done = done.and(ended.map(drop));
        let may_go_on = matches!(&done, Err(error) if may_go_on(error));
        let unchanged = || self.input.map_or(Ok(()), Input::is_unchanged);
        if let Err(error) = done.and_then(|()| unchanged()) {
            if !may_go_on {
                partial.remove()?;
            }
            return Err(error);
        }
        let is_stream = output.is_stream();
        let destination = match output.stream {
            Some(stream) => stream,
            None => Destination::open(&output.path, output.force)?,
        };
        destination.fill(|file| write(&mut partial, file))?;
        if !is_stream {
            partial.remove()?;
        }
        let seconds = started.elapsed().as_secs_f64();
        let rows = work.total() - first;
        let memory = peak_mib().map_or(String::new(), |mib| format!(", peak memory {mib:.0} MiB"));
        let told = format!(
            "{}: {written}\n{rows} rows in {} ({:.0} rows/s){memory}\n",
            output.path.display(),
            duration(seconds),
            rows as f64 / seconds.max(1e-9),
        );
        match is_stream {
            true => self.console.note(told.trim_end()),
            false => self.console.print(&told),
        }
        Ok(())
    }

    fn identity(&self) -> Map<String, Value> {
        let mut about = Map::new();
        about.insert("command".into(), self.name.into());
        about.insert("version".into(), env!("CARGO_PKG_VERSION").into());
        let revision = option_env!("LATENT_ALIGN_REVISION");
        about.insert("revision".into(), json!(revision));
        if let Some(input) = self.input {
            about.insert("input".into(), input.identity());
        }
        about.extend(self.about.clone());
        about
    }
}

/// Whether the same command may succeed later, after `error`.
fn may_go_on(error: &Error) -> bool {
    !matches!(error, Error::Input(_) | Error::Numerical(_))
}
