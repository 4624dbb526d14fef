//! Ehrlich functions (Stanton et al. 2024, "Closed-form test functions for biophysical sequence design"): sequences
//! are feasible if a Markov chain can generate them, and are scored by how much of given motifs with gaps they
//! contain.
//!
//! For a motif of k tokens with offsets o from its first token, and a quantisation q, h is the maximum over
//! positions l of the sequence of floor(matches / ceil(k/q)) / (k / ceil(k/q)), where matches counts the tokens of
//! the motif at positions l + o. The score is the product over motifs of h (1 + epsilon h (h - 1)).

use super::scoring::{Objective, Score};
use super::space::{Alphabet, Space};
use crate::error::Result;
use crate::optimisation::Direction;
use crate::problems::Problems;
use rand::RngExt;
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An Ehrlich function. A text is its tokens, integers from 0, separated by spaces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EhrlichConfig {
    /// L, the length of a sequence in tokens.
    pub length: usize,
    /// V weights for each of V tokens: the unnormalised probability that each token follows it in random sequences.
    /// A sequence with a transition of weight 0 is infeasible.
    pub transitions: Vec<Vec<f64>>,
    /// The motifs, all of the same length.
    pub motifs: Vec<Vec<u32>>,
    /// For each motif the distances between consecutive tokens, one fewer than tokens.
    pub gaps: Vec<Vec<usize>>,
    /// q: the number of equal parts in which a motif is counted; its length by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantisation: Option<usize>,
    /// The penalty on partially contained motifs.
    #[serde(default)]
    pub epsilon: f64,
}

impl EhrlichConfig {
    fn vocabulary(&self) -> usize {
        self.transitions.len()
    }

    /// Reports every value out of range, and motifs that no feasible sequence can contain.
    pub fn check(&self, problems: &mut Problems) {
        let before = problems.messages().len();
        problems.within("length", self.length, 1..=100_000);
        self.check_transitions(problems);
        self.check_motifs(problems);
        problems.not_negative("epsilon", self.epsilon, "1");
        if problems.messages().len() == before
            && let Err(why) = self.optimum()
        {
            let expected = "motifs that fit one after the other into a feasible sequence";
            problems.add("motifs", why, expected);
        }
    }

    fn check_transitions(&self, problems: &mut Problems) {
        let size = self.vocabulary();
        problems.within("transitions", size, 2..=10_000);
        for (token, row) in self.transitions.iter().enumerate() {
            let mut weights = row.iter();
            let good = row.len() == size
                && weights.all(|weight| *weight >= 0.0 && weight.is_finite())
                && row.get(token).is_some_and(|weight| *weight > 0.0);
            problems.require(
                good,
                &format!("transitions[{token}]"),
                format!("{} weights", row.len()),
                &format!(
                    "{size}, one for each token, none negative, that of {token} itself positive"
                ),
            );
        }
    }

    fn check_motifs(&self, problems: &mut Problems) {
        let size = self.vocabulary();
        let width = self.motifs.first().map_or(0, Vec::len);
        let expected = "at least one token of one motif";
        problems.require(width > 0, "motifs", "no motif, or an empty one", expected);
        for (number, motif) in self.motifs.iter().enumerate() {
            problems.require(
                motif.len() == width && motif.iter().all(|&token| (token as usize) < size),
                &format!("motifs[{number}]"),
                format!("{motif:?}"),
                &format!("{width} tokens, as of the first motif, below {size}"),
            );
        }
        problems.require(
            self.gaps.len() == self.motifs.len(),
            "gaps",
            format!("those of {} motifs", self.gaps.len()),
            &format!("those of {}", self.motifs.len()),
        );
        for (number, gaps) in self.gaps.iter().enumerate() {
            problems.require(
                gaps.len() + 1 == width && gaps.iter().all(|gap| (1..=self.length).contains(gap)),
                &format!("gaps[{number}]"),
                format!("{gaps:?}"),
                &format!("{} numbers from 1 to `length`", width.saturating_sub(1)),
            );
        }
        if let Some(parts) = self.quantisation {
            let divides = parts > 0 && width.is_multiple_of(parts);
            let expected = format!("a divisor of {width}, the tokens of a motif");
            problems.require(divides, "quantisation", parts, &expected);
        }
    }

    /// A feasible sequence that contains all motifs: one after the other, each gap filled with the token before it.
    ///
    /// # Errors
    /// Why there is none.
    pub fn optimum(&self) -> std::result::Result<Vec<u32>, String> {
        let mut sequence = Vec::new();
        for (motif, gaps) in self.motifs.iter().zip(&self.gaps) {
            for (place, &token) in motif.iter().enumerate() {
                let repeats = gaps.get(place).copied().unwrap_or(1);
                sequence.extend(std::iter::repeat_n(token, repeats));
            }
        }
        if sequence.len() > self.length {
            return Err(format!(
                "motifs that take {} places of {}",
                sequence.len(),
                self.length
            ));
        }
        let last = *sequence.last().ok_or("no motif")?;
        sequence.resize(self.length, last);
        let forbidden = |pair: &&[u32]| self.weight(pair[0], pair[1]) == 0.0;
        match sequence.windows(2).find(forbidden) {
            Some(pair) => Err(format!(
                "a step from {} to {}, of weight 0",
                pair[0], pair[1]
            )),
            None => Ok(sequence),
        }
    }

