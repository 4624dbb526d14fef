//! Verdicts on surrogates over a region.

use super::agreement::Agreement;
use crate::figures::estimate_nll::VERDICT;

/// Verdict on a surrogate over a region, from worst to best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It does not even rank points as the NLL does.
    Fails,
    /// It ranks points as the NLL does, but its differences are not reliable.
    RanksOnly,
    /// Differences of the surrogate equal differences of the NLL, or are proportional to them if the
    /// surrogate is not in nats.
    Holds,
}

/// The thresholds in words, for reports.
pub const THRESHOLDS: &str = "\
holds: Spearman and Pearson >= 0.95 and, for a surrogate in nats, a slope of 0.9 to 1.1; \
ranks only: Spearman >= 0.8; fails: less; against the analytic NLL where a density is known, else the ODE's. \
Correlations count by the low end of their 95 % intervals.";

const HOLDS: f64 = 0.95;
const RANKS: f64 = 0.8;
const SLOPE: std::ops::RangeInclusive<f64> = 0.9..=1.1;

impl Verdict {
    /// The verdict on a surrogate with this agreement; `in_nats` if it estimates the NLL itself.
    pub fn on(agreement: &Agreement, in_nats: bool) -> Self {
        let slope = !in_nats || SLOPE.contains(&agreement.slope.value);
        // NaN, if a side does not vary, fails every comparison
        if agreement.spearman.low >= HOLDS && agreement.pearson.low >= HOLDS && slope {
            Self::Holds
        } else if agreement.spearman.low >= RANKS {
            Self::RanksOnly
        } else {
            Self::Fails
        }
    }

    /// Suffix of the names of verdict figures, after the region and the weighting.
    pub const FIGURE: &str = VERDICT;

    /// The verdict as a number.
    pub fn figure(self) -> f64 {
        f64::from(self as u8)
    }

    /// The verdict of a figure's value, if valid.
    pub fn from_figure(value: f64) -> Option<Self> {
        let all = [Self::Fails, Self::RanksOnly, Self::Holds];
        all.into_iter().find(|verdict| verdict.figure() == value)
    }

    /// Its word in tables.
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
