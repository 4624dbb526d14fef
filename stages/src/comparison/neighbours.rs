//! Whether two samples follow one distribution: whose rows are nearest to a row (Schilling 1986; Henze 1988).
//!
//! Energy and kernel tests compare at the scale of the whole sample, and hardly see what is wrong at a smaller one, such
//! as points that lie beside the curve or the surface that features lie on. Neighbours do.

use super::relabelling::{Pairs, null_interval, p_value};
use crate::random::Streams;
use rand::seq::SliceRandom;
use rayon::prelude::*;

/// Neighbours of each row that count.
const NEIGHBOURS: usize = 5;

/// What the nearest-neighbour test says of two samples.
#[derive(Debug, Clone, PartialEq)]
pub struct NeighbourTest {
    /// The share of the nearest neighbours of rows, five of each, that are of the row's own sample: about a half where
    /// the distributions are equal and the samples as large, 1 where the samples lie apart.
    pub share: f64,
    /// Where 95 % of relabelled samples have it.
    pub null: [f64; 2],
    /// The share of random relabellings that have it at least as large.
    pub p_value: f64,
}

/// Compares two samples with the `distances` between their rows, by `permutations` relabellings of whole groups. Rows of
/// one group are no neighbours; of rows that are equally near, chance decides. Takes O((n + m)^2) time.
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

/// The nearest rows to `row` of other groups; of equally near ones those of the lower rank.
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

    /// `count` points on a circle of radius 1, off it by `noise`.
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

    /// Red for a test at the scale of the sample, such as the energy test, which sees nothing here.
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

    /// Red where equally near rows are taken in the order of the samples, or rows of one group are neighbours: each of
    /// these stands four times beside itself.
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
        // at 5 %, more than 9 in 0.1 % of the draws
        assert!(rejected <= 9, "{rejected}");
        let equal = test(&[1.0; 80], &[1.0; 80], 1, 0);
        assert!(
            (0.3..0.7).contains(&equal.share) && equal.p_value > 0.01,
            "{equal:?}"
        );
    }
}
