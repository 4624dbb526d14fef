//! Permutation tests of two samples: sums over pairs, before and after labels are permuted.

use crate::random::Streams;
use rand::seq::SliceRandom;
use rayon::prelude::*;

/// A number for each pair of rows of two samples, one sample after the other, N rows in all.
pub struct Pairs {
    /// `[N, N]`.
    values: Vec<f32>,
    row_sums: Vec<f64>,
    all: f64,
    /// The sum over the pairs within each group.
    of_groups: Vec<f64>,
    /// Number of rows of the first sample.
    n: usize,
    /// Number of rows of the second sample.
    m: usize,
    group: usize,
}

/// Sums over ordered pairs of rows, including each row with itself.
pub struct Sums {
    /// Both rows from the first sample.
    pub within: f64,
    /// One row from each sample, in one order.
    pub between: f64,
    /// Both rows from the second sample.
    pub beyond: f64,
    /// The part of `within` and `beyond` from pairs in the same group.
    of_groups: [f64; 2],
}

impl Pairs {
    /// `value` of each pair of the rows of `first` [n, d] and `second` [m, d]; every `group` rows of each form a
    /// group.
    pub fn new(
        first: &[f32],
        second: &[f32],
        width: usize,
        group: usize,
        value: impl Fn(&[f32], &[f32]) -> f32 + Sync,
    ) -> Self {
        let rows: Vec<&[f32]> = first.chunks(width).chain(second.chunks(width)).collect();
        let (n, total) = (first.len() / width, rows.len());
        assert!(n.is_multiple_of(group) && total.is_multiple_of(group));
        let value = &value;
        let values: Vec<f32> = (rows.par_iter())
            .flat_map_iter(|x| rows.iter().map(move |y| value(x, y)))
            .collect();
        Self::of(values, n, total - n, group)
    }

    fn of(values: Vec<f32>, n: usize, m: usize, group: usize) -> Self {
        let total = n + m;
        // collected in order before each sum, so that the result does not depend on threads
        let row_sums: Vec<f64> = (values.par_chunks(total))
            .map(|row| row.iter().map(|&d| f64::from(d)).sum())
            .collect();
        let of_groups = (0..total / group)
            .map(|g| {
                let members = g * group..(g + 1) * group;
                let row = |i: usize| &values[i * total..][members.clone()];
                let of_row = |i| row(i).iter().map(|&d| f64::from(d)).sum::<f64>();
                members.clone().map(of_row).sum()
            })
            .collect();
        Self {
            all: row_sums.iter().sum(),
            values,
            row_sums,
            of_groups,
            n,
            m,
            group,
        }
    }

    /// Maps every pair's number.
    pub fn map(&self, value: impl Fn(f32) -> f32 + Sync) -> Self {
        let values = self.values.par_iter().map(|&v| value(v)).collect();
        Self::of(values, self.n, self.m, self.group)
    }

    /// The numbers of all pairs of different rows, in unspecified order.
    pub fn of_different_rows(&self) -> impl Iterator<Item = f32> {
        let total = self.n + self.m;
        (0..total).flat_map(move |i| {
            self.values[i * total + i + 1..(i + 1) * total]
                .iter()
                .copied()
        })
    }

    /// The sums with the groups `first`, ascending, as the first sample.
    fn sums(&self, first: &[usize]) -> Sums {
        let total = self.n + self.m;
        let members = |g: &usize| g * self.group..(g + 1) * self.group;
        let rows: Vec<usize> = first.iter().flat_map(members).collect();
        let within: f64 = (rows.iter())
            .map(|&i| {
                let row = &self.values[i * total..(i + 1) * total];
                rows.iter().map(|&j| f64::from(row[j])).sum::<f64>()
            })
            .sum();
        let touched: f64 = rows.iter().map(|&i| self.row_sums[i]).sum();
        let between = touched - within;
        let of_first: f64 = first.iter().map(|&g| self.of_groups[g]).sum();
        let of_all: f64 = self.of_groups.iter().sum();
        Sums {
            within,
            between,
            beyond: self.all - within - 2.0 * between,
            of_groups: [of_first, of_all - of_first],
        }
    }

    /// Numbers of rows of the first and the second sample.
    pub fn rows(&self) -> [f64; 2] {
        [self.n as f64, self.m as f64]
    }

