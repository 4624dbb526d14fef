//! Figures of a table of points and rules, with 95 % intervals by the two-way jackknife.
//!
//! A surrogate is the mean of several independent rules of draws that all points share, so a figure varies
//! with the points *and* with the draws. Leaving out a rule, a block of points, or both estimates the
//! variance due to each, and what was counted twice. With few rules, intervals need Student's t. For a
//! mean this is the analysis of variance of two crossed factors (Owen, "The pigeonhole bootstrap", Annals
//! of Applied Statistics 1(2), 2007, explains why resampling both ways would count the interaction three
//! times).

use super::statistics::{mean, student};
use crate::random::Streams;
use rand::seq::SliceRandom;
use rayon::prelude::*;

/// A figure with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Estimate from all points and rules.
    pub value: f64,
    /// Lower end (2.5 %).
    pub low: f64,
    /// Upper end (97.5 %).
    pub high: f64,
}

/// The scale on which a figure is approximately symmetric.
#[derive(Debug, Clone, Copy)]
pub enum Scale {
    /// The identity.
    Plain,
    /// A correlation: Fisher's z. A rank correlation of 1 is known only to be nearer to 1 than the next
    /// smaller value; `short` is half of that step, so that one exchange of ranks is not an infinite
    /// change.
    Correlation {
        /// Distance from 1 substituted for an exact 1.
        short: f64,
    },
    /// A positive number: its logarithm.
    Positive,
}

impl Scale {
    /// For continuous correlations, up to the precision of f64.
    pub const CORRELATION: Self = Self::Correlation { short: 1e-15 };

    fn to(self, value: f64) -> f64 {
        match self {
            Self::Plain => value,
            Self::Correlation { short } => value.clamp(short - 1.0, 1.0 - short).atanh(),
            Self::Positive => value.ln(),
        }
    }

    fn back(self, value: f64) -> f64 {
        match self {
            Self::Plain => value,
            Self::Correlation { .. } => value.tanh(),
            Self::Positive => value.exp(),
        }
    }
}

/// The part of the data that a figure is computed from.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    /// The points, ascending.
    pub points: &'a [usize],
    /// The omitted rule, if any.
    pub without: Option<usize>,
}

/// Number of blocks of points that are left out in turn.
const BLOCKS: usize = 32;

/// `figures` of the points 0 to `count`, measured by `rules` independent rules, each with its interval.
/// Every `group` consecutive points belong together, such as the tokens of one image, and are left out
/// together, in random blocks from `streams`. Intervals of fewer than two groups are NaN.
pub fn intervals<const K: usize>(
    (count, group, rules): (usize, usize, usize),
    streams: Streams,
    scales: [Scale; K],
    figures: impl Fn(Kept) -> [f64; K] + Sync,
) -> [Interval; K] {
    let groups = count / group;
    if groups == 0 {
        let value = f64::NAN;
        return [Interval {
            value,
            low: value,
            high: value,
        }; K];
    }
    let blocks = BLOCKS.min(groups);
    let mut dealt: Vec<usize> = (0..groups).map(|i| i % blocks).collect();
    dealt.shuffle(&mut streams.at("jackknife", 0));
    // the points left without each block; the first entry omits none
    let kept: Vec<Vec<usize>> = (0..=blocks)
        .map(|left| {
            (0..groups * group)
                .filter(|point| dealt[point / group] + 1 != left)
                .collect()
        })
        .collect();
    let rules = if rules > 1 { rules } else { 0 };
    let columns = blocks + 1;
    let found: Vec<[f64; K]> = (0..(rules + 1) * columns)
        .into_par_iter()
        .map(|cell| {
            figures(Kept {
                points: &kept[cell % columns],
                without: (cell / columns).checked_sub(1),
            })
        })
        .collect();
    std::array::from_fn(|k| {
        let scale = scales[k];
        let at = |rule: usize, block: usize| scale.to(found[rule * columns + block][k]);
        let value = found[0][k];
        let error = Variance::of(&at, rules, blocks).half_width();
        Interval {
            value,
            low: scale.back(scale.to(value) - error),
            high: scale.back(scale.to(value) + error),
        }
    })
}

/// Variance of a figure by source.
struct Variance {
    rules: f64,
    points: f64,
    /// Counted in both of the above.
    both: f64,
    freedom: [f64; 2],
}

