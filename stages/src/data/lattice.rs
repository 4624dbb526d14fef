//! Detection of columns with few distinct values: a density of features on a lattice is unbounded.

use super::scan::Scan;

/// Columns with more distinct values are not a lattice.
const MOST_VALUES: usize = 256;
/// Minimum mean frequency of a value; below it, there are too few rows to tell.
const TIMES: usize = 4;
/// Number of rows examined, from the start: enough to tell, in bounded time.
const LOOKED_AT: usize = 4096;

/// Distinct values per column, as long as they are few.
pub(super) struct Values {
    /// By column, ascending by their bits; None if there are more than [`MOST_VALUES`].
    of_columns: Vec<Option<Vec<u32>>>,
    /// Number of columns with few values so far.
    few: usize,
    rows: usize,
}

impl Values {
    pub(super) fn new(width: usize) -> Self {
        Self {
            of_columns: vec![Some(Vec::new()); width],
            few: width,
            rows: 0,
        }
    }

    /// Adds finite rows, row-major [n, width].
    pub(super) fn add(&mut self, rows: &[f32]) {
        for row in rows.chunks_exact(self.of_columns.len()) {
            if self.few == 0 || self.rows == LOOKED_AT {
                return;
            }
            self.rows += 1;
            for (column, value) in self.of_columns.iter_mut().zip(row) {
                let Some(known) = column else { continue };
                // 0 and -0 are one value
                let bits = (value + 0.0).to_bits();
                if let Err(place) = known.binary_search(&bits) {
                    known.insert(place, bits);
                    if known.len() > MOST_VALUES {
                        *column = None;
                        self.few -= 1;
                    }
                }
            }
        }
    }

    /// The columns, ascending, whose few values repeat; columns with one value are constant, not a
    /// lattice.
    pub(super) fn lattice(&self) -> Vec<usize> {
        let again = |values: &Vec<u32>| values.len() > 1 && TIMES * values.len() <= self.rows;
        let columns = self.of_columns.iter().enumerate();
        columns
            .filter(|(_, values)| values.as_ref().is_some_and(again))
            .map(|(column, _)| column)
            .collect()
    }
}

/// The warning for features at `place` whose density is to be learnt, if any lie on a lattice.
pub(super) fn warning(scan: &Scan, place: &str) -> Option<String> {
    let first = scan.lattice_columns.first()?;
    Some(format!(
        "{place}: {} of {} columns have few distinct values (the first is column {first}): a \
         density over such a lattice can grow without bound, so likelihoods mean little and a \
         flow may concentrate on it. Add uniform noise as wide as a step of the lattice \
         (dequantisation; for integer levels by `pretrain_flow.noise: {{kind: uniform}}`), or \
         leave out columns that only count or label",
        scan.lattice_columns.len(),
        scan.width
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails if a column with few rows, one value, or many values is reported as a lattice.
    #[test]
    fn columns_of_values_that_come_again_are_found() {
        let rows = |count: usize| -> Vec<f32> {
            let row = |i: usize| {
                let zero = if i.is_multiple_of(2) { 0.0 } else { -0.0 };
                let pixel = (i * 7 % 256) as f32 / 255.0;
                [zero, pixel, (i % 3) as f32, (i * 37 % 1009) as f32]
            };
            (0..count).flat_map(row).collect()
        };
        let of = |count: usize| {
            let mut values = Values::new(4);
            // in blocks, as in reading
            rows(count)
                .chunks(4 * 100)
                .for_each(|block| values.add(block));
            values.lattice()
        };
        assert_eq!(of(2000), [1, 2]);
        assert_eq!(of(1023), [2]);
        assert_eq!(of(11), [0usize; 0]);
    }
}
