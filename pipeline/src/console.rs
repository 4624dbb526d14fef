//! What people see: results on stdout, progress and logs on stderr, each said once.

use anyhow::Result;
use indicatif::{MultiProgress, ProgressBar};
use std::io::{IsTerminal as _, Write as _};
use tracing_indicatif::IndicatifWriter;
use tracing_indicatif::writer::Stderr;
use tracing_subscriber::EnvFilter;

/// How logs and progress are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, progress included.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Bars,
    Lines,
    Events,
    Nothing,
}

/// The process's stdout and stderr.
pub struct Console {
    bars: MultiProgress,
    style: Style,
    format: LogFormat,
}

impl Console {
    /// Sets up logging for the whole process. `verbosity` is the number of `-v`, or -1 for `-q`.
    pub fn start(verbosity: i8, format: LogFormat) -> Self {
        let style = match (verbosity, format) {
            (..0, _) => Style::Nothing,
            (_, LogFormat::Json) => Style::Events,
            _ if std::io::stderr().is_terminal() => Style::Bars,
            _ => Style::Lines,
        };
        let bars = MultiProgress::new();
        let writer = IndicatifWriter::<Stderr>::new(bars.clone());
        let filter = std::env::var("LATENT_ALIGN_LOG")
            .ok()
            .and_then(|spec| EnvFilter::try_new(spec).ok())
            .unwrap_or_else(|| EnvFilter::new(filter(verbosity, format)));
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(writer)
            .with_ansi(style == Style::Bars);
        let started = match format {
            LogFormat::Json => builder.json().flatten_event(true).try_init(),
            LogFormat::Text if verbosity > 0 => builder.compact().try_init(),
            LogFormat::Text => builder
                .compact()
                .without_time()
                .with_target(false)
                .try_init(),
        };
        if let Err(e) = started {
            eprintln!("warning: no logs: {e}");
        }
        Self {
            bars,
            style,
            format,
        }
    }

    /// Writes `text` to stdout.
    ///
    /// # Errors
    /// A reader that went away is [`std::io::ErrorKind::BrokenPipe`].
    pub fn print(&self, text: &str) -> Result<()> {
        self.bars.suspend(|| {
            let mut out = std::io::stdout().lock();
            out.write_all(text.as_bytes())?;
            out.flush()
        })?;
        Ok(())
    }

    /// One line about what is going on.
    pub fn note(&self, line: &str) {
        match self.style {
            Style::Nothing => {}
            Style::Events => tracing::info!(target: "latent_align::progress", "{line}"),
            Style::Bars | Style::Lines => {
                // A closed stderr is no reason to stop.
                let _ = self.bars.suspend(|| writeln!(std::io::stderr(), "{line}"));
            }
        }
    }

    /// Why the process ends.
    pub fn error(&self, text: &str) {
        match self.format {
            LogFormat::Json => tracing::error!("{text}"),
            LogFormat::Text => {
                let _ = self.bars.suspend(|| writeln!(std::io::stderr(), "{text}"));
            }
        }
    }

    /// A new progress bar, where there is a terminal for it.
    pub fn add_bar(&self, total: u64) -> Option<ProgressBar> {
        (self.style == Style::Bars).then(|| self.bars.add(ProgressBar::new(total)))
    }
}

fn filter(verbosity: i8, format: LogFormat) -> &'static str {
    match (verbosity, format) {
        (..0, _) => "error",
        (0, LogFormat::Text) => "warn",
        (0, LogFormat::Json) | (1, _) => "warn,latent_align=info,latent_align_stages=info",
        (2, _) => "info,latent_align=debug,latent_align_stages=debug",
        _ => "debug,latent_align=trace,latent_align_stages=trace",
    }
}
