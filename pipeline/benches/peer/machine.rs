//! The machine, and whether other processes used it during timing.

use std::collections::HashMap;
use std::fs::{read_dir, read_to_string};

/// Processor time since the machine started, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Of all cores, idle or not.
    total: u64,
    busy: u64,
    /// Of one process and its descendants.
    own: u64,
}

struct Process {
    id: u32,
    parent: u32,
    /// In user and system.
    ticks: u64,
}

impl Process {
    fn parse(line: &str) -> Option<Self> {
        let (before, after) = line.rsplit_once(')')?; // the name may hold spaces
        let after: Vec<&str> = after.split_whitespace().collect();
        let ticks = |at: usize| after.get(at)?.parse::<u64>().ok();
        Some(Self {
            id: before.split_whitespace().next()?.parse().ok()?,
            parent: after.get(1)?.parse().ok()?,
            ticks: ticks(11)? + ticks(12)?,
        })
    }
}

impl Usage {
    /// The usage of the process `id` and its descendants; none if the system does not report it.
    pub fn of(id: u32) -> Option<Self> {
        let system = read_to_string("/proc/stat").ok()?;
        let processes = read_dir("/proc").ok()?.flatten();
        let processes = processes.filter_map(|p| read_to_string(p.path().join("stat")).ok());
        let processes: Vec<String> = processes.collect();
        Self::parse(&system, &processes, id)
    }

    /// Parses the system's and the processes' statistics.
    pub fn parse(system: &str, processes: &[String], id: u32) -> Option<Self> {
        // cpu user nice system idle iowait irq softirq steal
        let cores = system.lines().next()?.split_whitespace().skip(1).take(8);
        let cores: Vec<u64> = cores.map(str::parse).collect::<Result<_, _>>().ok()?;
        let total = cores.iter().sum();
        let processes = processes.iter().filter_map(|line| Process::parse(line));
        let processes: HashMap<u32, Process> = processes.map(|p| (p.id, p)).collect();
        let descends = |process: &Process| {
            let mut at = process.id;
            while at != id {
                match processes.get(&at) {
                    Some(process) => at = process.parent,
                    None => return false,
                }
            }
            true
        };
        let own = processes.values().filter(|p| descends(p));
        Some(Self {
            total,
            busy: total - cores.get(3)? - cores.get(4)?,
            own: own.map(|p| p.ticks).sum(),
        })
    }

    /// The share of all cores' time that other processes used since `before`.
    pub fn others_since(&self, before: &Self) -> f64 {
        let total = (self.total - before.total).max(1) as f64;
        let busy = (self.busy - before.busy) as f64;
        let own = self.own.saturating_sub(before.own) as f64;
        ((busy - own) / total).max(0.0)
    }
}

/// Starts this many threads that compute for the lifetime of the process.
pub fn keep_busy(threads: usize) {
    for _ in 0..threads {
        std::thread::spawn(|| {
            let mut number = 1.0f64;
            loop {
                number = std::hint::black_box(number * 1.000_000_1).min(1e9);
            }
        });
    }
}

/// The share of the machine that other processes may use in an undisturbed turn.
pub const QUIET: f64 = 0.05;

/// A line on the largest share of the machine that other processes used in a counted turn.
pub fn disturbance(share: f64) -> String {
    let percent = 100.0 * share;
    let line = format!("In a turn that counts, others used at most {percent:.0} % of the machine");
    if share < QUIET {
        line + ".\n"
    } else {
        // waiting threads of OpenMP spin
        line + ": too much for these ratios to mean anything, since PyTorch suffers more from it than ours.\n"
    }
}

/// The name of the processor.
pub fn processor() -> String {
    let about = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = |line: &str| {
        Some(
            line.strip_prefix("model name")?
                .split_once(": ")?
                .1
                .to_owned(),
        )
    };
    let model = about.lines().find_map(model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = model.unwrap_or_else(|| "an unknown processor".to_owned());
    format!("{model}, {cores} cores")
}
