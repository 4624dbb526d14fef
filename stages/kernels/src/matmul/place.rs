//! Where the rows of a product go.

/// The row of the output that each row of a product becomes.
pub(crate) trait Place: Copy + Sync {
    /// Where `row` goes, and how many rows from it on are written at equal distances; no two go to one place.
    fn run(&self, row: usize) -> Run;
}

/// Rows evenly apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Run {
    /// Where the first goes.
    pub(crate) first: usize,
    /// From one to the next.
    pub(crate) step: usize,
    /// How many they are.
    pub(crate) rows: usize,
}

/// Rows stay where they are.
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

/// Calls `visit` with each of some rows, and where it goes.
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
