//! Buffers of a thread.

/// Buffers for packed operands.
pub(crate) struct Scratch<T> {
    pub(super) a: Vec<T>,
    pub(super) b: Vec<T>,
}
