//! The range of an array's values.

use latent_align_hdf5::OutData;
use std::fmt;

/// Range of the finite values, and the first one that is not finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tally {
    count: usize,
    least: f64,
    most: f64,
    not_finite: usize,
    /// The place of the first value that is not finite.
    first: Option<usize>,
}

impl Tally {
    /// Of no values.
    pub fn new() -> Self {
        Self {
            count: 0,
            least: f64::INFINITY,
            most: f64::NEG_INFINITY,
            not_finite: 0,
            first: None,
        }
    }

    /// Adds the next values.
    pub fn add(&mut self, values: OutData<'_>) {
        match values {
            OutData::F16(v) => self.add_all(v.iter().map(|v| v.to_f64())),
            OutData::F32(v) => self.add_all(v.iter().map(|&v| v.into())),
            OutData::F64(v) => self.add_all(v.iter().copied()),
            OutData::U8(v) => self.add_all(v.iter().map(|&v| v.into())),
            OutData::I64(v) => self.add_all(v.iter().map(|&v| v as f64)),
        }
    }

    fn add_all(&mut self, values: impl Iterator<Item = f64>) {
        for value in values {
            if value.is_finite() {
                self.least = self.least.min(value);
                self.most = self.most.max(value);
            } else {
                self.first.get_or_insert(self.count);
                self.not_finite += 1;
            }
            self.count += 1;
        }
    }

    /// The number of the first value that is not finite.
    pub fn first_not_finite(&self) -> Option<usize> {
        self.first
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |value: f64| {
            let text = format!("{value}");
            match (text.len() > 9, value.abs() < 1e-3 || value.abs() >= 1e9) {
                (false, _) => text,
                (true, true) => format!("{value:.3e}"),
                (true, false) => format!("{value:.4}"),
            }
        };
        match self.not_finite == self.count {
            true => f.write_str("no finite value")?,
            false => write!(f, "{} to {}", short(self.least), short(self.most))?,
        }
        match self.not_finite {
            0 => Ok(()),
            some => write!(f, ", {some} not finite"),
        }
    }
}