impl Variance {
    /// `at(r, b)` is the figure without rule r and block b; 0 omits none.
    fn of(at: &dyn Fn(usize, usize) -> f64, rules: usize, blocks: usize) -> Self {
        let share = |n: usize| (n as f64 - 1.0) / n as f64;
        let squares = |values: &[f64]| {
            let mean = mean(values);
            values.iter().map(|v| (v - mean).powi(2)).sum::<f64>()
        };
        let by_block: Vec<f64> = (1..=blocks).map(|b| at(0, b)).collect();
        let by_rule: Vec<f64> = (1..=rules).map(|r| at(r, 0)).collect();
        let freedom = [rules as f64 - 1.0, blocks as f64 - 1.0];
        let points = share(blocks) * squares(&by_block);
        if rules == 0 {
            let (rules, both) = (0.0, 0.0);
            return Self {
                rules,
                points,
                both,
                freedom,
            };
        }
        // the interaction of a rule and a block
        let mut rest: Vec<f64> = (1..=rules)
            .flat_map(|r| (1..=blocks).map(move |b| at(r, b) - at(r, 0) - at(0, b) + at(0, 0)))
            .collect();
        let of_rule: Vec<f64> = rest.chunks(blocks).map(mean).collect();
        let of_block: Vec<f64> = (0..blocks)
            .map(|b| rest.iter().skip(b).step_by(blocks).sum::<f64>() / rules as f64)
            .collect();
        let all = mean(&of_rule);
        for (i, value) in rest.iter_mut().enumerate() {
            *value += all - of_rule[i / blocks] - of_block[i % blocks];
        }
        let both = rest.iter().map(|v| v * v).sum::<f64>() * share(rules) * share(blocks);
        Self {
            rules: share(rules) * squares(&by_rule),
            points,
            both,
            freedom,
        }
    }

    /// Half-width of a 95 % interval, with Satterthwaite's degrees of freedom; NaN for a single block.
    fn half_width(&self) -> f64 {
        let [rules, points] = self.freedom;
        let total = self.rules + (self.points - self.both).max(0.0);
        if points < 1.0 || !total.is_finite() {
            return f64::NAN;
        }
        if total == 0.0 {
            return 0.0; // no variance
        }
        let mut spread = (self.points / total).powi(2) / points;
        if rules > 0.0 {
            spread += (self.rules / total).powi(2) / rules;
            spread += (self.both / total).powi(2) / points / rules;
        }
        student(1.0 / spread) * total.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The interval of the mean of a table of rules and points.
    fn of_mean(table: &[Vec<f64>]) -> Interval {
        let shape = (table[0].len(), 1, table.len());
        let [found] = intervals(shape, Streams::new(0), [Scale::Plain], |kept| {
            let rules = (table.iter().enumerate()).filter(|(r, _)| Some(*r) != kept.without);
            let means = rules.map(|(_, rule)| {
                kept.points.iter().map(|&p| rule[p]).sum::<f64>() / kept.points.len() as f64
            });
            [mean(&means.collect::<Vec<f64>>())]
        });
        found
    }

    #[test]
    fn an_interval_holds_the_truth_whichever_way_a_table_varies() {
        // variance by rules, by points, by neither alone
        for (by_rule, by_point, rest) in [(1.0, 0.1, 0.1), (0.1, 2.0, 0.1), (0.0, 0.0, 1.0)] {
            let (mut held, seeds) = (0, 400);
            for seed in 0..seeds {
                let streams = Streams::new(seed);
                let noise = |what: &str, count| streams.normal(what, 0, count);
                let (rules, points) = (noise("rules", 8), noise("points", 64));
                let cells = noise("cells", 8 * 64);
                let table: Vec<Vec<f64>> = (0..8)
                    .map(|r| {
                        (0..64)
                            .map(|p| {
                                f64::from(by_rule * rules[r])
                                    + f64::from(by_point * points[p])
                                    + f64::from(rest * cells[64 * r + p])
                            })
                            .collect()
                    })
                    .collect();
                let found = of_mean(&table);
                held += usize::from(found.low <= 0.0 && 0.0 <= found.high);
            }
            let share = held as f64 / seeds as f64;
            assert!(
                (0.92..=0.99).contains(&share),
                "{by_rule} {by_point}: {share}"
            );
        }
    }

    #[test]
    fn what_does_not_vary_has_an_interval_of_nothing_and_too_few_points_have_none() {
        let found = of_mean(&[vec![3.0; 8], vec![3.0; 8]]);
        assert_eq!([found.value, found.low, found.high], [3.0; 3]);
        let found = of_mean(&[vec![3.0]]);
        assert!(found.value == 3.0 && found.low.is_nan() && found.high.is_nan());
    }
}
