//! Errors of tokenisers.

/// A text that cannot be tokenised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uncut {
    /// Position of the first untokenisable character, from 1.
    pub column: usize,
    /// What was found, and what was expected.
    pub why: String,
}
