//! Whether the best variant leads by more than chance.

use latent_align_stages::numerics::{mean, student_quantile, variance_of_mean};

/// The probability that any two equal variants seem to differ by chance alone.
const LEVEL: f64 = 0.05;

/// How the best variant compares with the others, seed by seed.
#[derive(Debug, Clone, PartialEq)]
pub enum Lead<'a> {
    /// It is the only one with all its seeds.
    Alone,
    /// Every variant has one seed, which says nothing about chance.
    OneSeed,
    /// It is better than the others by more than chance.
    Clear {
        /// The number of the others.
        others: usize,
        /// The number of seeds.
        seeds: usize,
    },
    /// The differences from these may be chance.
    Chance {
        /// The number of seeds.
        seeds: usize,
        /// The variants, in the order of the sweep.
        with: Vec<&'a str>,
    },
}

impl<'a> Lead<'a> {
    /// The lead of `best` over `others`: values of one figure by variant, for the same seeds in the same order.
    ///
    /// Paired t-tests of the differences, two-sided, at a level of 5 % for all of them together (Bonferroni). The best
    /// is chosen by the same values, so that all pairs count, not only its own.
    pub fn of(best: &[f64], others: &[(&'a str, &[f64])]) -> Self {
        let seeds = best.len();
        match (others.len(), seeds) {
            (0, _) => return Self::Alone,
            (_, 0 | 1) => return Self::OneSeed,
            _ => {}
        }
        let count = others.len() as f64;
        let pairs = 0.5 * count * (count + 1.0);
        let share = 1.0 - 0.5 * LEVEL / pairs;
        let reach = student_quantile(share, seeds as f64 - 1.0);
        let is_chance = |values: &[f64]| {
            let differences: Vec<f64> = values.iter().zip(best).map(|(a, b)| a - b).collect();
            mean(&differences).abs() <= reach * variance_of_mean(&differences).sqrt()
        };
        let with = others.iter().filter(|other| is_chance(other.1));
        let with: Vec<&str> = with.map(|other| other.0).collect();
        match with.is_empty() {
            true => Self::Clear {
                others: others.len(),
                seeds,
            },
            false => Self::Chance { seeds, with },
        }
    }

    /// It in words.
    pub fn told(&self) -> String {
        match self {
            Self::Alone => "the only variant that could be compared".into(),
            Self::OneSeed => "one seed each, so differences may be chance".into(),
            Self::Clear { others, seeds } => match others {
                1 => format!("better than the other variant beyond chance ({seeds} seeds)"),
                _ => format!("better than the {others} others beyond chance ({seeds} seeds)"),
            },
            Self::Chance { seeds, with } => {
                format!("not distinguishable by {seeds} seeds from {}", listed(with))
            }
        }
    }
}

/// The first names, and how many more there are.
fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Detects: unpaired errors (the seeds spread ten times the difference), and a z-test in place of t.
    #[test]
    fn seeds_are_paired_and_few_seeds_prove_little() {
        let best = [1.0, 11.0, 21.0];
        let worse: Vec<f64> = [1.1, 0.9, 1.0]
            .iter()
            .zip(best)
            .map(|(d, b)| b + d)
            .collect();
        let clear = Lead::of(&best, &[("worse", &worse)]);
        let (others, seeds) = (1, 3);
        assert_eq!(clear, Lead::Clear { others, seeds });
        // 2.3 standard errors: beyond chance by z (1.96), not by t with two degrees of freedom (4.30)
        let close: Vec<f64> = [0.1, 1.0, 1.0]
            .iter()
            .zip(best)
            .map(|(d, b)| b + d)
            .collect();
        let chance = Lead::of(&best, &[("worse", &worse), ("close", &close)]);
        let with = vec!["close"];
        assert_eq!(chance, Lead::Chance { seeds: 3, with });
        assert_eq!(Lead::of(&best, &[]), Lead::Alone);
        assert_eq!(Lead::of(&[1.0], &[("b", &[2.0])]), Lead::OneSeed);
        assert!(matches!(
            Lead::of(&best, &[("equal", &best)]),
            Lead::Chance { .. }
        ));
    }

    /// How often the best of `count` equal variants seems better than another by chance.
    /// Detects: tests at 5 % each, by which one of nine equal variants nearly always seems worse.
    #[test]
    fn equal_variants_are_rarely_distinguished() {
        let mut state = 7_u64;
        let mut uniform = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let mut normal = || (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
        let (rounds, count, seeds) = (400, 10, 3);
        let mut wrong = 0;
        for _ in 0..rounds {
            let values: Vec<Vec<f64>> = (0..count)
                .map(|_| (0..seeds).map(|_| normal()).collect())
                .collect();
            let best = (0..count).min_by(|a, b| mean(&values[*a]).total_cmp(&mean(&values[*b])));
            let best = best.unwrap();
            let others: Vec<(&str, &[f64])> = (0..count)
                .filter(|i| *i != best)
                .map(|i| ("other", values[i].as_slice()))
                .collect();
            let all = others.len();
            let kept = match Lead::of(&values[best], &others) {
                Lead::Chance { with, .. } => with.len(),
                _ => 0,
            };
            wrong += usize::from(kept < all);
        }
        assert!(wrong <= 7 * rounds / 100, "{wrong} of {rounds}");
    }
}
