//! Conversion between texts and tokens.

use super::pattern::Pattern;
use super::uncut::Uncut;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a text is split into tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Tokeniser {
    /// Each character is a token.
    Characters,
    /// Tokens are separated by spaces: `12 4 7`.
    Whitespace,
    /// Each pair of square brackets is a token, as in SELFIES: `[C][=O]`.
    Brackets,
    /// Consecutive matches of a regular expression: `sin\(|exp\(|.` splits `x+sin(1)` into `x` `+` `sin(` `1` `)`.
    Pattern {
        /// The regular expression, in the syntax of the crate `regex`. The first matching alternative is taken.
        #[schemars(with = "String")]
        pattern: Pattern,
    },
    /// Numbers in an HDF5 dataset [N, L] of u8, u16, i32 or another integer type; as text they are separated by
    /// spaces.
    Ids {
        /// The number that pads rows; by default there is no padding, and every row has L tokens.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fill: Option<i64>,
    },
}

impl Tokeniser {
    /// The tokens of `text`, each with the position of its first character, from 1.
    ///
    /// # Errors
    /// The position that cannot be tokenised.
    pub fn cut<'a>(&self, text: &'a str) -> Result<Vec<(usize, &'a str)>, Uncut> {
        match self {
            Self::Characters => Ok(characters(text).collect()),
            Self::Whitespace | Self::Ids { .. } => Ok(words(text)),
            Self::Brackets => brackets(text),
            Self::Pattern { pattern } => pattern.cut(text),
        }
    }

    /// The tokens of `text`; None if it cannot be tokenised.
    pub fn tokens<'a>(&self, text: &'a str) -> Option<Vec<&'a str>> {
        let tokens = self.cut(text).ok()?;
        Some(tokens.into_iter().map(|(_, token)| token).collect())
    }

    /// The separator of tokens in a text.
    pub fn between(&self) -> &'static str {
        match self {
            Self::Characters | Self::Brackets | Self::Pattern { .. } => "",
            Self::Whitespace | Self::Ids { .. } => " ",
        }
    }
}

/// The characters of `text`, each with its position from 1.
fn characters(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let starts = text.char_indices().enumerate();
    starts.map(|(place, (start, c))| (place + 1, &text[start..start + c.len_utf8()]))
}

fn words(text: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut rest = text;
    loop {
        let word = rest.trim_start();
        let Some(end) = (!word.is_empty()).then(|| word.find(char::is_whitespace)) else {
            return words;
        };
        let before = &text[..text.len() - word.len()];
        let (word, after) = word.split_at(end.unwrap_or(word.len()));
        words.push((before.chars().count() + 1, word));
        rest = after;
    }
}

fn brackets(text: &str) -> Result<Vec<(usize, &str)>, Uncut> {
    let mut tokens = Vec::new();
    let (mut rest, mut column) = (text, 1);
    while !rest.is_empty() {
        let why = |why: String| Uncut { column, why };
        if !rest.starts_with('[') {
            let found = rest.chars().next().unwrap_or(' ');
            return Err(why(format!(
                "found `{found}`, expected `[`: each token stands in square brackets, as in `[C][=O]`"
            )));
        }
        let inner = &rest[1..];
        let end = match inner.find(['[', ']']) {
            Some(end) if inner[end..].starts_with(']') => end + 2,
            _ => {
                return Err(why(
                    "found a `[` that is not closed, expected `]` after it".into()
                ));
            }
        };
        let (token, after) = rest.split_at(end);
        tokens.push((column, token));
        column += token.chars().count();
        rest = after;
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(tokeniser: &Tokeniser, text: &str) -> Vec<(usize, String)> {
        let tokens = tokeniser.cut(text).unwrap().into_iter();
        tokens.map(|(at, token)| (at, token.to_owned())).collect()
    }

    /// Fails if positions count bytes, or a token loses a character.
    #[test]
    fn each_kind_cuts_where_it_says_and_counts_characters() {
        let of = |pairs: &[(usize, &str)]| -> Vec<(usize, String)> {
            pairs.iter().map(|&(at, t)| (at, t.to_owned())).collect()
        };
        assert_eq!(cut(&Tokeniser::Characters, "äb"), of(&[(1, "ä"), (2, "b")]));
        let words = of(&[(2, "é1"), (6, "20"), (9, "3")]);
        assert_eq!(cut(&Tokeniser::Whitespace, " é1  20\t3"), words);
        let selfies = of(&[(1, "[C]"), (4, "[=Ö]"), (8, "[Ring1]")]);
        assert_eq!(cut(&Tokeniser::Brackets, "[C][=Ö][Ring1]"), selfies);
    }

    #[test]
    fn brackets_that_do_not_match_are_shown_where_they_begin() {
        for (text, column, word) in [
            ("[C]O[C]", 4, "found `O`"),
            ("[C][=O", 4, "not closed"),
            ("[C][=[O]", 4, "not closed"),
            ("[C]]", 4, "found `]`"),
        ] {
            let told = Tokeniser::Brackets.cut(text).unwrap_err();
            assert_eq!(told.column, column, "{text}");
            assert!(told.why.contains(word), "{text}: {}", told.why);
        }
    }
}
