//! Decides which process to start next, and with how many threads.
//!
//! Stages needed by several trials are computed first, by a process of their own, so that no two
//! processes wait for each other and no process has more threads than there are free cores.

use std::collections::{BTreeMap, BTreeSet};

/// The stages a trial must compute, by fingerprint, each with the artifacts it reads among them.
pub type Needs = Vec<(String, Vec<String>)>;

/// A process to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Index of its trial.
    pub trial: usize,
    /// The artifact it ends with, unless it computes everything the trial needs.
    pub until: Option<String>,
    /// The artifacts that must exist before.
    after: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Running { threads: usize },
    Done,
}

/// The processes of a set of trials.
#[derive(Debug)]
pub struct Schedule {
    tasks: Vec<(Task, State)>,
    /// Maximum number of concurrent processes.
    jobs: usize,
    /// Maximum number of threads.
    cores: usize,
}

impl Schedule {
    /// The processes for trials with `needs`, at most `jobs` at a time on `cores` cores.
    pub fn new(needs: &[Needs], jobs: usize, cores: usize) -> Self {
        let mut users: BTreeMap<&str, usize> = BTreeMap::new();
        for (fingerprint, _) in needs.iter().flatten() {
            *users.entry(fingerprint).or_default() += 1;
        }
        let is_shared = |fingerprint: &str| users[fingerprint] > 1;
        let mut tasks = Vec::new();
        let mut made = BTreeSet::new();
        for (trial, stages) in needs.iter().enumerate() {
            for (fingerprint, _) in stages {
                if is_shared(fingerprint) && made.insert(fingerprint) {
                    let mut after = read_by(fingerprint, stages);
                    after.retain(|f| is_shared(f));
                    let until = Some(fingerprint.clone());
                    tasks.push(Task {
                        trial,
                        until,
                        after,
                    });
                }
            }
        }
        for (trial, stages) in needs.iter().enumerate() {
            let after = stages.iter().map(|s| s.0.clone());
            tasks.push(Task {
                trial,
                until: None,
                after: after.filter(|f| is_shared(f)).collect(),
            });
        }
        Self {
            tasks: tasks.into_iter().map(|t| (t, State::Waiting)).collect(),
            jobs,
            cores,
        }
    }

    /// The next process to start, by number, and its threads; None if another must end first, or all
    /// are started.
    pub fn next(&mut self) -> Option<(usize, usize)> {
        let threads = self.tasks.iter().map(|(_, state)| match state {
            State::Running { threads } => *threads,
            _ => 0,
        });
        let running: Vec<usize> = threads.filter(|t| *t > 0).collect();
        let free = self.cores.saturating_sub(running.iter().sum());
        let slots = self.jobs.saturating_sub(running.len());
        // With more jobs than cores, each has one thread.
        if slots == 0 || (free == 0 && self.jobs <= self.cores) {
            return None;
        }
        let ready: Vec<usize> = (0..self.tasks.len())
            .filter(|i| self.is_ready(*i))
            .collect();
        let next = *ready.first()?;
        let threads = (free / slots.min(ready.len())).max(1);
        self.tasks[next].1 = State::Running { threads };
        Some((next, threads))
    }

    fn is_ready(&self, task: usize) -> bool {
        let (task, state) = &self.tasks[task];
        let pending = self.tasks.iter().filter(|(_, state)| *state != State::Done);
        let pending: BTreeSet<&String> = pending.filter_map(|(t, _)| t.until.as_ref()).collect();
        *state == State::Waiting && task.after.iter().all(|f| !pending.contains(f))
    }

    /// The process `task`.
    pub fn task(&self, task: usize) -> &Task {
        &self.tasks[task].0
    }

    /// Records the success of a process.
    pub fn done(&mut self, task: usize) {
        self.tasks[task].1 = State::Done;
    }

