//! The space of an objective's texts: random draws and variations.

use crate::sequences::{Tokeniser, Uncut};
use rand::RngExt;
use rand_pcg::Pcg64;
use std::collections::BTreeSet;

/// The texts of an objective, feasible ones as far as known.
pub trait Space: Send + Sync {
    /// A random text.
    fn draw(&self, rng: &mut Pcg64) -> String;

    /// The tokens of a text.
    fn alphabet(&self) -> &Alphabet;

    /// Variations by the grammar rather than by tokens, if available.
    fn grammar(&self) -> Option<&dyn Variation> {
        None
    }
}

/// New texts made from known ones. They may be known or infeasible.
pub trait Variation {
    /// `text` with a random change.
    fn mutate(&self, text: &str, rng: &mut Pcg64) -> String;

    /// `one` with a part of `other`.
    fn cross(&self, one: &str, other: &str, rng: &mut Pcg64) -> String;
}

/// The tokens of texts, and token-level variations: each position of a text of L tokens changes with probability
/// 1/L.
#[derive(Debug, Clone)]
pub struct Alphabet {
    tokens: Vec<String>,
    /// How a text is split; without one, greedily into the longest matching tokens.
    tokeniser: Option<Tokeniser>,
    /// Whether all texts have the same number of tokens.
    fixed_length: bool,
}

impl Alphabet {
    /// For texts of any length whose `tokens` are concatenated.
    pub fn joined(tokens: &[&str]) -> Self {
        let mut tokens: Vec<String> = tokens.iter().map(|&token| token.to_owned()).collect();
        // longest match first
        tokens.sort_by_key(|token| std::cmp::Reverse(token.len()));
        Self {
            tokens,
            tokeniser: None,
            fixed_length: false,
        }
    }

    /// For texts of equal length whose `tokens` are separated by spaces.
    pub fn spaced(tokens: impl Iterator<Item = String>) -> Self {
        Self {
            tokens: tokens.collect(),
            tokeniser: Some(Tokeniser::Whitespace),
            fixed_length: true,
        }
    }

    /// For the tokens of `texts`; of fixed length if all have the same.
    ///
    /// # Errors
    /// The index of a text that cannot be split, and where.
    pub fn of(tokeniser: Tokeniser, texts: &[String]) -> Result<Self, (usize, Uncut)> {
        let (mut tokens, mut lengths) = (BTreeSet::new(), BTreeSet::new());
        for (place, text) in texts.iter().enumerate() {
            let cut = tokeniser.cut(text).map_err(|uncut| (place, uncut))?;
            lengths.insert(cut.len());
            tokens.extend(cut.into_iter().map(|(_, token)| token));
        }
        Ok(Self {
            tokens: tokens.into_iter().map(str::to_owned).collect(),
            tokeniser: Some(tokeniser),
            fixed_length: lengths.len() == 1,
        })
    }

    /// The tokens of `text`.
    fn split<'a>(&self, text: &'a str) -> Vec<&'a str> {
        if let Some(tokeniser) = &self.tokeniser {
            return tokeniser.tokens(text).unwrap_or_default();
        }
        let (mut rest, mut found) = (text, Vec::new());
        while let Some(first) = rest.chars().next() {
            let mut tokens = self.tokens.iter();
            let token = tokens.find(|token| rest.starts_with(token.as_str()));
            let (token, behind) = rest.split_at(token.map_or(first.len_utf8(), String::len));
            rest = behind;
            found.push(token);
        }
        found
    }

    /// The text of `tokens`.
    fn join(&self, tokens: &[&str]) -> String {
        tokens.join(self.tokeniser.as_ref().map_or("", Tokeniser::between))
    }

    fn token(&self, rng: &mut Pcg64) -> &str {
        &self.tokens[rng.random_range(0..self.tokens.len())]
    }
}

impl Variation for Alphabet {
    /// Each token changes with probability 1/L: it is replaced, or, for texts of any length, deleted or preceded by
    /// an insertion, all three with equal probability.
    fn mutate(&self, text: &str, rng: &mut Pcg64) -> String {
        let tokens = self.split(text);
        let mut child = Vec::with_capacity(tokens.len() + 1);
        for &token in &tokens {
            if rng.random_range(0..tokens.len()) > 0 {
                child.push(token);
                continue;
            }
            match rng.random_range(0..if self.fixed_length { 1 } else { 3 }) {
                0 => child.push(self.token(rng)),
                1 => child.extend([self.token(rng), token]),
                _ => {}
            }
        }
        self.join(&child)
    }

