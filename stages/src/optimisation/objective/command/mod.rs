//! Scores by an external program: it reads texts from its standard input, one per line, and writes a score for each
//! to its standard output, one per line and in the same order.
//!
//! A score is a number, or `infeasible`; a number that is not finite is infeasible too. The program is started for
//! each batch and its input ends with the batch, or, with `keep_running`, it is started once and gets batch after
//! batch.

mod process;

use super::scoring::{Objective, Score};
use crate::error::{Error, Result};
use crate::optimisation::Direction;
use crate::problems::Problems;
use process::{Process, Said};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A program that reads sequences from its standard input, one per line, and writes a score for each to its
/// standard output, one per line in the same order: a number, or `infeasible`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandConfig {
    /// The program and its arguments; `{script}` in them is replaced by the path of `script`. No shell is used.
    pub command: Vec<String>,
    /// A file of the program, relative to the configuration file. Its content is part of the artifact's identity: a
    /// search starts over when it changes.
    #[serde(default)]
    pub script: Option<PathBuf>,
    /// A program and its arguments that writes each sequence in canonical form, one per line in the same order, and
    /// an empty line for an invalid sequence. It is started and called like `command`, and its calls are not
    /// counted. Sequences are then proposed and scored in that form, each once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canonical: Option<Vec<String>>,
    /// Which scores are better.
    pub direction: Direction,
    /// The largest number of sequences per batch.
    #[serde(default = "defaults::batch")]
    pub batch: usize,
    /// The time limit for a batch in seconds, including the start of the program.
    #[serde(default = "defaults::time_limit")]
    pub time_limit: f64,
    /// The number of consecutive restarts after the program ends early or exceeds the time limit, for the remaining
    /// sequences.
    #[serde(default = "defaults::retries")]
    pub retries: u32,
    /// Whether one process gets batch after batch. It must then flush its scores before it reads more.
    #[serde(default)]
    pub keep_running: bool,
    /// Additional environment variables.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

mod defaults {
    crate::defaults::defaults! {
        batch: usize = 100;
        time_limit: f64 = 600.0;
        retries: u32 = 2;
    }
}

/// The placeholder of the script in the command.
const SCRIPT: &str = "{script}";
/// The output for a text without a score.
const INFEASIBLE: &str = "infeasible";
/// The interval for checking for cancellation.
const PATIENCE: Duration = Duration::from_millis(50);

impl CommandConfig {
    /// Reports every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        let program = self.command.first();
        problems.require(
            program.is_some_and(|program| !program.is_empty()),
            "command",
            "no program",
            "a program and its arguments, such as [python3, score.py]",
        );
        let canonical = self.canonical.as_deref();
        problems.require(
            canonical.is_none_or(|words| words.first().is_some_and(|program| !program.is_empty())),
            "canonical",
            "no program",
            "a program and its arguments, such as [python3, \"{script}\", --canonical], or no such key",
        );
        let mut words = self.command.iter().chain(canonical.unwrap_or_default());
        let named = words.any(|word| word.contains(SCRIPT));
        problems.require(
            named == self.script.is_some(),
            "script",
            match named {
                true => "none, and `{script}` in the command",
                false if self.script.is_some() => "one, and no `{script}` in the command",
                false => "none",
            },
            "both or neither",
        );
        problems.within("batch", self.batch, 1..=1_000_000);
        problems.require(
            (0.01..=1e7).contains(&self.time_limit),
            "time_limit",
            self.time_limit,
            "0.01 to 1e7 seconds, such as 600",
        );
        problems.within("retries", self.retries, 0..=1000);
        for (name, value) in &self.environment {
            problems.require(
                !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0'),
                "environment",
                format!("{name:?}"),
                "names without `=`, and text without NUL",
            );
        }
    }

    /// The program as a scorer.
    ///
    /// # Errors
    /// An input error if there is no such program.
    pub(super) fn open(&self) -> Result<Program> {
        self.program(&self.command, "command", "scores")
    }

    /// The program for canonical forms, if configured.
    ///
    /// # Errors
    /// An input error if there is no such program.
    pub(super) fn open_canonical(&self) -> Result<Option<Program>> {
        let words = self.canonical.as_ref();
        words
            .map(|words| self.program(words, "canonical", "sequences"))
            .transpose()
    }

    /// The program `words` of the key `key`, which writes `says`.
    fn program(&self, words: &[String], key: &'static str, says: &'static str) -> Result<Program> {
        let script = self
            .script
            .as_deref()
            .map_or(String::new(), |path| path.to_string_lossy().into_owned());
        let words = words.iter().map(|word| word.replace(SCRIPT, &script));
        let words: Vec<String> = words.collect();
        let program = words.first().map_or("", String::as_str);
        if !is_there(program) {
            return Err(Error::input(format!(
                "objective.{key}: found no program `{program}` that may be run, expected one in a folder of PATH, or the \
                 path of one"
            )));
        }
        Ok(Program {
            config: self.clone(),
            words,
            key,
            says,
            running: None,
        })
    }
}

