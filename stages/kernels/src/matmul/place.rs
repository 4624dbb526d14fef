//! Positions of a product's rows in the output.

/// Maps each row of a product to a row of the output.
pub(crate) trait Place: Copy + Sync {
    /// Output position of `row`, and the number of following rows that continue at equal distances. The
    /// mapping is injective.
    fn run(&self, row: usize) -> Run;
}

/// Evenly spaced rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Run {
    /// Position of the first row.
    pub(crate) first: usize,
    /// Distance between neighbouring rows.
    pub(crate) step: usize,
    pub(crate) rows: usize,
}

/// The identity mapping.
#[derive(Clone, Copy)]
pub(crate) struct InOrder;

impl Place for InOrder {
    #[inline(always)]
    fn run(&self, row: usize) -> Run {
        Run {
            first: row,
            step: 1,
            rows: usize::MAX,
        }
    }
}

/// Calls `visit` with each row of a range and its output position.
#[inline(always)]
pub(super) fn each<P: Place>(
    place: P,
    rows: std::ops::Range<usize>,
    mut visit: impl FnMut(usize, usize),
) {
    let mut row = rows.start;
    while row < rows.end {
        let run = place.run(row);
        let count = run.rows.min(rows.end - row);
        for i in 0..count {
            visit(row + i, run.first + i * run.step);
        }
        row += count;
    }
}
