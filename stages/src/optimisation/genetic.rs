//! A genetic algorithm: the best texts so far are the parents of the next ones.
//!
//! Parents are the `population` best evaluated texts (truncation selection). Each parent of a child is the best of
//! `tournament` random ones; a child has two parents with probability `crossover`. Then it is mutated. Children
//! that are already known are replaced.

use super::history::History;
use super::objective::{Canonical, Space, Variation};
use super::proposer::{Proposal, Proposer};
use super::random::new_texts;
use crate::error::Result;
use crate::problems::Problems;
use crate::random::Streams;
use rand::RngExt;
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A genetic algorithm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GeneticConfig {
    /// The number of best texts that may be parents.
    pub population: usize,
    /// The number of candidates in a tournament for a parent.
    pub tournament: usize,
    /// The probability that a child has two parents.
    pub crossover: f64,
    /// What mutation and crossover act on.
    pub by: VariationKind,
}

/// What a genetic algorithm varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VariationKind {
    /// Parts of the grammar of the objective's texts, if it has one, so that children are feasible; otherwise
    /// tokens.
    Grammar,
    /// Tokens: each of L tokens changes with probability 1/L, and a child of two texts of the same length switches
    /// from one parent to the other with that probability. Children may be infeasible.
    Tokens,
}

impl Default for GeneticConfig {
    fn default() -> Self {
        Self {
            population: 50,
            tournament: 2,
            crossover: 0.5,
            by: VariationKind::Grammar,
        }
    }
}

impl GeneticConfig {
    /// Reports every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        problems.within("population", self.population, 1..=1_000_000);
        problems.within("tournament", self.tournament, 1..=1_000_000);
        problems.within("crossover", self.crossover, 0.0..=1.0);
    }
}

/// The proposer.
pub struct Genetic {
    config: GeneticConfig,
    space: Arc<dyn Space>,
    canonical: Canonical,
}

impl Genetic {
    /// A genetic algorithm on the texts of `space`, in the form that `canonical` gives them.
    pub fn new(config: GeneticConfig, space: Arc<dyn Space>, canonical: Canonical) -> Self {
        Self {
            config,
            space,
            canonical,
        }
    }

    fn variation(&self) -> &dyn Variation {
        let grammar = match self.config.by {
            VariationKind::Grammar => self.space.grammar(),
            VariationKind::Tokens => None,
        };
        grammar.unwrap_or_else(|| self.space.alphabet())
    }

    /// The feasible texts that may be parents, best first; ties in the order of evaluation.
    fn parents<'a>(&self, history: &'a History) -> Vec<&'a str> {
        let best = history.best_first().into_iter();
        let best = best.take(self.config.population);
        best.map(|evaluation| evaluation.text.as_str()).collect()
    }

    fn parent<'a>(&self, parents: &[&'a str], rng: &mut Pcg64) -> &'a str {
        let drawn = (0..self.config.tournament).map(|_| rng.random_range(0..parents.len()));
        parents[drawn.min().unwrap_or(0)]
    }

    fn child(&self, parents: &[&str], rng: &mut Pcg64) -> String {
        let variation = self.variation();
        let one = self.parent(parents, rng);
        match rng.random_bool(self.config.crossover) {
            true => {
                let crossed = variation.cross(one, self.parent(parents, rng), rng);
                variation.mutate(&crossed, rng)
            }
            false => variation.mutate(one, rng),
        }
    }
}

impl Proposer for Genetic {
    fn propose(
        &mut self,
        history: &History,
        count: usize,
        streams: Streams,
        round: u64,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<Proposal>> {
        let parents = self.parents(history);
        let mut rng = streams.at("genetic algorithm", round);
        new_texts(
            history,
            &self.canonical,
            count,
            cancelled,
            || match parents.is_empty() {
                // nothing feasible so far
                true => self.space.draw(&mut rng),
                false => self.child(&parents, &mut rng),
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimisation::{Direction, Evaluation, ObjectiveConfig, RandomSearch, Score};

    fn opened() -> crate::optimisation::Opened {
        let config = serde_json::from_str::<ObjectiveConfig>(r#"{"kind": "expression"}"#);
        config.unwrap().open().unwrap()
    }

    /// The median score of the last 80 of 200 calls, from a start of bad texts, and the number of calls without a
    /// score.
    fn search(mut proposer: impl Proposer, seed: u64) -> (f64, usize) {
        let mut objective = opened().objective;
        let mut history = History::new(Direction::Minimise);
        for (text, score) in [("1", 3.5624), ("sin(x)", 3.5248), ("x*x", 7.0)] {
            let (text, score, round) = (text.to_owned(), Some(score), 0);
            history.push(Evaluation { text, score, round });
        }
        for round in 1..=10 {
            let proposals = proposer.propose(&history, 20, Streams::new(seed), round, &|| false);
            let proposals = proposals.unwrap();
            assert_eq!(proposals.len(), 20);
            let texts: Vec<&str> = proposals.iter().map(|p| p.text.as_str()).collect();
            let mut scores = Vec::new();
            let mut sink = |found: &[Score]| {
                scores.extend_from_slice(found);
                Ok(())
            };
            objective.score(&texts, &|| false, &mut sink).unwrap();
            for (text, score) in texts.into_iter().zip(scores) {
                assert!(!history.knows(text));
                let text = text.to_owned();
                history.push(Evaluation { text, score, round });
            }
        }
        let scores = history
            .evaluations()
            .iter()
            .map(|evaluation| evaluation.score);
        let infeasible = scores.clone().filter(Option::is_none).count();
        let mut last: Vec<f64> = scores
            .rev()
            .take(80)
            .map(|score| score.unwrap_or(7.0))
            .collect();
        last.sort_by(f64::total_cmp);
        (last[40], infeasible)
    }

    /// Fails if parents are the worst, or not selected at all: their children are no better than random draws.
    #[test]
    fn children_are_better_than_random_expressions() {
        let space = || opened().space.unwrap();
        let genetic = |by| {
            let config = GeneticConfig {
                by,
                population: 10,
                ..GeneticConfig::default()
            };
            search(Genetic::new(config, space(), Canonical::default()), 0)
        };
        let (random, _) = search(RandomSearch::new(space(), Canonical::default()), 0);
        let (grammar, infeasible) = genetic(VariationKind::Grammar);
        assert_eq!(infeasible, 0);
        assert!(grammar + 1.0 < random, "{grammar}, random {random}");
        let (_, infeasible) = genetic(VariationKind::Tokens);
        assert!(infeasible > 0);
    }

    #[test]
    fn parents_are_the_best_in_the_direction_and_the_first_of_equal_ones() {
        let of = |direction| {
            let mut history = History::new(direction);
            for (text, score) in [
                ("a", Some(1.0)),
                ("b", None),
                ("c", Some(3.0)),
                ("d", Some(1.0)),
                ("e", Some(2.0)),
            ] {
                let (text, round) = (text.to_owned(), 0);
                history.push(Evaluation { text, score, round });
            }
            let config = GeneticConfig {
                population: 3,
                ..GeneticConfig::default()
            };
            let genetic = Genetic::new(config, opened().space.unwrap(), Canonical::default());
            let parents = genetic.parents(&history).into_iter();
            parents.map(str::to_owned).collect::<Vec<_>>().concat()
        };
        assert_eq!(of(Direction::Minimise), "ade");
        assert_eq!(of(Direction::Maximise), "cea");
    }
}
