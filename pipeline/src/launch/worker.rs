//! The process that runs a trial.

use crate::process::PARENT;
use crate::sweep::SweepFolder;
use latent_align_stages::{Error, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Lines of a log quoted in an error.
const TOLD: usize = 5;

/// A process that runs a trial, or a part of it.
pub struct Worker {
    /// The name of the run.
    pub run: String,
    /// The devices that it computes on.
    pub devices: Vec<String>,
    child: Child,
    started: Instant,
}

impl Worker {
    /// Starts `latent-align run` on the configuration of the trial `run` on `devices` with this number of threads.
    pub fn start(
        run: &str,
        until: Option<&str>,
        devices: &[String],
        threads: usize,
        folder: &SweepFolder,
    ) -> Result<Self> {
        let log = folder.log(run);
        let failed = |e| Error::file(&log, e);
        // append to earlier output, such as that of shared stages
        let out = File::options().append(true).create(true).open(&log);
        let out = out.map_err(failed)?;
        let child = command(run, until, devices, threads, folder)?
            .stdin(Stdio::null())
            .stdout(out.try_clone().map_err(failed)?)
            .stderr(out)
            // Ctrl-C reaches only the sweep, which forwards it once
            .process_group(0)
            .spawn()
            .map_err(|e| Error::file(run, format!("its process cannot be started: {e}")))?;
        Ok(Self {
            run: run.to_owned(),
            devices: devices.to_vec(),
            child,
            started: Instant::now(),
        })
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.child.try_wait();
        status.map_err(|e| Error::file(&self.run, format!("its process is lost: {e}")))
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Forwards the user's request to stop; false if the process is gone. Once a process has been waited
    /// for, its number may be reused.
    pub fn ask_to_stop(&mut self) -> bool {
        let is_running = matches!(self.child.try_wait(), Ok(None));
        // only this struct waits for the child, and it has not done so yet: the number is still the child's
        is_running && kill_process(Pid::from_child(&self.child), Signal::TERM).is_ok()
    }
}

/// `latent-align run` of the trial `run`, with its environment.
fn command(
    run: &str,
    until: Option<&str>,
    devices: &[String],
    threads: usize,
    folder: &SweepFolder,
) -> Result<Command> {
    let root = folder.store().root();
    // this same executable, even if its file was replaced
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(std::env::args_os().next().unwrap_or_default())
        .arg("--artifacts")
        .arg(std::path::absolute(root).map_err(|e| Error::file(root, e))?)
        .arg("run")
        .arg(folder.trial_file(run));
    // several are those of the file, which the option would replace
    if let [device] = devices {
        command.args(["--device", device]);
    }
    if let Some(last) = until {
        command.args(["--until", last]);
    }
    command
        .env("RAYON_NUM_THREADS", threads.to_string())
        .env("POLARS_MAX_THREADS", threads.to_string())
        .env(PARENT, std::process::id().to_string());
    Ok(command)
}

/// Why a process failed without recording it: its exit status, and its last output.
pub fn why(status: ExitStatus, run: &str, folder: &SweepFolder) -> String {
    let log = folder.log(run);
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let told = lines[lines.len().saturating_sub(TOLD)..].join("\n  ");
    let ended = match (status.code(), status.signal()) {
        (Some(2), _) => return told.trim_start_matches("error: ").to_owned(),
        (Some(code), _) => format!("its process exited with {code}"),
        (None, Some(9)) => "its process was killed (signal 9); out of memory?".into(),
        (None, Some(signal)) => format!("its process was ended by signal {signal}"),
        (None, None) => "its process ended".into(),
    };
    format!("{ended}; the end of {}:\n  {told}", log.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use std::ffi::OsStr;

    /// Fails if every trial runs on the device of its file, sees other devices than the sweep, or loses its `devices`.
    #[test]
    fn a_trial_runs_on_the_device_that_it_was_placed_on() {
        let dir = tempfile::tempdir().unwrap();
        let folder = SweepFolder::of(&Store::at(dir.path()), "s");
        let names = ["cuda:1".to_owned(), "cuda:2".to_owned()];
        let command = |devices| command("s.a.seed0", Some("flow"), devices, 3, &folder).unwrap();
        let shared = command(&names);
        assert!(!shared.get_args().any(|word| word == "--device"));
        let command = command(&names[..1]);
        let words: Vec<&OsStr> = command.get_args().collect();
        for pair in [["--device", "cuda:1"], ["--until", "flow"]] {
            let is_pair = |found: &[&OsStr]| found == pair.map(OsStr::new);
            assert!(words.windows(2).any(is_pair), "{words:?}");
        }
        let mut set = command.get_envs().map(|(name, _)| name);
        assert!(!set.any(|name| name == "CUDA_VISIBLE_DEVICES"));
    }

    #[test]
    fn a_process_that_was_waited_for_is_not_asked_to_stop() {
        let worker = |program: &str| Worker {
            run: program.to_owned(),
            devices: vec!["cpu".to_owned()],
            child: Command::new(program).stdin(Stdio::piped()).spawn().unwrap(),
            started: Instant::now(),
        };
        let mut ended = worker("true");
        while ended.ended().unwrap().is_none() {
            std::thread::yield_now();
        }
        assert!(!ended.ask_to_stop());

        let mut waiting = worker("cat");
        assert!(waiting.ask_to_stop());
        let status = waiting.child.wait().unwrap();
        assert_eq!(status.signal(), Some(Signal::TERM.as_raw()));
        assert!(!waiting.ask_to_stop());
    }
}