    fn weight(&self, from: u32, to: u32) -> f64 {
        self.transitions[from as usize][to as usize]
    }
}

/// The objective.
#[derive(Debug, Clone)]
pub struct Ehrlich {
    config: EhrlichConfig,
    alphabet: Alphabet,
}

impl Ehrlich {
    /// The objective for a valid configuration.
    pub fn new(config: EhrlichConfig) -> Self {
        let tokens = (0..config.vocabulary()).map(|token| token.to_string());
        Self {
            alphabet: Alphabet::spaced(tokens),
            config,
        }
    }

    /// The tokens of `text`; none if their number or format is wrong.
    fn parse(&self, text: &str) -> Option<Vec<u32>> {
        let token = |word: &str| {
            let token: u32 = word.parse().ok()?;
            let known = (token as usize) < self.config.vocabulary();
            (known && token.to_string() == word).then_some(token)
        };
        let tokens: Option<Vec<u32>> = text.split(' ').map(token).collect();
        tokens.filter(|tokens| tokens.len() == self.config.length)
    }

    fn score_of(&self, sequence: &[u32]) -> Score {
        let config = &self.config;
        let mut steps = sequence.windows(2);
        if steps.any(|pair| config.weight(pair[0], pair[1]) == 0.0) {
            return None;
        }
        let motifs = config.motifs.iter().zip(&config.gaps);
        let held = motifs.map(|(motif, gaps)| {
            let held = self.held(sequence, motif, gaps);
            held * (1.0 + config.epsilon * held * (held - 1.0))
        });
        Some(held.product())
    }

    /// h of a motif.
    fn held(&self, sequence: &[u32], motif: &[u32], gaps: &[usize]) -> f64 {
        let width = motif.len();
        let part = width.div_ceil(self.config.quantisation.unwrap_or(width));
        let places: Vec<usize> = std::iter::once(0)
            .chain(gaps.iter().scan(0, |at, gap| {
                *at += gap;
                Some(*at)
            }))
            .collect();
        let span = places[width - 1];
        let matches = (span..sequence.len()).map(|end| {
            let tokens = places.iter().zip(motif);
            tokens
                .filter(|(place, token)| sequence[end - span + **place] == **token)
                .count()
        });
        let most = matches.max().unwrap_or(0);
        (most / part) as f64 / (width as f64 / part as f64)
    }
}

impl Objective for Ehrlich {
    fn direction(&self) -> Direction {
        Direction::Maximise
    }

    fn score(
        &mut self,
        texts: &[&str],
        _: &dyn Fn() -> bool,
        sink: &mut dyn FnMut(&[Score]) -> Result<()>,
    ) -> Result<()> {
        let score = |text: &&str| self.score_of(&self.parse(text)?);
        sink(&texts.iter().map(score).collect::<Vec<_>>())
    }
}

/// Random sequences are drawn from the chain with a uniform first token, and are feasible.
impl Space for Ehrlich {
    fn draw(&self, rng: &mut Pcg64) -> String {
        let mut token = rng.random_range(0..self.config.vocabulary());
        let mut text = token.to_string();
        for _ in 1..self.config.length {
            token = step(&self.config.transitions[token], rng);
            text += &format!(" {token}");
        }
        text
    }

    fn alphabet(&self) -> &Alphabet {
        &self.alphabet
    }
}

