//! Statistics over rounds.

use std::fmt;

/// The median of measurements, with minimum and maximum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub greatest: f64,
}

impl Spread {
    /// # Panics
    /// If there are no measurements.
    pub fn of(measured: impl IntoIterator<Item = f64>) -> Self {
        Self::of_any(measured).expect("at least one")
    }

    /// None if there are no measurements.
    pub fn of_any(measured: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = measured.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (n, last) = (sorted.len(), sorted.len().checked_sub(1)?);
        Some(Self {
            median: (sorted[last / 2] + sorted[n / 2]) / 2.0,
            least: sorted[0],
            greatest: sorted[last],
        })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let Self {
            median,
            least,
            greatest,
        } = self;
        write!(
            f,
            "{median:.digits$} ({least:.digits$} to {greatest:.digits$})"
        )
    }
}

/// The target of a ratio.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    at_least: f64,
    hoped_for: f64,
}

impl Ask {
    pub const fn new(at_least: f64, hoped_for: f64) -> Self {
        Self {
            at_least,
            hoped_for,
        }
    }

    /// The verdict on the median in a word or two.
    pub fn verdict(&self, found: Spread) -> &'static str {
        if found.median >= self.hoped_for {
            "as hoped"
        } else if found.median >= self.at_least {
            "pass"
        } else {
            "miss"
        }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "at least {}, hoped for {}",
            self.at_least, self.hoped_for
        )
    }
}