/// Whether `program`, a path or a name in PATH, is executable.
fn is_there(program: &str) -> bool {
    let may_be_run = |path: &Path| {
        let meta = path.metadata();
        meta.is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return may_be_run(Path::new(program));
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| may_be_run(&folder.join(program)))
}

/// The program.
pub(super) struct Program {
    config: CommandConfig,
    /// The command with its script.
    words: Vec<String>,
    /// Its key in the configuration.
    key: &'static str,
    /// What it writes.
    says: &'static str,
    /// The process waiting for a batch, if any.
    running: Option<Process>,
}

/// Why a batch was not completed.
enum Failure {
    /// A retry may succeed: what happened, and the program's error output.
    Again(String, String),
    /// A retry would fail too.
    For(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::For(error)
    }
}

impl Objective for Program {
    fn direction(&self) -> Direction {
        self.config.direction
    }

    fn score(
        &mut self,
        texts: &[&str],
        cancelled: &dyn Fn() -> bool,
        sink: &mut dyn FnMut(&[Score]) -> Result<()>,
    ) -> Result<()> {
        self.ask(texts, &SCORES, cancelled, sink)
    }
}

/// How to read lines.
struct Reading<T> {
    /// Parses a line; none if it is invalid.
    parse: fn(&str) -> Option<T>,
    /// The expected contents of a line.
    expected: &'static str,
}

/// Lines of scores.
const SCORES: Reading<Score> = Reading {
    parse,
    expected: "a number, or `infeasible`, for each sequence",
};

/// Lines of sequences.
const SEQUENCES: Reading<Option<String>> = Reading {
    parse: |line| Some(Some(line.trim_end().to_owned()).filter(|text| !text.is_empty())),
    expected: "a sequence for each",
};

