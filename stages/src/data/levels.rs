//! Data of whole levels, as pixels are.

use super::ingest::Ingest;
use super::moments::{Accumulator, Moments};
use super::split::Part;
use crate::error::{Error, Result};
use latent_align_hdf5::Element;

impl Ingest {
    /// Refuses data that holds a value which is no whole number; `key` asks for such. Reads it again, unless its type
    /// says so.
    ///
    /// # Errors
    /// An input error that names the first value; errors of reading.
    pub fn require_levels(&self, key: &str) -> Result<()> {
        if self.dataset.element() == Element::U8 {
            return Ok(());
        }
        for part in Part::ALL {
            self.for_each_block(part, &mut |items, rows| {
                let Some(at) = rows.iter().position(|v| v.fract() != 0.0) else {
                    return Ok(());
                };
                let (dataset, first) = self.reader.stack.holder(items[at / self.width()]);
                Err(Error::input(format!(
                    "{key}: found {} in row {} of {}, expected whole levels 0, 1, 2, ...; multiply pixels in [0, 1] by 255 \
                     with numpy: `(255 * x).round().astype(\"uint8\")`, or take `noise: {{kind: gaussian, sigma: 0.1}}`",
                    rows[at],
                    items[at / self.width()] - first,
                    dataset.describe()
                )))
            })?;
        }
        Ok(())
    }

    /// Refuses data with values that are none of `levels` levels from 0 on; `key` says how many there are.
    ///
    /// # Errors
    /// An input error with the range of values.
    pub fn require_range(&self, levels: usize, key: &str) -> Result<()> {
        let [least, most] = self.scan.range();
        if least >= 0.0 && most <= levels as f64 - 1.0 {
            return Ok(());
        }
        let fix = match least >= 0.0 {
            true => format!("at least {} levels", most.ceil() + 1.0),
            false => "values from 0 on; shift them with numpy: `x - x.min()`".to_owned(),
        };
        Err(Error::input(format!(
            "{key}: found {levels} for {}, which holds values from {least} to {most}, expected {fix}",
            self.dataset.describe()
        )))
    }

    /// The moments of all rows of `part`, with their covariance.
    ///
    /// # Errors
    /// Errors of reading.
    pub fn covariance_of(&self, part: Part) -> Result<Moments> {
        let mut accumulator = Accumulator::new(self.width(), true);
        self.for_each_block(part, &mut |_, rows| {
            accumulator.add(rows);
            Ok(())
        })?;
        Ok(accumulator.moments())
    }
}
