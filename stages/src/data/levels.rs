//! Checks of integer-valued data such as pixels.

use super::ingest::Ingest;
use super::moments::{Accumulator, Moments};
use super::split::Part;
use crate::error::{Error, Result};
use latent_align_hdf5::Element;

impl Ingest {
    /// Refuses data with values that are not integers, for the setting `key`. Reads the data again, unless its type
    /// is an integer type.
    ///
    /// # Errors
    /// An input error that names the first such value; errors of reading.
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
                    "{key}: found {} in row {} of {}, expected integer levels 0, 1, 2, ...; \
                     multiply pixels in [0, 1] by 255 with numpy: `(255 * \
                     x).round().astype(\"uint8\")`, or use `noise: {{kind: gaussian, sigma: \
                     0.1}}`",
                    rows[at],
                    items[at / self.width()] - first,
                    dataset.describe()
                )))
            })?;
        }
        Ok(())
    }

    /// Refuses data with values outside of `levels` levels from 0 on, as set by `key`.
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
