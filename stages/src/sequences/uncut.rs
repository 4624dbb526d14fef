//! What tokenisers say of a text that they cannot cut.

/// What cannot be cut into tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uncut {
    /// The character, from 1, where it begins.
    pub column: usize,
    /// What was found there, and what was expected.
    pub why: String,
}
