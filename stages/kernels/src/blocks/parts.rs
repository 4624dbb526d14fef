//! Splits rows into parts for tasks.

use crate::parallel::threads;
use std::ops::Range;

/// About how many rows a part has.
const AT_ONCE: usize = 96;

/// Parts of `rows` in groups of `per_group`: of whole groups, or inside one, there at multiples of `unit` rows.
pub(super) fn parts(rows: usize, per_group: usize, unit: usize) -> Vec<Range<usize>> {
    let groups = rows / per_group;
    let count = rows.div_ceil(AT_ONCE).next_multiple_of(threads());
    let split =
        |n: usize, parts: usize| (0..parts).map(move |i| i * n / parts..(i + 1) * n / parts);
    if groups >= count {
        let of_groups = split(groups, count);
        return of_groups
            .map(|of| of.start * per_group..of.end * per_group)
            .collect();
    }
    let units = per_group.div_ceil(unit);
    let pieces = count.div_ceil(groups).min(units);
    let of_group = |group: usize| {
        let row = move |of: usize| group * per_group + (of * unit).min(per_group);
        split(units, pieces).map(move |of| row(of.start)..row(of.end))
    };
    (0..groups).flat_map(of_group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red where rows are in no part or in two, or a part crosses a group or splits a unit.
    #[test]
    fn parts_cover_the_rows_and_keep_units_whole() {
        for (rows, per_group) in [
            (1, 1),
            (500, 1),
            (500, 500),
            (1000, 4),
            (390, 130),
            (600, 200),
            (12, 12),
        ] {
            for unit in [1, 64] {
                let parts = parts(rows, per_group, unit);
                let mut next = 0;
                for part in parts {
                    assert_eq!(part.start, next, "{rows} {per_group} {unit}");
                    let inside = part.start / per_group == (part.end - 1) / per_group;
                    let whole = part.start % per_group == 0 && part.end % per_group == 0;
                    assert!(inside || whole);
                    assert!(part.start % per_group % unit == 0);
                    next = part.end;
                }
                assert_eq!(next, rows);
            }
        }
    }
}
