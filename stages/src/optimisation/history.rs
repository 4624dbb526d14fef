//! The history of evaluations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Which scores are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Smaller scores.
    Minimise,
    /// Larger scores.
    Maximise,
}

impl Direction {
    /// The factor between a score and a value to be maximised.
    pub fn sign(self) -> f64 {
        match self {
            Self::Minimise => -1.0,
            Self::Maximise => 1.0,
        }
    }
}

/// A text and its score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The evaluated text.
    pub text: String,
    /// Its score as given by the objective; none for an infeasible text.
    pub score: Option<f64>,
    /// The round in which it was proposed; 0 for the start of the search.
    pub round: u64,
}

/// The evaluations of a search in order, without repeated texts.
#[derive(Debug, Clone)]
pub struct History {
    direction: Direction,
    evaluations: Vec<Evaluation>,
    places: HashMap<String, usize>,
}

impl History {
    /// An empty history.
    pub fn new(direction: Direction) -> Self {
        Self {
            direction,
            evaluations: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// Adds an evaluation, unless its text is already known.
    pub fn push(&mut self, evaluation: Evaluation) {
        if !self.knows(&evaluation.text) {
            let place = self.evaluations.len();
            self.places.insert(evaluation.text.clone(), place);
            self.evaluations.push(evaluation);
        }
    }

    /// Whether `text` was evaluated.
    pub fn knows(&self, text: &str) -> bool {
        self.places.contains_key(text)
    }

    /// All evaluations.
    pub fn evaluations(&self) -> &[Evaluation] {
        &self.evaluations
    }

    /// The score of an evaluation as a value to be maximised; none if it is infeasible.
    pub fn value(&self, evaluation: &Evaluation) -> Option<f64> {
        evaluation.score.map(|score| self.direction.sign() * score)
    }

    /// The score whose [`Self::value`] is `value`.
    pub fn score(&self, value: f64) -> f64 {
        self.direction.sign() * value
    }

    /// The feasible evaluations, best first; ties in the order of evaluation.
    pub fn best_first(&self) -> Vec<&Evaluation> {
        let feasible = self.evaluations.iter();
        let feasible =
            feasible.filter_map(|evaluation| Some((self.value(evaluation)?, evaluation)));
        let mut feasible: Vec<(f64, &Evaluation)> = feasible.collect();
        feasible.sort_by(|a, b| b.0.total_cmp(&a.0));
        feasible
            .into_iter()
            .map(|(_, evaluation)| evaluation)
            .collect()
    }

    /// The best evaluation, the first of equal ones; none if all are infeasible.
    pub fn best(&self) -> Option<&Evaluation> {
        let mut best: Option<(&Evaluation, f64)> = None;
        for evaluation in &self.evaluations {
            if let Some(value) = self.value(evaluation)
                && best.is_none_or(|(_, highest)| value > highest)
            {
                best = Some((evaluation, value));
            }
        }
        best.map(|(evaluation, _)| evaluation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, score: Option<f64>) -> Evaluation {
        let (text, round) = (text.to_owned(), 0);
        Evaluation { text, score, round }
    }

    #[test]
    fn the_best_is_the_first_of_the_best_feasible_ones_in_the_direction() {
        for (direction, best) in [(Direction::Minimise, "b"), (Direction::Maximise, "d")] {
            let mut history = History::new(direction);
            assert!(history.best().is_none());
            for (text, score) in [
                ("a", None),
                ("b", Some(1.0)),
                ("c", Some(1.0)),
                ("d", Some(2.0)),
                ("a", Some(9.0)),
            ] {
                history.push(of(text, score));
            }
            assert_eq!(history.evaluations().len(), 4, "`a` was there already");
            assert_eq!(history.best().unwrap().text, best);
        }
    }
}
