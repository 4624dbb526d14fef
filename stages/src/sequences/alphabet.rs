//! The vocabulary of sequences, and their notation as text.

use super::Sequence;
use super::tokeniser::Tokeniser;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};

/// The end token, which also pads sequences.
pub const END: u32 = 0;

/// Vocabulary and maximum length of sequences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Alphabet {
    tokeniser: Tokeniser,
    longest: usize,
    /// Entry i is token i + 1.
    tokens: Vec<String>,
    numbers: HashMap<String, u32>,
}

/// An alphabet on disk.
#[derive(Serialize, Deserialize)]
struct Stored {
    tokeniser: Tokeniser,
    longest: usize,
    tokens: Vec<String>,
}

impl From<Stored> for Alphabet {
    fn from(stored: Stored) -> Self {
        Self::new(stored.tokeniser, stored.longest, stored.tokens)
    }
}

impl From<Alphabet> for Stored {
    fn from(alphabet: Alphabet) -> Self {
        let Alphabet {
            tokeniser,
            longest,
            tokens,
            ..
        } = alphabet;
        Self {
            tokeniser,
            longest,
            tokens,
        }
    }
}

impl Alphabet {
    /// The alphabet of `tokens`, numbered from 1; sequences have at most `longest` tokens.
    pub fn new(tokeniser: Tokeniser, longest: usize, tokens: Vec<String>) -> Self {
        let numbers = tokens.iter().cloned().zip(1..).collect();
        Self {
            tokeniser,
            longest,
            tokens,
            numbers,
        }
    }

    /// The alphabet of the tokens `found`, sorted; sequences have at most `longest` tokens.
    pub(super) fn of(tokeniser: &Tokeniser, longest: usize, found: &BTreeSet<&str>) -> Self {
        let mut tokens: Vec<String> = found.iter().map(|&token| token.to_owned()).collect();
        if matches!(tokeniser, Tokeniser::Ids { .. }) {
            tokens.sort_by_key(|token| token.parse::<i64>().unwrap_or(i64::MAX));
        }
        Self::new(tokeniser.clone(), longest, tokens)
    }

    pub fn tokeniser(&self) -> &Tokeniser {
        &self.tokeniser
    }

    /// V, the number of tokens including the end token.
    pub fn size(&self) -> usize {
        self.tokens.len() + 1
    }

    /// T, the maximum number of tokens of a sequence.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// The tokens, starting with token 1.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// The text of a sequence.
    ///
    /// # Panics
    /// If a token is not in the alphabet.
    pub fn text(&self, sequence: &[u32]) -> String {
        let tokens = sequence
            .iter()
            .map(|&t| self.tokens[t as usize - 1].as_str());
        tokens.collect::<Vec<_>>().join(self.tokeniser.between())
    }

    /// The sequence of a text, in line `line`, from 1, of the file named `place`.
    ///
    /// # Errors
    /// An input error with line and column for an empty text, an unknown token, or a text that is too long.
    pub fn sequence(&self, text: &str, place: &str, line: usize) -> Result<Sequence> {
        let at =
            |column: usize, why: String| Error::input(format!("{place}:{line}:{column}: {why}"));
        let cut = self
            .tokeniser
            .cut(text)
            .map_err(|uncut| at(uncut.column, uncut.why))?;
        if cut.is_empty() {
            return Err(at(
                1,
                "found an empty line, expected a sequence; remove the line".into(),
            ));
        }
        if let Some((column, _)) = cut.get(self.longest) {
            return Err(at(
                *column,
                format!(
                    "found {} tokens, expected at most {}; shorten it, or train a model of longer sequences",
                    cut.len(),
                    self.longest
                ),
            ));
        }
        let number = |(column, token): (usize, &str)| {
            (self.numbers.get(token).copied()).ok_or_else(|| {
                at(
                    column,
                    format!(
                        "found the token `{token}`, expected one of {}",
                        self.listed()
                    ),
                )
            })
        };
        cut.into_iter().map(number).collect()
    }

    /// The number of tokens of a sequence, including the end token unless it has maximum length.
    pub fn tokens_of(&self, sequence: &[u32]) -> usize {
        (sequence.len() + 1).min(self.longest)
    }

    /// A sequence as a row `[T]`, padded with end tokens.
    pub fn row(&self, sequence: &[u32]) -> Vec<u32> {
        let mut row = sequence.to_vec();
        row.resize(self.longest, END);
        row
    }

    /// The sequence of a row: the tokens before the first end token.
    pub fn sequence_of_row(row: &[u32]) -> Sequence {
        row.iter()
            .copied()
            .take_while(|&token| token != END)
            .collect()
    }

    fn listed(&self) -> String {
        let shown: Vec<String> = self
            .tokens
            .iter()
            .take(40)
            .map(|t| format!("`{t}`"))
            .collect();
        let more = match self.tokens.len() - shown.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("the {} tokens {}{more}", self.tokens.len(), shown.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters() -> Alphabet {
        let tokens = ["a", "b", "ü"].map(str::to_owned);
        Alphabet::new(Tokeniser::Characters, 4, tokens.to_vec())
    }

    #[test]
    fn a_text_becomes_its_sequence_and_back_and_a_row_ends_with_end_tokens() {
        let letters = letters();
        let sequence = letters.sequence("aüb", "x.txt", 1).unwrap();
        assert_eq!(sequence, [1, 3, 2]);
        assert_eq!(letters.text(&sequence), "aüb");
        assert_eq!(letters.row(&sequence), [1, 3, 2, 0]);
        assert_eq!(Alphabet::sequence_of_row(&[1, 3, 0, 2]), [1, 3]);
        let words = Alphabet::new(Tokeniser::Whitespace, 2, vec!["12".into(), "1".into()]);
        assert_eq!(words.text(&words.sequence("1  12", "", 1).unwrap()), "1 12");
        let read: Alphabet =
            serde_json::from_str(&serde_json::to_string(&letters).unwrap()).unwrap();
        assert_eq!(read, letters);
    }

    #[test]
    fn what_the_alphabet_lacks_is_shown_with_line_and_column() {
        for (text, told) in [
            (
                "aüc",
                "x.txt:7:3: found the token `c`, expected one of the 3 tokens `a` `b` `ü`",
            ),
            ("", "x.txt:7:1: found an empty line"),
            ("aabbü", "x.txt:7:5: found 5 tokens, expected at most 4"),
        ] {
            let error = letters()
                .sequence(text, "x.txt", 7)
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(told), "{error}");
        }
    }
}