    /// The sums of the samples as given.
    pub fn given(&self) -> Sums {
        self.sums(&(0..self.n / self.group).collect::<Vec<_>>())
    }

    /// Applies `statistic` to the sums of each of `permutations` random permutations of whole groups.
    pub fn relabelled<T: Send>(
        &self,
        permutations: usize,
        streams: Streams,
        statistic: impl Fn(&Sums) -> T + Sync,
    ) -> Vec<T> {
        let of = |permutation| statistic(&self.sums(&self.drawn(permutation, streams)));
        (0..permutations as u64).into_par_iter().map(of).collect()
    }

    /// As [`Self::relabelled`], for a `statistic` of the rows' labels: whether each is in the first sample.
    pub fn relabelled_rows<T: Send>(
        &self,
        permutations: usize,
        streams: Streams,
        statistic: impl Fn(&[bool]) -> T + Sync,
    ) -> Vec<T> {
        let of = |permutation| statistic(&self.labels(&self.drawn(permutation, streams)));
        (0..permutations as u64).into_par_iter().map(of).collect()
    }

    /// Random groups, ascending, as many as the first sample has.
    fn drawn(&self, permutation: u64, streams: Streams) -> Vec<usize> {
        let mut groups: Vec<usize> = (0..self.total() / self.group).collect();
        let mut rng = streams.at("permutation", permutation);
        let (first, _) = groups.partial_shuffle(&mut rng, self.n / self.group);
        first.sort_unstable();
        first.to_vec()
    }

    /// Whether each row is in one of the groups `first`.
    fn labels(&self, first: &[usize]) -> Vec<bool> {
        let mut labels = vec![false; self.total()];
        for group in first {
            labels[group * self.group..(group + 1) * self.group].fill(true);
        }
        labels
    }

    /// Whether each row is in the first sample as given.
    pub fn given_labels(&self) -> Vec<bool> {
        (0..self.total()).map(|row| row < self.n).collect()
    }

    /// Number of rows in both samples.
    pub fn total(&self) -> usize {
        self.n + self.m
    }

    /// The numbers of `row` paired with each row.
    pub fn of_row(&self, row: usize) -> &[f32] {
        &self.values[row * self.total()..(row + 1) * self.total()]
    }

    /// Whether two rows are in the same group; each row is with itself.
    pub fn in_one_group(&self, one: usize, other: usize) -> bool {
        one / self.group == other / self.group
    }

    /// Mean over pairs within the first sample, within the second, and between them, without pairs in the same
    /// group: unbiased for any number of rows.
    pub fn unbiased_means(&self, sums: &Sums) -> [f64; 3] {
        let (n, m, group) = (self.n as f64, self.m as f64, self.group as f64);
        [
            (sums.within - sums.of_groups[0]) / (n * (n - group)),
            (sums.beyond - sums.of_groups[1]) / (m * (m - group)),
            sums.between / (n * m),
        ]
    }

    /// Mean over pairs of different rows of the second sample.
    pub fn mean_of_second(&self) -> f64 {
        let (n, total) = (self.n, self.n + self.m);
        let sum: f64 = (n..total)
            .map(|i| {
                let row = &self.values[i * total + n..(i + 1) * total];
                row.iter().map(|&d| f64::from(d)).sum::<f64>()
            })
            .sum();
        sum / (self.m * (self.m - 1)) as f64
    }
}

/// The p-value of `found`, if large values are evidence against equal distributions: the share of permuted values,
/// counting `found` itself, that are at least as large.
pub fn p_value(found: f64, relabelled: &[f64]) -> f64 {
    let as_large = relabelled.iter().filter(|&&r| r >= found).count();
    (as_large + 1) as f64 / (relabelled.len() + 1) as f64
}

/// The central 95 % interval of permuted values.
pub fn null_interval(mut relabelled: Vec<f64>) -> [f64; 2] {
    relabelled.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| relabelled[((relabelled.len() - 1) as f64 * share).round() as usize];
    [at(0.025), at(0.975)]
}

/// |a - b|.
pub fn euclidean(a: &[f32], b: &[f32]) -> f32 {
    (a.iter().zip(b))
        .map(|(a, b)| (a - b).powi(2))
        .sum::<f32>()
        .sqrt()
}
