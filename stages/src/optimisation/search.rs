//! The loop of a search: propose, score and store, round after round until the budget is spent.
//!
//! Every score is synced before it is used, and no text is scored twice. The proposer's state is saved after each
//! round. An interrupted search repeats the unfinished round identically, and takes existing scores from disk: its
//! trace equals that of an uninterrupted one.

use super::history::{Evaluation, History};
use super::journal::{Entry, Evaluated, Journal, Round};
use super::objective::{Objective, Score};
use super::proposer::{Proposal, Proposer};
use super::state;
use crate::context::Monitor;
use crate::error::{Error, Result};
use crate::random::Streams;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

/// The budget of a search.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Calls of the objective, not counting those for the start.
    pub calls: usize,
    /// Calls per round.
    pub per_round: usize,
}

/// A text of the start, and its score if already known.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// The text.
    pub text: String,
    /// Its score.
    pub score: Option<Score>,
}

/// The results of a search.
#[derive(Debug)]
pub struct Outcome {
    /// All evaluations, those of the start first.
    pub evaluations: Vec<Evaluated>,
    /// The same as a history for proposers.
    pub history: History,
    /// The rounds, that of the start first.
    pub rounds: Vec<Round>,
}

impl Outcome {
    /// The number of calls charged to the budget.
    pub fn calls(&self) -> usize {
        calls(&self.evaluations)
    }
}

/// The number of evaluations that are not of the start.
fn calls(evaluations: &[Evaluated]) -> usize {
    let rounds = evaluations
        .iter()
        .map(|evaluated| evaluated.evaluation.round);
    rounds.filter(|&round| round > 0).count()
}

/// The task name for [`Monitor::progress`].
const TASK: &str = "calls";

/// A search.
pub struct Search<'a> {
    /// The objective.
    pub objective: &'a mut dyn Objective,
    /// The proposer.
    pub proposer: &'a mut dyn Proposer,
    /// The budget.
    pub budget: Budget,
    /// The random streams of proposals.
    pub streams: Streams,
    /// The monitor.
    pub monitor: &'a dyn Monitor,
}

