//! Nearest-neighbour search among many rows.

use rayon::prelude::*;

/// Numbers summed in parallel.
const LANES: usize = 16;

/// Continues the search for the row nearest to each of `queries`, row-major of `width`, among `candidates`, which
/// `row` looks up. `nearest` holds the squared distance and index of the nearest row so far; the first among equals
/// stays.
pub fn nearest_rows<'a>(
    queries: &[f32],
    width: usize,
    candidates: &[usize],
    row: impl Fn(usize) -> &'a [f32] + Sync,
    nearest: &mut [(f32, usize)],
) {
    let queries = queries.par_chunks(width);
    queries.zip(nearest).for_each(|(query, nearest)| {
        for &candidate in candidates {
            let distance = squared(query, row(candidate));
            if distance < nearest.0 {
                *nearest = (distance, candidate);
            }
        }
    });
}

/// The squared distance of two rows.
fn squared(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    let (a, b) = (a.chunks(LANES), b.chunks(LANES));
    for (a, b) in a.zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += (a - b) * (a - b);
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails if numbers after the last sixteen are ignored, a later block replaces a nearer row, or a row outside
    /// the candidates is found.
    #[test]
    fn the_nearest_candidate_of_all_blocks_is_found() {
        let width = 19;
        let rows: Vec<f32> = (0..5 * width)
            .map(|i| {
                if i % width == 18 {
                    (i / width) as f32
                } else {
                    1.0
                }
            })
            .collect();
        let row = |i: usize| &rows[i * width..(i + 1) * width];
        let query = |last: f32| [&[1.0; 18][..], &[last]].concat();
        let queries = [query(1.9), query(3.2)].concat();
        let mut nearest = [(f32::INFINITY, 0); 2];
        nearest_rows(&queries, width, &[0, 1], row, &mut nearest);
        nearest_rows(&queries, width, &[4], row, &mut nearest);
        let [(first, one), (second, four)] = nearest;
        assert_eq!((one, four), (1, 4));
        assert!((first - 0.81).abs() < 1e-5 && (second - 0.64).abs() < 1e-5);
    }
}