impl Program {
    /// `texts` in canonical form; none for invalid ones.
    ///
    /// # Errors
    /// As those of [`Objective::score`].
    pub(super) fn rewrite(
        &mut self,
        texts: &[&str],
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<Option<String>>> {
        let mut all = Vec::with_capacity(texts.len());
        self.ask(texts, &SEQUENCES, cancelled, &mut |some| {
            all.extend_from_slice(some);
            Ok(())
        })?;
        Ok(all)
    }

    /// Processes all of `texts`, a batch at a time.
    fn ask<T>(
        &mut self,
        texts: &[&str],
        reading: &Reading<T>,
        cancelled: &dyn Fn() -> bool,
        sink: &mut dyn FnMut(&[T]) -> Result<()>,
    ) -> Result<()> {
        for batch in texts.chunks(self.config.batch) {
            self.ask_batch(batch, reading, cancelled, sink)?;
        }
        Ok(())
    }

    /// Processes a batch, with new processes after failures.
    fn ask_batch<T>(
        &mut self,
        batch: &[&str],
        reading: &Reading<T>,
        cancelled: &dyn Fn() -> bool,
        sink: &mut dyn FnMut(&[T]) -> Result<()>,
    ) -> Result<()> {
        let (mut done, mut failures) = (0, 0);
        while done < batch.len() {
            let before = done;
            let attempt = self.attempt(&batch[before..], reading, &mut done, cancelled, sink);
            let (why, said) = match attempt {
                Ok(()) => continue,
                Err(Failure::For(error)) => return Err(error),
                Err(Failure::Again(why, said)) => (why, said),
            };
            failures = if done > before { 1 } else { failures + 1 };
            if failures > self.config.retries {
                return Err(Error::input(format!(
                    "objective.{}: `{}` {why}; it was started {failures} times for that sequence. Scores so far are \
                     kept: repair it, and run again{said}",
                    self.key,
                    self.words.join(" ")
                )));
            }
            tracing::warn!("`{}` {why}; it is started again", self.words.join(" "));
        }
        Ok(())
    }

    /// Processes `texts` with a new or a waiting process; `done` counts the answers. The process has ended
    /// afterwards unless it answered all and is to be kept.
    fn attempt<T>(
        &mut self,
        texts: &[&str],
        reading: &Reading<T>,
        done: &mut usize,
        cancelled: &dyn Fn() -> bool,
        sink: &mut dyn FnMut(&[T]) -> Result<()>,
    ) -> Result<(), Failure> {
        let says = self.says;
        let started = Instant::now();
        let limit = Duration::from_secs_f64(self.config.time_limit);
        let left = || limit.saturating_sub(started.elapsed());
        let mut process = match self.waiting()? {
            Some(process) => process,
            None => Process::start(&self.words, &self.config.environment).map_err(|why| {
                Failure::Again(format!("cannot be started: {why}"), String::new())
            })?,
        };
        let input: String = texts.iter().map(|text| format!("{text}\n")).collect();
        process.write(input, self.config.keep_running);
        let (mut scored, last) = (0, !self.config.keep_running);
        loop {
            if cancelled() {
                return Err(Error::Cancelled.into());
            }
            let is_done = scored == texts.len();
            if is_done && !last {
                self.running = Some(process);
                return Ok(());
            }
            let said = process.said(PATIENCE.min(left()), texts.len() - scored);
            match said {
                Said::Lines(lines) if is_done => {
                    let expected = format!("{scored} {says} and no more");
                    return Err(self.odd(&lines[0], scored + 1, &expected));
                }
                Said::Lines(lines) => {
                    let answers: Vec<T> = lines.iter().map_while(|l| (reading.parse)(l)).collect();
                    sink(&answers)?;
                    scored += answers.len();
                    if let Some(line) = lines.get(answers.len()) {
                        return Err(self.odd(line, scored + 1, reading.expected));
                    }
                    *done += answers.len();
                }
                Said::End(_) if is_done => return Ok(()),
                Said::End(how) => {
                    let why = format!("{how} after {scored} of {} {says}", texts.len());
                    return Err(Failure::Again(why, process.last_words()));
                }
                Said::Nothing if left().is_zero() && is_done => return Ok(()),
                Said::Nothing if left().is_zero() => {
                    let said = format!("had written {scored} of {} {says}", texts.len());
                    let why = format!("{said} after {} s, its time_limit", self.config.time_limit);
                    return Err(Failure::Again(why, process.last_words()));
                }
                Said::Nothing => {}
            }
        }
    }

    /// The process waiting for a batch, if there is one without unread output.
    fn waiting(&mut self) -> Result<Option<Process>, Failure> {
        let Some(mut process) = self.running.take() else {
            return Ok(None);
        };
        match process.said(Duration::ZERO, 1) {
            Said::Nothing => Ok(Some(process)),
            Said::End(_) => Ok(None),
            Said::Lines(lines) => Err(self.odd(&lines[0], 1, "nothing before the batch came")),
        }
    }

    /// The failure for unexpected output.
    fn odd(&self, line: &str, number: usize, expected: &str) -> Failure {
        let short: String = line.chars().take(80).collect();
        Failure::For(Error::input(format!(
            "objective.{}: `{}` wrote {short:?} to its standard output as line {number} of a batch, expected {expected}. \
             Have it write everything else to its standard error; scores so far are kept",
            self.key,
            self.words.join(" ")
        )))
    }
}

/// Parses the score in a line; none if it is invalid.
fn parse(line: &str) -> Option<Score> {
    let line = line.trim();
    if line.eq_ignore_ascii_case(INFEASIBLE) {
        return Some(None);
    }
    let number: f64 = line.parse().ok()?;
    Some(number.is_finite().then_some(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_a_number_or_infeasible() {
        for (line, expected) in [
            ("1.5", Some(Some(1.5))),
            ("  -2e-3\r", Some(Some(-0.002))),
            ("infeasible", Some(None)),
            ("Infeasible ", Some(None)),
            ("nan", Some(None)),
            ("-inf", Some(None)),
            ("1e999", Some(None)),
            ("", None),
            ("score: 1", None),
            ("1 2", None),
            ("None", None),
        ] {
            assert_eq!(parse(line), expected, "{line:?}");
        }
    }

    #[test]
    fn a_program_is_looked_for_before_it_is_asked() {
        assert!(is_there("sh") && is_there("/bin/sh"));
        assert!(!is_there("no-such-program-here") && !is_there("/bin") && !is_there("/etc/passwd"));
    }
}