    /// For texts of fixed length: switches to the other parent with probability 1/L after each token. For any
    /// length: the beginning of one and the end of the other.
    fn cross(&self, one: &str, other: &str, rng: &mut Pcg64) -> String {
        let (mut one, mut other) = (self.split(one), self.split(other));
        if !self.fixed_length {
            one.truncate(rng.random_range(0..=one.len()));
            one.extend(other.drain(rng.random_range(0..=other.len())..));
            return self.join(&one);
        }
        let mut child = Vec::with_capacity(one.len());
        for place in 0..one.len().min(other.len()) {
            if rng.random_range(0..one.len()) == 0 {
                std::mem::swap(&mut one, &mut other);
            }
            child.push(one[place]);
        }
        self.join(&child)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    #[test]
    fn the_longest_token_that_fits_is_taken() {
        let alphabet = Alphabet::joined(&["s", "in", "sin", "(", "x", ")"]);
        assert_eq!(alphabet.split("sin(xs)"), ["sin", "(", "x", "s", ")"]);
    }

    #[test]
    fn the_tokens_of_texts_are_those_that_their_tokeniser_finds() {
        let texts = ["[C][=O]".to_owned(), "[C][N][C]".to_owned()];
        let alphabet = Alphabet::of(Tokeniser::Brackets, &texts).unwrap();
        assert_eq!(alphabet.tokens, ["[=O]", "[C]", "[N]"]);
        assert!(!alphabet.fixed_length);
        assert_eq!(alphabet.join(&alphabet.split("[N][C]")), "[N][C]");
        assert!(
            Alphabet::of(Tokeniser::Whitespace, &texts)
                .unwrap()
                .fixed_length
        );
        let odd = ["[C]".to_owned(), "C".to_owned()];
        let (place, uncut) = Alphabet::of(Tokeniser::Brackets, &odd).unwrap_err();
        assert_eq!((place, uncut.column), (1, 1));
    }

    /// The mean number of changes is 1, minus those to the same token; fails for any other rate.
    #[test]
    fn tokens_change_at_a_rate_of_one_a_text() {
        let alphabet = Alphabet::spaced((0..50).map(|token| token.to_string()));
        let mut rng = Streams::new(1).at("test", 0);
        let parent = vec!["7"; 32].join(" ");
        let mut changes = 0;
        for _ in 0..4000 {
            let child = alphabet.mutate(&parent, &mut rng);
            assert_eq!(child.split(' ').count(), 32);
            changes += child.split(' ').filter(|&token| token != "7").count();
        }
        let mean = changes as f64 / 4000.0;
        assert!((mean - 49.0 / 50.0).abs() < 0.07, "{mean}");
        let alphabet = Alphabet::joined(&["a", "b"]);
        let lengths: BTreeSet<usize> = (0..4000)
            .map(|_| alphabet.mutate("abababab", &mut rng).len())
            .collect();
        for length in [7, 8, 9] {
            assert!(lengths.contains(&length), "{lengths:?}");
        }
    }

    /// Fails if a child of fixed length takes tokens from other positions, or never mixes both parents.
    #[test]
    fn a_child_has_its_tokens_from_its_parents() {
        let alphabet = Alphabet::spaced((0..64).map(|token| token.to_string()));
        let text = |from: u32| {
            let tokens: Vec<String> = (from..from + 8).map(|token| token.to_string()).collect();
            tokens.join(" ")
        };
        let mut rng = Streams::new(1).at("test", 0);
        let mut mixed = 0;
        for _ in 0..400 {
            let child = alphabet.cross(&text(0), &text(10), &mut rng);
            let tokens: Vec<usize> = child
                .split(' ')
                .map(|token| token.parse().unwrap())
                .collect();
            let places: Vec<usize> = tokens.iter().map(|token| token % 10).collect();
            assert_eq!(places, (0..8).collect::<Vec<_>>());
            mixed += usize::from(tokens.iter().any(|&t| t < 10) && tokens.iter().any(|&t| t > 9));
        }
        assert!((150..350).contains(&mixed), "{mixed}");
        let alphabet = Alphabet::joined(&["a", "b"]);
        for _ in 0..100 {
            let child = alphabet.cross("aaa", "bbb", &mut rng);
            assert!(
                child
                    .trim_start_matches('a')
                    .trim_end_matches('b')
                    .is_empty(),
                "{child}"
            );
        }
    }
}