    /// Records a failed process. Returns the other trials that cannot run because of it.
    pub fn failed(&mut self, task: usize) -> Vec<usize> {
        let own = self.tasks[task].0.trial;
        let mut lost = BTreeSet::from([own]);
        let mut missing: BTreeSet<String> = self.tasks[task].0.until.iter().cloned().collect();
        self.tasks[task].1 = State::Done;
        for (task, state) in &mut self.tasks {
            let hit = !task.after.is_disjoint(&missing);
            if *state == State::Waiting && (hit || (task.trial == own && task.until.is_none())) {
                *state = State::Done;
                missing.extend(task.until.clone());
                if task.until.is_none() {
                    lost.insert(task.trial);
                }
            }
        }
        lost.remove(&own);
        lost.into_iter().collect()
    }
}

/// All artifacts among `stages` that `fingerprint` reads, directly or indirectly.
fn read_by(fingerprint: &str, stages: &Needs) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![fingerprint];
    while let Some(next) = open.pop() {
        let reads = stages.iter().filter(|s| s.0 == next).flat_map(|s| &s.1);
        for read in reads.filter(|r| stages.iter().any(|s| s.0 == **r)) {
            if found.insert(read.clone()) {
                open.push(read);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(stages: &[(&str, &[&str])]) -> Needs {
        let own = |reads: &[&str]| reads.iter().map(|r| (*r).to_owned()).collect();
        let stages = stages.iter();
        stages
            .map(|(f, reads)| ((*f).to_owned(), own(reads)))
            .collect()
    }

    /// Three trials with the same flow, the last with an autoencoder based on it.
    fn three(jobs: usize, cores: usize) -> Schedule {
        let trial = |autoencoder: &str, nll: &str| {
            needs(&[
                ("flow", &[]),
                (autoencoder, &["flow"]),
                (nll, &["flow", autoencoder]),
            ])
        };
        let needs = [trial("a", "x"), trial("b", "y"), trial("b", "z")];
        Schedule::new(&needs, jobs, cores)
    }

    fn untils(schedule: &Schedule) -> Vec<(usize, Option<&str>)> {
        let tasks = schedule.tasks.iter();
        tasks.map(|(t, _)| (t.trial, t.until.as_deref())).collect()
    }

    #[test]
    fn what_is_shared_is_computed_first_and_once() {
        let mut schedule = three(2, 8);
        assert_eq!(
            untils(&schedule),
            [
                (0, Some("flow")),
                (1, Some("b")),
                (0, None),
                (1, None),
                (2, None)
            ]
        );
        // Alone, the flow has all cores.
        assert_eq!(schedule.next(), Some((0, 8)));
        assert_eq!(schedule.next(), None);
        schedule.done(0);
        assert_eq!(schedule.next(), Some((1, 4)));
        assert_eq!(schedule.next(), Some((2, 4)));
        assert_eq!(schedule.next(), None);
        schedule.done(2);
        // Nothing else is ready before the autoencoder.
        assert_eq!(schedule.next(), None);
        schedule.done(1);
        assert_eq!(schedule.next(), Some((3, 4)));
        assert_eq!(schedule.next(), Some((4, 4)));
        schedule.done(3);
        schedule.done(4);
        assert_eq!(schedule.next(), None);
    }

    #[test]
    fn never_more_threads_than_cores() {
        for jobs in 1..6 {
            for cores in 1..9 {
                let mut schedule = three(jobs, cores);
                let mut running: Vec<(usize, usize)> = Vec::new();
                let mut ended = 0;
                while ended < 5 {
                    while let Some(started) = schedule.next() {
                        running.push(started);
                    }
                    let threads: usize = running.iter().map(|r| r.1).sum();
                    assert!(threads <= cores.max(jobs) && running.len() <= jobs);
                    let (task, _) = running.remove(0);
                    schedule.done(task);
                    ended += 1;
                }
            }
        }
    }

    #[test]
    fn what_needs_a_failed_stage_does_not_run() {
        let mut schedule = three(1, 1);
        assert_eq!(schedule.next(), Some((0, 1)));
        assert_eq!(schedule.failed(0), [1, 2]);
        assert_eq!(schedule.next(), None);
        let mut schedule = three(1, 1);
        schedule.next();
        schedule.done(0);
        assert_eq!(schedule.next(), Some((1, 1)));
        assert_eq!(schedule.failed(1), [2]);
        assert_eq!(schedule.next(), Some((2, 1)));
        assert_eq!(schedule.failed(2), Vec::<usize>::new());
        assert_eq!(schedule.next(), None);
    }
}
