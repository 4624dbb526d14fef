//! Tokens given by a regular expression.

use super::uncut::Uncut;
use regex::Regex;
use serde::{Deserialize, Serialize};

/// A regular expression whose matches are tokens. It does not match the empty text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(Regex);

/// Equality of the expressions' text.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let regex = Regex::new(&text).map_err(|error| {
            let error = error.to_string();
            let why = error.lines().last().unwrap_or_default();
            let why = why.trim_start_matches("error: ");
            format!("found the pattern `{text}` ({why}), expected a regular expression, such as `sin\\(|exp\\(|.`")
        })?;
        match regex.is_match("") {
            true => Err(format!(
                "found the pattern `{text}`, which matches the empty text, expected one whose \
                 every match has a character"
            )),
            false => Ok(Self(regex)),
        }
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0.as_str().to_owned()
    }
}

impl Pattern {
    /// Splits `text` into consecutive matches, each with the position of its first character, from 1.
    ///
    /// # Errors
    /// The first position without a match.
    pub(super) fn cut<'a>(&self, text: &'a str) -> Result<Vec<(usize, &'a str)>, Uncut> {
        let (mut tokens, mut at, mut column) = (Vec::new(), 0, 1);
        while at < text.len() {
            let found = self.0.find_at(text, at);
            let Some(found) = found.filter(|found| found.start() == at && !found.is_empty()) else {
                let rest: String = text[at..].chars().take(12).collect();
                return Err(Uncut {
                    column,
                    why: format!(
                        "found `{rest}`, expected a match of the pattern `{}`; give it an alternative for that, or `.` as the \
                         last one",
                        self.0.as_str()
                    ),
                });
            };
            tokens.push((column, found.as_str()));
            column += found.as_str().chars().count();
            at = found.end();
        }
        Ok(tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Result<Pattern, String> {
        text.to_owned().try_into()
    }

    /// Fails if a match may begin later, alternatives are tried in another order, or columns count bytes.
    #[test]
    fn a_text_is_cut_into_matches_or_shown_where_there_is_none() {
        let functions = pattern(r"sin\(|exp\(|.").unwrap();
        let cut = functions.cut("ä+sin(x)").unwrap();
        assert_eq!(cut, [(1, "ä"), (2, "+"), (3, "sin("), (7, "x"), (8, ")")]);
        let smiles = pattern(r"\[[^\]]+\]|Br|Cl|[BCNOSPFIbcnops()=#/\\]|%\d\d|\d").unwrap();
        let cut = smiles.cut("CBrC[C@@H]%12").unwrap();
        let tokens: Vec<&str> = cut.iter().map(|&(_, token)| token).collect();
        assert_eq!(tokens, ["C", "Br", "C", "[C@@H]", "%12"]);
        let uncut = smiles.cut("CC*C").unwrap_err();
        assert_eq!(uncut.column, 3);
        assert!(
            uncut
                .why
                .starts_with("found `*C`, expected a match of the pattern `"),
            "{}",
            uncut.why
        );
        // an empty match before the `a` does not count
        assert_eq!(pattern(r"\b|a").unwrap().cut("a").unwrap_err().column, 1);
        assert_eq!(smiles.cut(""), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_pattern_or_matches_nothing_is_refused() {
        let told = pattern("sin(|.").unwrap_err();
        assert!(told.contains("`sin(|.` (unclosed group)"), "{told}");
        let told = pattern("a*").unwrap_err();
        assert!(told.contains("matches the empty text"), "{told}");
    }
}
