//! The best variant: by the objective, among those that meet the constraints.
//!
//! A variant is judged by all its seeds. If not every seed finished with a finite figure, the variant is
//! excluded: the mean over the surviving seeds would be a biased figure.

use super::file::{Constraint, Objective};
use super::lead::Lead;
use crate::tables::mean_and_deviation;

/// A figure over the seeds of a variant.
#[derive(Debug, Clone, PartialEq)]
pub struct Seeds {
    /// Its values for the seeds that are finished and have a finite figure.
    pub finite: Vec<f64>,
    /// The number of seeds.
    pub count: usize,
}

impl FromIterator<Option<f64>> for Seeds {
    /// Collects the figure of each seed; none for one that is unfinished or lacks it.
    fn from_iter<T: IntoIterator<Item = Option<f64>>>(figures: T) -> Self {
        let mut seeds = Self {
            finite: Vec::new(),
            count: 0,
        };
        for figure in figures {
            seeds.count += 1;
            seeds
                .finite
                .extend(figure.filter(|value| value.is_finite()));
        }
        seeds
    }
}

impl Seeds {
    /// The mean, if every seed has the figure.
    pub fn mean(&self) -> Option<f64> {
        let is_whole = self.count > 0 && self.finite.len() == self.count;
        is_whole.then(|| mean_and_deviation(&self.finite).0)
    }

    /// How many seeds have it, as `2 of 3`, if some but not all do.
    pub fn lacking(&self) -> Option<String> {
        let found = self.finite.len();
        (found > 0 && found < self.count).then(|| format!("{found} of {}", self.count))
    }
}

/// The comparison of variants.
#[derive(Debug, PartialEq)]
pub struct Race<'a> {
    /// The best variant and its mean objective.
    pub best: Option<(&'a str, f64)>,
    /// Its lead over the others that count.
    pub lead: Lead<'a>,
    /// The number of others that have the objective but violate the constraints.
    pub unmet: usize,
    /// Variants with missing seeds, and how many they have.
    pub out: Vec<(&'a str, String)>,
}

/// Compares `variants`; `seeds` gives a figure of a variant over its seeds.
pub fn race<'a>(
    variants: impl Iterator<Item = &'a str>,
    objective: &Objective,
    constraints: &[Constraint],
    seeds: impl Fn(&str, &str) -> Seeds,
) -> Race<'a> {
    let mut race = Race {
        best: None,
        lead: Lead::Alone,
        unmet: 0,
        out: Vec::new(),
    };
    let mut counted: Vec<(&str, Vec<f64>)> = Vec::new();
    for variant in variants {
        let measured = seeds(variant, &objective.figure);
        let Some(value) = measured.mean() else {
            race.out
                .extend(measured.lacking().map(|some| (variant, some)));
            continue;
        };
        let mut figures = constraints.iter();
        if !figures.all(|c| c.is_met_by(seeds(variant, &c.figure).mean())) {
            race.unmet += 1;
            continue;
        }
        let is_better = race
            .best
            .is_none_or(|(_, best)| objective.direction.order(value, best).is_lt());
        if is_better {
            race.best = Some((variant, value));
        }
        counted.push((variant, measured.finite));
    }
    if let Some((best, _)) = race.best {
        let (best, others): (Vec<_>, Vec<_>) = counted.iter().partition(|of| of.0 == best);
        let others: Vec<(&str, &[f64])> = others.iter().map(|of| (of.0, &of.1[..])).collect();
        race.lead = Lead::of(&best[0].1, &others);
    }
    race
}

impl Race<'_> {
    /// The excluded variants, as `wide with 2 of 3 seeds`; empty if there are none.
    pub fn told_out(&self) -> String {
        let told = self.out.iter();
        let told: Vec<String> = told
            .map(|(variant, some)| format!("{variant} with {some} seeds"))
            .collect();
        told.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::Direction;
    use super::*;

    /// Three variants of three seeds: the smallest mean is that of the surviving seeds of `b`.
    fn seeds(variant: &str, figure: &str) -> Seeds {
        let values = match (variant, figure) {
            ("a", "error") => [Some(3.0), Some(3.0), Some(3.0)],
            ("b", "error") => [Some(1.0), Some(f64::NAN), Some(1.0)],
            ("c", "error") => [Some(2.0), Some(2.0), Some(2.0)],
            ("c", _) => [Some(9.0), None, Some(9.0)],
            ("d", "error") => [None, None, None],
            _ => [Some(9.0); 3],
        };
        values.into_iter().collect()
    }

    #[test]
    fn a_variant_whose_seeds_did_not_all_end_with_a_number_is_out_of_the_race() {
        let objective = Objective {
            figure: "error".into(),
            direction: Direction::Minimise,
        };
        let all = || ["a", "b", "c", "d"].into_iter();
        let free = race(all(), &objective, &[], seeds);
        assert_eq!(free.best, Some(("c", 2.0)));
        let (others, count) = (1, 3);
        assert_eq!(
            free.lead,
            Lead::Clear {
                others,
                seeds: count
            }
        );
        assert_eq!(free.told_out(), "b with 2 of 3 seeds");
        // nor do surviving seeds satisfy a constraint
        let constraint = Constraint {
            figure: "coverage".into(),
            at_least: Some(1.0),
            at_most: None,
        };
        let bound = race(all(), &objective, &[constraint], seeds);
        assert_eq!((bound.best, bound.unmet), (Some(("a", 3.0)), 1));
    }
}
