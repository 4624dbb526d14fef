//! Nearest-neighbour two-sample test (Schilling 1986; Henze 1988).
//!
//! Energy and kernel tests compare samples at their overall scale and are insensitive to smaller structure, such as
//! points off the curve or surface of the features. Nearest neighbours detect it.

use super::relabelling::{Pairs, null_interval, p_value};
use crate::random::Streams;
use rand::seq::SliceRandom;
use rayon::prelude::*;

/// Neighbours per row.
const NEIGHBOURS: usize = 5;

/// Result of the nearest-neighbour test.
#[derive(Debug, Clone, PartialEq)]
pub struct NeighbourTest {
    /// The share of the five nearest neighbours of rows that belong to the row's own sample: about a half for equal
    /// distributions and sample sizes, 1 for separated samples.
    pub share: f64,
    /// Central 95 % interval under random permutations.
    pub null: [f64; 2],
    /// The share of permutations with a value at least as large.
    pub p_value: f64,
}

/// Compares two samples from the `distances` between their rows, by `permutations` permutations of whole groups.
/// Rows of the same group are not neighbours; ties are broken at random. Takes O((n + m)^2) time.
pub fn neighbour_test(distances: &Pairs, permutations: usize, streams: Streams) -> NeighbourTest {
    let total = distances.total();
    let mut ranks: Vec<u32> = (0..total as u32).collect();
    ranks.shuffle(&mut streams.at("equally near", 0));
    let nearest: Vec<Vec<u32>> = (0..total)
        .into_par_iter()
        .map(|row| nearest(distances, row, &ranks))
        .collect();
    let count: usize = nearest.iter().map(Vec::len).sum();
    let share = |first: &[bool]| {
        let of_row = |(row, near): (usize, &Vec<u32>)| -> usize {
            let own = |&&other: &&u32| first[other as usize] == first[row];
            near.iter().filter(own).count()
        };
        let own: usize = nearest.iter().enumerate().map(of_row).sum();
        own as f64 / count.max(1) as f64
    };
    let found = share(&distances.given_labels());
    let relabelled = distances.relabelled_rows(permutations, streams, share);
    NeighbourTest {
        share: found,
        p_value: p_value(found, &relabelled),
        null: null_interval(relabelled),
    }
}

/// The nearest rows of other groups to `row`; ties go to the lower rank.
fn nearest(distances: &Pairs, row: usize, ranks: &[u32]) -> Vec<u32> {
    let mut others: Vec<(f32, u32, u32)> = (distances.of_row(row).iter().enumerate())
        .filter(|(other, _)| !distances.in_one_group(row, *other))
        .map(|(other, &distance)| (distance, ranks[other], other as u32))
        .collect();
    let nearer = |a: &(f32, u32, u32), b: &(f32, u32, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
    if others.len() > NEIGHBOURS {
        others.select_nth_unstable_by(NEIGHBOURS - 1, nearer);
        others.truncate(NEIGHBOURS);
    }
    others.into_iter().map(|(_, _, other)| other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::{energy_test, relabelling::euclidean};

    fn test(first: &[f32], second: &[f32], group: usize, seed: u64) -> NeighbourTest {
        let distances = Pairs::new(first, second, 2, group, euclidean);
        neighbour_test(&distances, 199, Streams::new(seed))
    }

    /// `count` points on a circle of radius 1, with noise of `noise`.
    fn circle(seed: u64, count: usize, noise: f32) -> Vec<f32> {
        let streams = Streams::new(seed);
        let places = streams.normal("places", 0, count);
        let noises = streams.normal("noises", 0, count);
        (places.into_iter().zip(noises))
            .flat_map(|(place, off)| {
                let (sine, cosine) = (20.0 * place).sin_cos();
                [sine, cosine].map(|x| x * (1.0 + noise * off))
            })
            .collect()
    }

    /// Fails for a test at the scale of the sample, such as the energy test, which detects nothing here.
    #[test]
    fn points_beside_a_curve_are_found() {
        let (on, off) = (circle(0, 300, 0.01), circle(1, 300, 0.08));
        let found = test(&off, &on, 1, 0);
        assert!(found.p_value == 0.005 && found.share > 0.6, "{found:?}");
        let energy = energy_test(&off, &on, 2, 1, 199, Streams::new(0));
        assert!(energy.p_value > 0.05, "{energy:?}");
        let fresh = test(&circle(2, 300, 0.01), &on, 1, 0);
        assert!(fresh.p_value > 0.05, "{fresh:?}");
        assert!((fresh.null[0]..fresh.null[1]).contains(&fresh.share));
    }

    /// Fails if ties are broken by the order of samples, or rows of one group are neighbours: every row occurs four
    /// times.
    #[test]
    fn rows_that_repeat_each_other_are_no_evidence() {
        let rejected = (0..60)
            .filter(|&seed| {
                let fours = |seed| -> Vec<f32> {
                    let rows = circle(seed, 40, 0.1);
                    let rows = rows
                        .chunks(2)
                        .map(|row| [(4.0 * row[0]).round(), row[1].round()]);
                    rows.flat_map(|row| row.repeat(4)).collect()
                };
                test(&fours(2 * seed), &fours(2 * seed + 1), 4, seed).p_value <= 0.05
            })
            .count();
        // at 5 %, more than 9 occur in 0.1 % of the draws
        assert!(rejected <= 9, "{rejected}");
        let equal = test(&[1.0; 80], &[1.0; 80], 1, 0);
        assert!(
            (0.3..0.7).contains(&equal.share) && equal.p_value > 0.01,
            "{equal:?}"
        );
    }
}
