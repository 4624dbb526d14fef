//! Output for people and programs: results on stdout, progress and logs on stderr, each message once.

use chrono::{DateTime, Utc};
use indicatif::{MultiProgress, ProgressBar};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::io::{ErrorKind, IsTerminal as _, Write};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::SystemTime;
use tracing_indicatif::IndicatifWriter;
use tracing_indicatif::writer::Stderr;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Format of logs and progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line, including progress.
    Json,
}

/// The target of status lines in JSON logs.
const PROGRESS: &str = "latent_align::progress";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Bars,
    Lines,
    Events,
    Nothing,
}

/// The process's stdout and stderr. Failing to write to them does not stop the work.
pub struct Console {
    bars: MultiProgress,
    style: Style,
    format: LogFormat,
    is_verbose: bool,
    /// State of stdout: [`OPEN`], [`LEFT`] or [`LOST`].
    stdout: AtomicU8,
}

/// Everything was written.
const OPEN: u8 = 0;
/// The reader has closed the pipe, as `head` does.
const LEFT: u8 = 1;
/// Writing failed, as on a full disk.
const LOST: u8 = 2;

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
        let writer = Logs(IndicatifWriter::<Stderr>::new(bars.clone()));
        let filter = std::env::var("LATENT_ALIGN_LOG")
            .ok()
            .and_then(|spec| EnvFilter::try_new(spec).ok())
            .unwrap_or_else(|| EnvFilter::new(filter(verbosity, format)));
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            // A full stderr would otherwise cause a panic.
            .log_internal_errors(false)
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
            let _ = writeln!(std::io::stderr(), "warning: no logs: {e}");
        }
        Self {
            bars,
            style,
            format,
            is_verbose: verbosity > 0,
            stdout: AtomicU8::new(OPEN),
        }
    }

    /// Writes `text` for people to stdout, made [`visible`]. Once the reader has closed it, nothing more
    /// is written. A failure to write is reported once and recorded in [`Self::has_lost_output`].
    pub fn print(&self, text: &str) {
        self.print_as_it_is(&visible(text));
    }

    /// As [`Self::print`], for output that programs read: it is made [`visible`] on a terminal only.
    pub fn print_for_programs(&self, text: &str) {
        match std::io::stdout().is_terminal() {
            true => self.print(text),
            false => self.print_as_it_is(text),
        }
    }

    fn print_as_it_is(&self, text: &str) {
        if self.stdout.load(Ordering::Relaxed) != OPEN {
            return;
        }
        let written = self.bars.suspend(|| {
            let mut out = std::io::stdout().lock();
            out.write_all(text.as_bytes())?;
            out.flush()
        });
        match written {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::BrokenPipe => {
                self.stdout.store(LEFT, Ordering::Relaxed);
            }
            Err(e) => {
                self.stdout.store(LOST, Ordering::Relaxed);
                self.error(&format!(
                    "error: standard output cannot be written ({e}); its output is lost, the work continues"
                ));
            }
        }
    }

    /// Whether the user asked for more than the essentials.
    pub fn is_verbose(&self) -> bool {
        self.is_verbose
    }

    /// Whether writing to stdout failed: its contents are incomplete.
    pub fn has_lost_output(&self) -> bool {
        self.stdout.load(Ordering::Relaxed) == LOST
    }

    /// Writes a status line to stderr.
    pub fn note(&self, line: &str) {
        let line = visible(line);
        match self.style {
            Style::Nothing => {}
            Style::Events => tracing::info!(target: PROGRESS, "{line}"),
            Style::Bars | Style::Lines => {
                // A closed stderr does not stop the work.
                let _ = self.bars.suspend(|| writeln!(std::io::stderr(), "{line}"));
            }
        }
    }

    /// Writes a status `line` to stderr; among the events of JSON logs with these fields.
    pub fn note_with(&self, line: &str, fields: impl FnOnce() -> Map<String, Value>) {
        if self.style != Style::Events {
            return self.note(line);
        }
        if tracing::enabled!(target: PROGRESS, tracing::Level::INFO) {
            let mut event = Map::new();
            let now: DateTime<Utc> = SystemTime::now().into();
            event.insert("timestamp".into(), now.to_rfc3339().into());
            event.insert("level".into(), "INFO".into());
            event.insert("message".into(), visible(line).into());
            event.insert("target".into(), PROGRESS.into());
            event.extend(fields());
            // A closed stderr does not stop the work.
            let line = Value::from(event).to_string() + "\n";
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }

    /// Reports the error that ends the process.
    pub fn error(&self, text: &str) {
        match self.format {
            LogFormat::Json => tracing::error!("{text}"),
            LogFormat::Text => {
                let text = visible(text);
                let _ = self.bars.suspend(|| writeln!(std::io::stderr(), "{text}"));
            }
        }
    }

    /// A new progress bar, if there is a terminal.
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

/// Escapes every character in `text` that a terminal would interpret rather than show, or that would make
/// it show other text: control characters except line ends and tabs, and bidirectional marks. Names in
/// untrusted files may contain them.
pub fn visible(text: &str) -> Cow<'_, str> {
    visible_but_for(text, &['\n', '\t'])
}

fn visible_but_for<'a>(text: &'a str, allowed: &[char]) -> Cow<'a, str> {
    let is_shown = |c: char| allowed.contains(&c) || !(c.is_control() || is_mark(c));
    if text.chars().all(is_shown) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_shown(c) {
            true => out.push(c),
            false => out.extend(c.escape_default()),
        }
    }
    Cow::Owned(out)
}

/// Line and paragraph separators, which `char::is_control` does not include, and bidirectional marks.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Log output, made [`visible`] except for the formatter's colours; the formatter itself escapes those in
/// messages.
struct Logs<W>(W);

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Logs<M> {
    type Writer = Logs<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Logs(self.0.make_writer())
    }
}

impl<W: Write> Write for Logs<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let text = visible_but_for(&text, &['\n', '\t', '\u{1b}']);
        self.0.write_all(text.as_bytes()).map(|()| bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        let found = visible("a\u{1b}[2J\r\u{7}\u{9b}1m\u{202e}b\u{2028}\tc\né…╭⣿");
        let expected = "a\\u{1b}[2J\\r\\u{7}\\u{9b}1m\\u{202e}b\\u{2028}\tc\né…╭⣿";
        assert_eq!(found, expected);
        assert!(matches!(visible("plain\n"), Cow::Borrowed(_)));
    }
}