impl Search<'_> {
    /// Searches from `start`, which must be the same on resuming, and keeps its state in the folder `dir`.
    ///
    /// # Errors
    /// Those of the objective and of the proposer; [`Error::Cancelled`]; file errors.
    pub fn run(&mut self, start: &[Start], dir: &Path) -> Result<Outcome> {
        std::fs::create_dir_all(dir).map_err(|e| Error::file(dir, e))?;
        let (journal, entries) = Journal::open(dir)?;
        let done = state::restore(self.proposer, dir)?;
        let mut run = Running::new(
            journal,
            History::new(self.objective.direction()),
            self.budget.calls,
        );
        let later = run.take_up(start, entries, done);
        self.begin(start, &mut run)?;
        later.into_iter().for_each(|evaluated| run.push(evaluated));
        for round in done + 1.. {
            run.show(self.monitor);
            let calls = run.outcome.calls();
            if calls >= self.budget.calls || !self.round(round, calls, &mut run, dir)? {
                break;
            }
        }
        Ok(run.outcome)
    }

    /// Scores the texts of the start without a score.
    fn begin(&mut self, start: &[Start], run: &mut Running) -> Result<()> {
        let unknown = start.iter().filter(|start| start.score.is_none());
        let unknown: Vec<Proposal> = unknown
            .map(|start| Proposal::of(start.text.clone()))
            .collect();
        let started = Instant::now();
        self.score(0, &unknown, run)?;
        if unknown.is_empty() || run.outcome.rounds.iter().any(|round| round.round == 0) {
            return Ok(());
        }
        run.end(Round {
            round: 0,
            proposing: 0.0,
            scoring: started.elapsed().as_secs_f64(),
        })
    }

    /// One round after `calls` calls; false if nothing new was proposed.
    fn round(&mut self, round: u64, calls: usize, run: &mut Running, dir: &Path) -> Result<bool> {
        let monitor = self.monitor;
        let count = self.budget.per_round.min(self.budget.calls - calls);
        let started = Instant::now();
        let history = &run.outcome.history;
        let mut proposals = self
            .proposer
            .propose(history, count, self.streams, round, &|| monitor.cancelled())?;
        let mut seen = BTreeSet::new();
        proposals.retain(|proposal| {
            !history.knows(&proposal.text) && seen.insert(proposal.text.clone())
        });
        proposals.truncate(count);
        let proposing = started.elapsed().as_secs_f64();
        if proposals.is_empty() {
            monitor.warn(&format!(
                "the search ended after {calls} of {} calls: nothing new was proposed",
                self.budget.calls
            ));
            return Ok(false);
        }
        let started = Instant::now();
        self.score(round, &proposals, run)?;
        let scoring = started.elapsed().as_secs_f64();
        state::save(self.proposer, dir, round)?;
        run.end(Round {
            round,
            proposing,
            scoring,
        })?;
        Ok(true)
    }

    /// Scores the remaining `proposals`, and adds all to the history.
    fn score(&mut self, round: u64, proposals: &[Proposal], run: &mut Running) -> Result<()> {
        let monitor = self.monitor;
        let is_open = |proposal: &&Proposal| !run.paid.contains_key(&proposal.text);
        let open: Vec<&Proposal> = proposals.iter().filter(is_open).collect();
        let texts: Vec<&str> = open.iter().map(|proposal| proposal.text.as_str()).collect();
        let mut open = open.iter();
        let mut keep = |scores: &[Score]| {
            let scored = scores.iter().zip(open.by_ref());
            let scored: Vec<Evaluated> = scored
                .map(|(score, proposal)| evaluated(proposal, *score, round))
                .collect();
            run.keep(scored)?;
            run.show(monitor);
            Ok(())
        };
        if !texts.is_empty() {
            (self.objective).score(&texts, &|| monitor.cancelled(), &mut keep)?;
        }
        for proposal in proposals {
            match run.paid.remove(&proposal.text) {
                Some(evaluated) => run.push(evaluated),
                None => {
                    return Err(Error::input(format!(
                        "no score came for {:?}",
                        proposal.text
                    )));
                }
            }
        }
        // scores from proposals of another version in this round are kept
        let of_round = |_: &String, evaluated: &mut Evaluated| evaluated.evaluation.round == round;
        for evaluated in run
            .paid
            .extract_if(.., of_round)
            .map(|(_, evaluated)| evaluated)
            .collect::<Vec<_>>()
        {
            run.push(evaluated);
        }
        Ok(())
    }
}

fn evaluated(proposal: &Proposal, score: Score, round: u64) -> Evaluated {
    let finite = |number: Option<f64>| number.filter(|number| number.is_finite());
    Evaluated {
        evaluation: Evaluation {
            text: proposal.text.clone(),
            score: finite(score),
            round,
        },
        region: proposal.region,
        predicted: finite(proposal.predicted),
        uncertainty: finite(proposal.uncertainty),
        moved: finite(proposal.moved),
        discrepancy: finite(proposal.discrepancy),
    }
}

/// A running search.
struct Running {
    journal: Journal,
    outcome: Outcome,
    /// Scores of the unfinished round, by text.
    paid: BTreeMap<String, Evaluated>,
    budget: usize,
}

impl Running {
    fn new(journal: Journal, history: History, budget: usize) -> Self {
        Self {
            journal,
            outcome: Outcome {
                evaluations: Vec::new(),
                history,
                rounds: Vec::new(),
            },
            paid: BTreeMap::new(),
            budget,
        }
    }

    /// Takes the known scores of the start, and existing ones from the journal. Returns the evaluations of the
    /// rounds up to `done`, after those of the start.
    fn take_up(&mut self, start: &[Start], entries: Vec<Entry>, done: u64) -> Vec<Evaluated> {
        let known = start.iter().filter_map(|start| Some((start, start.score?)));
        for (start, score) in known {
            self.push(evaluated(&Proposal::of(start.text.clone()), score, 0));
        }
        let mut later = Vec::new();
        for entry in entries {
            match entry {
                Entry::Round(round) => self.outcome.rounds.push(round),
                Entry::Evaluated(evaluated) => match evaluated.evaluation.round {
                    round if (1..=done).contains(&round) => later.push(evaluated),
                    _ => {
                        let text = evaluated.evaluation.text.clone();
                        self.paid.insert(text, evaluated);
                    }
                },
            }
        }
        later
    }

