//! A worker as the driver sees it: a process that answers one request at a time.

use super::machine::Usage;
use super::protocol::{Reply, Request, Task};
use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// What both comparisons need to know.
#[derive(clap::Args)]
pub struct Common {
    /// A Python with torch, numpy, h5py and torchdiffeq
    #[arg(long)]
    pub python: PathBuf,
    /// Threads of each side
    #[arg(long, default_value_t = 2)]
    pub threads: usize,
    /// Write the table there as well, as markdown
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// One side of the comparison.
pub struct Side {
    /// Such as `compiled`.
    pub name: &'static str,
    /// The share of the machine that others used during the last request.
    pub others: f64,
    child: Child,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
}

/// Before a side starts, so that the threads of the one before it have gone to sleep.
const PAUSE: Duration = Duration::from_millis(100);

impl Side {
    /// Ours, PyTorch eager and PyTorch compiled.
    pub fn all(common: &Common) -> Result<[Self; 3]> {
        let Common {
            python, threads, ..
        } = common;
        let mut ours = Command::new(std::env::current_exe()?);
        ours.arg("worker");
        Ok([
            Self::start("ours", ours, *threads)?,
            Self::pytorch(python, "eager", *threads)?,
            Self::pytorch(python, "compiled", *threads)?,
        ])
    }

    /// PyTorch, `eager` or `compiled`.
    pub fn pytorch(python: &Path, mode: &'static str, threads: usize) -> Result<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peer/worker.py");
        let mut command = Command::new(python);
        command.args([script, mode, &threads.to_string()]);
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        Self::start(mode, command, threads)
    }

    fn start(name: &'static str, mut command: Command, threads: usize) -> Result<Self> {
        for variable in ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(variable, threads.to_string());
        }
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| {
            let program = command.get_program().display();
            format!("{name}: `{program}` cannot be started; `--python` names a Python with torch")
        })?;
        Ok(Self {
            name,
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
            bail!("{}: it ended ({})", self.name, self.child.wait()?);
        }
        let after = Usage::of(self.child.id());
        self.others = (before.zip(after)).map_or(0.0, |(b, a)| a.others_since(&b));
        let reply = serde_json::from_str(&line)
            .with_context(|| format!("{}: its answer `{}`", self.name, line.trim()))?;
        match reply {
            Reply::Failed(why) => bail!("{}: {why}", self.name),
            reply => Ok(reply),
        }
    }

    /// What runs there, in words.
    pub fn about(&mut self) -> Result<String> {
        self.words(&Request::About(()))
    }

    /// Sets a task up, and says how it will be done.
    pub fn prepare(&mut self, task: Task) -> Result<String> {
        self.words(&Request::Prepare(task))
    }

    fn words(&mut self, request: &Request) -> Result<String> {
        match self.ask(request)? {
            Reply::Ready(words) => Ok(words),
            reply => bail!("{}: {reply:?} in answer to {request:?}", self.name),
        }
    }

    /// Runs `steps` steps: seconds of each, in the mean.
    pub fn run(&mut self, steps: u64) -> Result<f64> {
        match self.ask(&Request::Steps(steps))? {
            Reply::Seconds(seconds) => Ok(seconds),
            reply => bail!("{}: {reply:?} in answer to {steps} steps", self.name),
        }
    }

    /// The numbers that `request` asks for.
    pub fn values(&mut self, request: &Request) -> Result<Vec<f64>> {
        match self.ask(request)? {
            Reply::Values(values) => Ok(values),
            reply => bail!("{}: {reply:?} in answer to {request:?}", self.name),
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
