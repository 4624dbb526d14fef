//! A worker from the driver's side: a process that answers one request at a time.

use super::machine::Usage;
use super::protocol::{Reply, Request, Task};
use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// How a job is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    Ours,
    /// Direct PyTorch: a time for each point, rows of a file one by one.
    NaiveEager,
    NaiveCompiled,
    /// PyTorch with no more arithmetic than this program: times shared by groups of points, modulations of
    /// a frozen flow from a table, windows of a file.
    CarefulEager,
    CarefulCompiled,
}

impl Way {
    pub const ALL: [Self; 5] = [
        Self::Ours,
        Self::NaiveEager,
        Self::NaiveCompiled,
        Self::CarefulEager,
        Self::CarefulCompiled,
    ];

    /// As an argument of `worker.py`: `careful compiled`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::NaiveEager => "naive eager",
            Self::NaiveCompiled => "naive compiled",
            Self::CarefulEager => "careful eager",
            Self::CarefulCompiled => "careful compiled",
        }
    }

    pub fn is_careful(self) -> bool {
        matches!(self, Self::CarefulEager | Self::CarefulCompiled)
    }

    pub fn is_naive(self) -> bool {
        matches!(self, Self::NaiveEager | Self::NaiveCompiled)
    }
}

/// Settings of both comparisons.
#[derive(clap::Args)]
pub struct Common {
    /// A Python with torch, numpy, h5py and torchdiffeq; without it this program runs alone
    #[arg(long)]
    pub python: Option<PathBuf>,
    /// The folder of `worker.py`, if this program does not run on the machine that built it
    #[arg(long, default_value = SCRIPTS)]
    pub scripts: PathBuf,
    /// Threads of each side
    #[arg(long, default_value_t = 2)]
    pub threads: usize,
    /// Also write the table to this file, as Markdown
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// Where this file is.
pub const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peer");

/// One side of the comparison.
pub struct Side {
    pub way: Way,
    /// The share of the machine that other processes used during the last request.
    pub others: f64,
    child: Child,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
}

/// Wait before a side starts, so that the threads of the previous one have gone to sleep.
const PAUSE: Duration = Duration::from_millis(100);

impl Side {
    /// A process that runs jobs in that way.
    pub fn start(way: Way, common: &Common) -> Result<Self> {
        if way == Way::Ours {
            let mut ours = Command::new(std::env::current_exe()?);
            ours.arg("worker");
            return Self::begin(way, ours, common.threads);
        }
        let python = common.python.as_deref();
        let python = python.context("PyTorch is asked for; `--python` names a Python with it")?;
        Self::pytorch(way, python, &common.scripts, common.threads)
    }

    /// PyTorch's side.
    pub fn pytorch(way: Way, python: &Path, scripts: &Path, threads: usize) -> Result<Self> {
        let mut command = Command::new(python);
        command
            .arg(scripts.join("worker.py"))
            .args(way.name().split(' '));
        command.arg(threads.to_string());
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        Self::begin(way, command, threads)
    }

    fn begin(way: Way, mut command: Command, threads: usize) -> Result<Self> {
        for variable in ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(variable, threads.to_string());
        }
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| {
            let (name, program) = (way.name(), command.get_program().display());
            format!("{name}: `{program}` cannot be started; `--python` names a Python with torch")
        })?;
        Ok(Self {
            way,
            others: 0.0,
            requests: child.stdin.take().expect("piped"),
            replies: BufReader::new(child.stdout.take().expect("piped")),
            child,
        })
    }

    fn ask(&mut self, request: &Request) -> Result<Reply> {
        std::thread::sleep(PAUSE);
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        let before = Usage::of(self.child.id());
        let sent = self.requests.write_all(line.as_bytes());
        line.clear();
        if sent.is_err() || self.replies.read_line(&mut line)? == 0 {
            bail!("{}: it ended ({})", self.way.name(), self.child.wait()?);
        }
        let after = Usage::of(self.child.id());
        self.others = (before.zip(after)).map_or(0.0, |(b, a)| a.others_since(&b));
        let reply = serde_json::from_str(&line)
            .with_context(|| format!("{}: its answer `{}`", self.way.name(), line.trim()))?;
        match reply {
            Reply::Failed(why) => bail!("{}: {why}", self.way.name()),
            reply => Ok(reply),
        }
    }

    /// The worker's description of itself.
    pub fn about(&mut self) -> Result<String> {
        self.words(&Request::About(()))
    }

    /// Sets up a task, and returns how it will be run.
    pub fn prepare(&mut self, task: Task) -> Result<String> {
        self.words(&Request::Prepare(task))
    }

    fn words(&mut self, request: &Request) -> Result<String> {
        match self.ask(request)? {
            Reply::Ready(words) => Ok(words),
            reply => bail!("{}: {reply:?} in answer to {request:?}", self.way.name()),
        }
    }

    /// Writes the results of the task into `folder`.
    pub fn show(&mut self, folder: &Path) -> Result<()> {
        let folder = folder.to_owned();
        match self.ask(&Request::Show { folder })? {
            Reply::Written(()) => Ok(()),
            reply => bail!("{}: {reply:?} in answer to a folder", self.way.name()),
        }
    }

    /// Runs `steps` steps; returns the mean seconds per step.
    pub fn run(&mut self, steps: u64) -> Result<f64> {
        match self.ask(&Request::Steps(steps))? {
            Reply::Seconds(seconds) => Ok(seconds),
            reply => bail!("{}: {reply:?} in answer to {steps} steps", self.way.name()),
        }
    }

    /// The values requested by `request`.
    pub fn values(&mut self, request: &Request) -> Result<Vec<f64>> {
        match self.ask(request)? {
            Reply::Values(values) => Ok(values),
            reply => bail!("{}: {reply:?} in answer to {request:?}", self.way.name()),
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