    /// Stores scores of the current round.
    fn keep(&mut self, scored: Vec<Evaluated>) -> Result<()> {
        let entries: Vec<Entry> = scored.iter().cloned().map(Entry::Evaluated).collect();
        self.journal.append(&entries)?;
        let by_text = |evaluated: Evaluated| (evaluated.evaluation.text.clone(), evaluated);
        self.paid.extend(scored.into_iter().map(by_text));
        Ok(())
    }

    fn push(&mut self, evaluated: Evaluated) {
        self.outcome.history.push(evaluated.evaluation.clone());
        self.outcome.evaluations.push(evaluated);
    }

    fn end(&mut self, round: Round) -> Result<()> {
        self.journal.append(&[Entry::Round(round)])?;
        self.outcome.rounds.push(round);
        Ok(())
    }

    /// Reports progress within a round.
    fn show(&self, monitor: &dyn Monitor) {
        let open = self
            .paid
            .values()
            .filter(|evaluated| evaluated.evaluation.round > 0);
        let done = self.outcome.calls() + open.count();
        let best = self.outcome.history.best().and_then(|best| best.score);
        let note = best.map_or("no feasible one yet".to_owned(), |best| {
            format!("best {best:.6}")
        });
        monitor.progress(TASK, done as u64, self.budget as u64, &note);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Silent;
    use crate::optimisation::Direction;
    use std::cell::RefCell;
    use std::rc::Rc;

    /// Scores a number by its distance to 700, one in four as infeasible, and fails after `left` texts with part of
    /// a batch stored. Counts how often each text was scored.
    struct Distance {
        left: usize,
        asked: Rc<RefCell<BTreeMap<String, usize>>>,
    }

    impl Objective for Distance {
        fn direction(&self) -> Direction {
            Direction::Minimise
        }

        fn score(
            &mut self,
            texts: &[&str],
            _: &dyn Fn() -> bool,
            sink: &mut dyn FnMut(&[Score]) -> Result<()>,
        ) -> Result<()> {
            for batch in texts.chunks(2) {
                if self.left < batch.len() {
                    return Err(Error::Cancelled);
                }
                self.left -= batch.len();
                let mut asked = self.asked.borrow_mut();
                let scores: Vec<Score> = (batch.iter())
                    .map(|text| {
                        *asked.entry((*text).to_owned()).or_default() += 1;
                        let number: i64 = text.parse().unwrap();
                        (number % 4 != 1).then_some((number - 700).abs() as f64)
                    })
                    .collect();
                sink(&scores)?;
            }
            Ok(())
        }
    }

    /// Proposes numbers near the best, with an offset by its counter, which is its state.
    struct Counting(u64);

    impl Proposer for Counting {
        fn propose(
            &mut self,
            history: &History,
            count: usize,
            streams: Streams,
            round: u64,
            _: &dyn Fn() -> bool,
        ) -> Result<Vec<Proposal>> {
            let best: u64 = history.best().map_or(0, |best| best.text.parse().unwrap());
            self.0 += history.evaluations().len() as u64;
            let noise = streams.normal("test", round, count);
            let number = |noise: f32| best + self.0 % 17 + (noise.abs() * 40.0) as u64;
            let proposals = noise.into_iter().map(|noise| Proposal {
                region: Some(round as u32),
                predicted: Some(f64::NAN),
                ..Proposal::of(number(noise).to_string())
            });
            Ok(proposals.collect())
        }

        fn save(&self, dir: &Path) -> Result<()> {
            std::fs::write(dir.join("count"), self.0.to_string()).unwrap();
            Ok(())
        }

        fn restore(&mut self, dir: &Path) -> Result<()> {
            let text = std::fs::read_to_string(dir.join("count")).unwrap();
            self.0 = text.parse().unwrap();
            Ok(())
        }
    }

    /// A search that is interrupted after the given numbers of scored texts.
    fn search(stops: &[usize]) -> (Vec<Evaluated>, BTreeMap<String, usize>, usize) {
        let dir = tempfile::tempdir().unwrap();
        let asked: Rc<RefCell<BTreeMap<String, usize>>> = Rc::default();
        let known = |number: u64| Start {
            text: number.to_string(),
            score: Some(Some(900.0 + number as f64)),
        };
        let unknown = |number: u64| Start {
            text: number.to_string(),
            score: None,
        };
        let start = [unknown(3), known(7), unknown(11), unknown(4)];
        let mut interrupted = 0;
        for &left in stops.iter().chain(&[usize::MAX]) {
            let mut search = Search {
                objective: &mut Distance {
                    left,
                    asked: Rc::clone(&asked),
                },
                proposer: &mut Counting(0),
                budget: Budget {
                    calls: 16,
                    per_round: 5,
                },
                streams: Streams::new(2),
                monitor: &Silent,
            };
            match search.run(&start, dir.path()) {
                Ok(found) => {
                    assert_eq!(found.calls(), 16);
                    return (found.evaluations, asked.borrow().clone(), interrupted);
                }
                Err(Error::Cancelled) => interrupted += 1,
                Err(other) => panic!("{other}"),
            }
        }
        unreachable!("the last one is not interrupted");
    }

    /// Fails if a score is lost or computed twice, a repeated round differs, the start changes its order, or the
    /// proposer's state is not that after the previous round.
    #[test]
    fn interrupted_anywhere_it_asks_nothing_twice_and_its_trace_is_the_same() {
        let (expected, asked, _) = search(&[]);
        assert!(asked.values().all(|&times| times == 1));
        assert_eq!(asked.len(), 19);
        assert_eq!(expected.len(), 20);
        assert!(expected.iter().any(|e| e.evaluation.score.is_none()));
        assert!(
            expected.iter().all(|e| e.predicted.is_none()),
            "NaN is no prediction"
        );
        for stop in 0..19 {
            let (found, again, interrupted) = search(&[stop]);
            assert_eq!(interrupted, 1);
            assert_eq!(
                (&found, &again),
                (&expected, &asked),
                "stopped after {stop}"
            );
        }
        let (found, again, interrupted) = search(&[1, 2, 3, 0, 3, 4, 2]);
        assert_eq!((found, again, interrupted), (expected, asked, 7));
    }

    /// Fails if the last round exceeds the budget, or known scores are counted.
    #[test]
    fn a_search_ends_with_its_budget_or_without_anything_new() {
        struct Same;
        impl Proposer for Same {
            fn propose(
                &mut self,
                _: &History,
                count: usize,
                _: Streams,
                round: u64,
                _: &dyn Fn() -> bool,
            ) -> Result<Vec<Proposal>> {
                let new = (round < 3).then(|| (100 * round).to_string());
                let texts = ["3".to_owned(), "8".into(), "8".into()];
                let texts = new.into_iter().chain(texts).take(count.max(2));
                Ok(texts.map(Proposal::of).collect())
            }
        }
        for (calls, expected) in [(10, vec!["100", "8", "200"]), (1, vec!["100"])] {
            let dir = tempfile::tempdir().unwrap();
            let start = Start {
                text: "3".into(),
                score: None,
            };
            let mut search = Search {
                objective: &mut Distance {
                    left: usize::MAX,
                    asked: Rc::default(),
                },
                proposer: &mut Same,
                budget: Budget {
                    calls,
                    per_round: 4,
                },
                streams: Streams::new(0),
                monitor: &Silent,
            };
            let outcome = search.run(&[start], dir.path()).unwrap();
            let evaluated = outcome.evaluations.iter().skip(1);
            let texts: Vec<&str> = evaluated.map(|e| e.evaluation.text.as_str()).collect();
            assert_eq!(texts, expected);
        }
    }
}