/// An index drawn in proportion to `weights`.
fn step(weights: &[f64], rng: &mut Pcg64) -> usize {
    let total: f64 = weights.iter().sum();
    let mut left = total * rng.random::<f64>();
    let mut last = 0;
    for (token, &weight) in weights.iter().enumerate() {
        if weight > 0.0 {
            last = token;
            left -= weight;
            if left < 0.0 {
                break;
            }
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    /// Four tokens; 0 may be followed by 0 and 1, 1 by 1 and 2, 2 by 1, 2 and 3, 3 by 0 and 3.
    fn small(motifs: &[&[u32]], gaps: &[&[usize]]) -> EhrlichConfig {
        let row = |weights: [f64; 4]| weights.to_vec();
        EhrlichConfig {
            length: 8,
            transitions: vec![
                row([1.0, 1.0, 0.0, 0.0]),
                row([0.0, 1.0, 1.0, 0.0]),
                row([0.0, 1.0, 1.0, 1.0]),
                row([1.0, 0.0, 0.0, 1.0]),
            ],
            motifs: motifs.iter().map(|motif| motif.to_vec()).collect(),
            gaps: gaps.iter().map(|gaps| gaps.to_vec()).collect(),
            quantisation: None,
            epsilon: 0.0,
        }
    }

    fn score(config: &EhrlichConfig, digits: &str) -> Score {
        let ehrlich = Ehrlich::new(config.clone());
        let tokens: Vec<&str> = digits.split("").filter(|token| !token.is_empty()).collect();
        ehrlich.score_of(&ehrlich.parse(&tokens.join(" ")).unwrap())
    }

    /// Computed by hand.
    #[test]
    fn scores_are_those_computed_by_hand() {
        let mut config = small(&[&[0, 1, 2, 3]], &[&[1, 2, 1]]);
        for (digits, expected) in [
            ("01123333", Some(1.0)),
            ("01122222", Some(0.75)),
            ("00011223", Some(0.75)),
            ("00000000", Some(0.25)),
            ("12301123", Some(1.0)),
            ("30112123", Some(0.75)),
            ("02123333", None),
        ] {
            assert_eq!(score(&config, digits), expected, "{digits}");
        }
        config.epsilon = 1.0;
        assert_eq!(score(&config, "01122222"), Some(0.609375));
        assert_eq!(score(&config, "00000000"), Some(0.203125));
        config.quantisation = Some(2);
        assert_eq!(score(&config, "01122222"), Some(0.375));
        config.epsilon = 0.0;
        assert_eq!(score(&config, "01122222"), Some(0.5));
        assert_eq!(score(&config, "00000000"), Some(0.0));

        let two = small(&[&[0, 1], &[2, 3]], &[&[1], &[2]]);
        for (digits, expected) in [
            ("01123333", 1.0),
            ("01122222", 0.5),
            ("00011223", 1.0),
            ("00000000", 0.0),
        ] {
            assert_eq!(score(&two, digits), Some(expected), "{digits}");
        }
    }

    #[test]
    fn a_text_is_as_many_numbers_of_the_vocabulary_with_a_blank_between_them() {
        let mut ehrlich = Ehrlich::new(small(&[&[0, 1]], &[&[1]]));
        let texts = [
            "0 0 0 0 0 0 0 1",
            "0 0 0 0 0 0 1",
            "0 0 0 0 0 0 0 4",
            "0 0 0 0 0 0 0 01",
            "0 0 0 0 0 0 0 1 ",
            "",
        ];
        let mut scores = Vec::new();
        let mut sink = |found: &[Score]| {
            scores.extend_from_slice(found);
            Ok(())
        };
        ehrlich.score(&texts, &|| false, &mut sink).unwrap();
        assert_eq!(scores, [Some(1.0), None, None, None, None, None]);
    }

    #[test]
    fn draws_are_feasible_and_follow_the_weights() {
        let mut config = small(&[&[0, 1]], &[&[1]]);
        config.transitions[0] = vec![3.0, 1.0, 0.0, 0.0];
        let ehrlich = Ehrlich::new(config);
        let mut rng = Streams::new(0).at("test", 0);
        let (mut stays, mut steps) = (0, 0);
        for _ in 0..2000 {
            let sequence = ehrlich.parse(&ehrlich.draw(&mut rng)).unwrap();
            assert!(ehrlich.score_of(&sequence).is_some(), "{sequence:?}");
            for pair in sequence.windows(2).filter(|pair| pair[0] == 0) {
                steps += 1;
                stays += usize::from(pair[1] == 0);
            }
        }
        let share = stays as f64 / steps as f64;
        assert!((share - 0.75).abs() < 0.03, "{share} of {steps}");
    }

    #[test]
    fn motifs_that_no_sequence_holds_are_refused() {
        let told = |config: &EhrlichConfig| {
            let mut problems = Problems::new();
            config.check(&mut problems);
            problems.messages().to_vec()
        };
        let good = small(&[&[0, 1], &[2, 3]], &[&[1], &[2]]);
        assert_eq!(told(&good), [""; 0]);
        let optimum = good.optimum().unwrap();
        assert_eq!(optimum, [0, 1, 2, 2, 3, 3, 3, 3]);
        assert_eq!(Ehrlich::new(good.clone()).score_of(&optimum), Some(1.0));

        let step = small(&[&[0, 2]], &[&[1]]);
        assert!(
            told(&step)[0].contains("a step from 0 to 2, of weight 0"),
            "{:?}",
            told(&step)
        );
        let long = small(&[&[0, 1], &[2, 3]], &[&[4], &[4]]);
        assert!(
            told(&long)[0].contains("10 places of 8"),
            "{:?}",
            told(&long)
        );
        let mut parts = good.clone();
        parts.quantisation = Some(3);
        assert!(
            told(&parts)[0].contains("a divisor of 2"),
            "{:?}",
            told(&parts)
        );
        let mut stuck = good.clone();
        stuck.transitions[2][2] = 0.0;
        assert!(
            told(&stuck)[0].contains("that of 2 itself positive"),
            "{:?}",
            told(&stuck)
        );
        let ragged = small(&[&[0, 1], &[2]], &[&[1], &[]]);
        assert_eq!(told(&ragged).len(), 2);
    }
}
