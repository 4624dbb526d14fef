//! Sums over rows, taken in segments of 64 rows.

use crate::level::for_each_level;
use crate::parallel::*;
use crate::shared::Shared;

/// Rows per partial sum.
pub(crate) const SEGMENT: usize = 64;
/// Minimum number of rows per task.
const TASK: usize = 16;

/// Rows split into segments that do not cross groups.
#[derive(Clone, Copy)]
pub(crate) struct Segments {
    rows_per_group: usize,
    per_group: usize,
    pub(crate) count: usize,
}

impl Segments {
    pub(crate) fn new(rows: usize, rows_per_group: usize) -> Self {
        let per_group = rows_per_group.div_ceil(SEGMENT);
        assert_eq!(rows % rows_per_group, 0, "groups differ in size");
        Self {
            rows_per_group,
            per_group,
            count: rows / rows_per_group * per_group,
        }
    }

    /// A segment's group, first row and number of rows.
    #[inline(always)]
    pub(crate) fn get(self, segment: usize) -> (usize, usize, usize) {
        let (group, part) = (segment / self.per_group, segment % self.per_group);
        let first = part * SEGMENT;
        let rows = SEGMENT.min(self.rows_per_group - first);
        (group, group * self.rows_per_group + first, rows)
    }

    /// The segment that starts at `row`.
    pub(crate) fn at(self, row: usize) -> usize {
        row / self.rows_per_group * self.per_group + row % self.rows_per_group / SEGMENT
    }

    /// Runs `task` on ranges of segments.
    pub(crate) fn for_each(self, task: impl Fn(std::ops::Range<usize>) + Sync) {
        let at_once = (TASK / self.rows_per_group.min(SEGMENT)).max(1);
        Numbers(self.count.div_ceil(at_once))
            .for_each(|i| task(i * at_once..((i + 1) * at_once).min(self.count)));
    }

    /// Adds sums over segments [count, width] to sums over groups.
    pub(crate) fn to_groups(self, sums: Vec<f32>, width: usize) -> Vec<f32> {
        if self.per_group == 1 {
            return sums;
        }
        let mut groups = vec![0.0; self.count / self.per_group * width];
        for (group, parts) in groups
            .chunks_mut(width)
            .zip(sums.chunks(self.per_group * width))
        {
            for part in parts.chunks(width) {
                add_row(part, group);
            }
        }
        groups
    }
}

/// Two sums over each segment, each [segments, width].
pub(crate) struct SegmentSums {
    segments: Segments,
    width: usize,
    sums: [Vec<f32>; 2],
}

impl SegmentSums {
    /// Zeros.
    pub(crate) fn new(segments: Segments, width: usize) -> Self {
        let zeros = || vec![0.0; segments.count * width];
        Self {
            segments,
            width,
            sums: [zeros(), zeros()],
        }
    }

    /// For tasks that each add to their own segments.
    pub(crate) fn shared(&mut self) -> [Shared<'_>; 2] {
        self.sums.each_mut().map(|sums| Shared::new(sums))
    }

    /// The sums over groups, each [groups, width].
    pub(crate) fn of_groups(self) -> [Vec<f32>; 2] {
        self.sums
            .map(|sums| self.segments.to_groups(sums, self.width))
    }
}

for_each_level! {
    /// `sums += row`.
    pub(crate) fn add_row(row: &[f32], sums: &mut [f32]) {
        for (sum, x) in sums.iter_mut().zip(row) {
            *sum += x;
        }
    }
}

/// The sum of the rows of `x` [rows, columns], by segments.
pub fn sum_of_rows(x: &[f32], columns: usize) -> Vec<f32> {
    let mut sums = RowSums::room(x, columns);
    together(&[&RowSums::new(x, columns, &mut sums)]);
    RowSums::total(&sums, columns)
}

/// Sums of the rows of each segment of `x` [rows, columns].
pub(crate) struct RowSums<'a> {
    x: &'a [f32],
    columns: usize,
    /// [segments, columns]
    sums: Shared<'a>,
}

impl<'a> RowSums<'a> {
    /// Zeros for the sums.
    pub(crate) fn room(x: &[f32], columns: usize) -> Vec<f32> {
        vec![0.0; x.len().div_ceil((SEGMENT * columns).max(1)) * columns]
    }

    /// Adds to `sums`, from [`Self::room`].
    pub(crate) fn new(x: &'a [f32], columns: usize, sums: &'a mut [f32]) -> Self {
        Self {
            x,
            columns,
            sums: Shared::new(sums),
        }
    }

    /// The sum of all rows.
    pub(crate) fn total(sums: &[f32], columns: usize) -> Vec<f32> {
        let mut total = vec![0.0; columns];
        for sums in sums.chunks_exact(columns.max(1)) {
            add_row(sums, &mut total);
        }
        total
    }
}

impl Job for RowSums<'_> {
    fn count(&self) -> usize {
        self.x.len().div_ceil((SEGMENT * self.columns).max(1))
    }

    fn run(&self, task: usize) {
        let size = SEGMENT * self.columns;
        let rows = &self.x[task * size..self.x.len().min((task + 1) * size)];
        // SAFETY: each task has the sums of its segment.
        let sums = unsafe { self.sums.part(task * self.columns, self.columns) };
        rows.chunks_exact(self.columns)
            .for_each(|row| add_row(row, sums));
    }
}
