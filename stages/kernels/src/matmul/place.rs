//! Where the rows of a product go.

/// The row of the output that each row of a product becomes.
pub(crate) trait Place: Copy + Sync {
    /// Whether all rows stay where they are.
    const IN_ORDER: bool;
    /// Where `row` goes; no other row goes there.
    fn of(&self, row: usize) -> usize;
}

/// Rows stay where they are.
#[derive(Clone, Copy)]
pub(crate) struct InOrder;

impl Place for InOrder {
    const IN_ORDER: bool = true;

    #[inline(always)]
    fn of(&self, row: usize) -> usize {
        row
    }
}
