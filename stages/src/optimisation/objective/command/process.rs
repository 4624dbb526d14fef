//! A process in its own process group that reads and writes lines.

use latent_align_hdf5::alone;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The longest line that is not cut.
const LONGEST: u64 = 1 << 16;
/// Lines of its standard error shown in errors.
const TOLD: usize = 5;

/// The standard output of a process.
pub(super) enum Said {
    /// These lines, at least one.
    Lines(Vec<String>),
    /// No line so far.
    Nothing,
    /// No more lines, and how the process ended.
    End(String),
}

/// A running process. On drop, it and all processes in its group are killed.
pub(super) struct Process {
    child: Child,
    /// The sender of its input; its standard input is closed once this is dropped.
    input: Option<Sender<String>>,
    lines: Receiver<Line>,
    /// A last line without a line break.
    unfinished: Option<String>,
    errors: Arc<Mutex<VecDeque<String>>>,
    /// The threads that read its output.
    listener: JoinHandle<()>,
    /// How it ended, once it was waited for.
    status: Option<ExitStatus>,
}

/// A line, and whether it ended with a line break.
type Line = (String, bool);

impl Process {
    /// Starts the program `words[0]` with arguments, and `environment` in addition to that of this process.
    pub fn start(
        words: &[String],
        environment: &BTreeMap<String, String>,
    ) -> std::io::Result<Self> {
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .envs(environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C reaches only this process, and the program's children can be ended with it
            .process_group(0);
        let mut child = alone(&mut command).spawn()?;
        let mut stdin = child.stdin.take().expect("it is piped");
        let (input, texts) = channel::<String>();
        std::thread::spawn(move || {
            for text in texts {
                // a program that stops reading is detected by its missing output
                if stdin
                    .write_all(text.as_bytes())
                    .and_then(|()| stdin.flush())
                    .is_err()
                {
                    break;
                }
            }
        });
        let stdout = child.stdout.take().expect("it is piped");
        let (send, lines) = channel();
        std::thread::spawn(move || each_line(stdout, |line| send.send(line).is_ok()));
        let stderr = child.stderr.take().expect("it is piped");
        let errors: Arc<Mutex<VecDeque<String>>> = Arc::default();
        let kept = Arc::clone(&errors);
        let listener = std::thread::spawn(move || {
            each_line(stderr, |(line, _)| {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() == TOLD {
                    kept.pop_front();
                }
                kept.push_back(line);
                true
            });
        });
        Ok(Self {
            child,
            input: Some(input),
            lines,
            unfinished: None,
            errors,
            listener,
            status: None,
        })
    }

    /// Writes `text` to its input; closes the input unless there is `more` to come.
    pub fn write(&mut self, text: String, more: bool) {
        if let Some(input) = &self.input {
            // the process may have closed its input
            let _ = input.send(text);
        }
        if !more {
            self.input = None;
        }
    }

    /// Its output within `patience`, at most `most` lines. A last line without a line break counts only if the
    /// process ended successfully: a crash may leave half a number.
    pub fn said(&mut self, patience: Duration, most: usize) -> Said {
        let first = match self.lines.recv_timeout(patience) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => return Said::Nothing,
            Err(RecvTimeoutError::Disconnected) => return self.silent(patience),
        };
        let more = std::iter::from_fn(|| self.lines.try_recv().ok());
        let more = more.take(most.saturating_sub(1));
        let mut lines = Vec::new();
        for (line, is_whole) in std::iter::once(first).chain(more) {
            match is_whole {
                true => lines.push(line),
                false => self.unfinished = Some(line),
            }
        }
        match lines.is_empty() {
            true => Said::Nothing,
            false => Said::Lines(lines),
        }
    }

    /// The result once its standard output is closed.
    fn silent(&mut self, patience: Duration) -> Said {
        if !self.has_ended() {
            std::thread::sleep(patience.min(Duration::from_millis(5)));
            return Said::Nothing;
        }
        let status = self.kill();
        match (self.unfinished.take(), status) {
            (Some(line), Some(status)) if status.success() => Said::Lines(vec![line]),
            (_, status) => Said::End(status.map_or("ended".to_owned(), told)),
        }
    }

    /// Whether it ended; its process ID remains valid until it is waited for.
    fn has_ended(&self) -> bool {
        if self.status.is_some() {
            return true;
        }
        let how = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(
            waitid(WaitId::Pid(Pid::from_child(&self.child)), how),
            Ok(None)
        )
    }

    /// Ends it and its process group; returns how it ended, possibly by itself before.
    fn kill(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            // it was not waited for, so that the process ID is still valid
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            self.status = self.child.wait().ok();
        }
        self.status
    }

    /// Ends it, and returns the end of its standard error as a sentence; empty if it wrote nothing.
    pub fn last_words(mut self) -> String {
        self.kill();
        let started = Instant::now();
        while !self.listener.is_finished() && started.elapsed() < Duration::from_millis(500) {
            std::thread::sleep(Duration::from_millis(2));
        }
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&str> = errors.iter().map(String::as_str).collect();
        match lines.is_empty() {
            true => String::new(),
            false => format!("\nThe end of its standard error:\n  {}", lines.join("\n  ")),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How a process ended, in words that follow its name.
fn told(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "ended".to_owned(),
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// Calls `work` with each line of `from` until it returns false. Lines that are too long are cut.
fn each_line(from: impl Read, mut work: impl FnMut(Line) -> bool) {
    let mut reader = BufReader::new(from);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match reader.by_ref().take(LONGEST).read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let is_whole = bytes.last() == Some(&b'\n') || bytes.len() as u64 == LONGEST;
        let text = String::from_utf8_lossy(&bytes);
        if !work((text.trim_end_matches(['\n', '\r']).to_owned(), is_whole)) {
            return;
        }
    }
}
