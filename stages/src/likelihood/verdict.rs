//! Whether a surrogate can be trusted over a region, in words.

use super::agreement::Agreement;
use crate::figures::estimate_nll::VERDICT;

/// What a surrogate is good for over a region. Ordered from worst to best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It does not even rank points as the NLL does.
    Fails,
    /// It ranks points as the NLL does, and says little about differences.
    RanksOnly,
    /// Differences of the surrogate are differences of the NLL: in nats if it is in nats, else in
    /// proportion.
    Holds,
}

/// The thresholds, for whoever reads the verdict.
pub const THRESHOLDS: &str = "\
holds: Spearman and Pearson >= 0.95 and, for a surrogate in nats, a slope of 0.9 to 1.1; \
ranks only: Spearman >= 0.8; fails: less; against the analytic NLL where a density is known, else the ODE's. \
Correlations count by the low end of their 95 % intervals.";

const HOLDS: f64 = 0.95;
const RANKS: f64 = 0.8;
const SLOPE: std::ops::RangeInclusive<f64> = 0.9..=1.1;

impl Verdict {
    /// The verdict on a surrogate that agrees so with the NLL; `in_nats` if it estimates the NLL itself.
    pub fn on(agreement: &Agreement, in_nats: bool) -> Self {
        let slope = !in_nats || SLOPE.contains(&agreement.slope.value);
        // NaN, where a side does not vary, fails every comparison
        if agreement.spearman.low >= HOLDS && agreement.pearson.low >= HOLDS && slope {
            Self::Holds
        } else if agreement.spearman.low >= RANKS {
            Self::RanksOnly
        } else {
            Self::Fails
        }
    }

    /// What the names of figures that are verdicts end in, after the region and the weighting.
    pub const FIGURE: &str = VERDICT;

    /// As a figure.
    pub fn figure(self) -> f64 {
        f64::from(self as u8)
    }

    /// The verdict that a figure's value stands for, if it is one.
    pub fn from_figure(value: f64) -> Option<Self> {
        let all = [Self::Fails, Self::RanksOnly, Self::Holds];
        all.into_iter().find(|verdict| verdict.figure() == value)
    }

    /// What tables call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fails => "fails",
            Self::RanksOnly => "ranks only",
            Self::Holds => "holds",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::likelihood::agreement;
    use crate::random::Streams;

    #[test]
    fn each_word_has_its_case() {
        let y: Vec<f64> = (0..400).map(|i| f64::from(i) / 100.0).collect();
        let noise = Streams::new(0).normal("test", 0, 400);
        let judge = |surrogate: &dyn Fn(f64, f64) -> f64, in_nats| {
            let x: Vec<f64> = (y.iter().zip(&noise))
                .map(|(y, e)| surrogate(*y, f64::from(*e)))
                .collect();
            Verdict::on(&agreement(&[x], &y, 1, Streams::new(1)), in_nats)
        };
        assert_eq!(judge(&|y, e| y + 0.1 * e, true), Verdict::Holds);
        assert_eq!(judge(&|y, _| 3.0 * y + 1.0, false), Verdict::Holds);
        assert_eq!(judge(&|y, _| 3.0 * y + 1.0, true), Verdict::RanksOnly);
        assert_eq!(judge(&|y, _| y.exp(), false), Verdict::RanksOnly);
        assert_eq!(judge(&|y, e| y + 3.0 * e, false), Verdict::Fails);
        assert_eq!(judge(&|_, _| 1.0, false), Verdict::Fails);
    }
}
