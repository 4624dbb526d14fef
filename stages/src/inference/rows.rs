//! Reading rows of a dataset, with errors that say how to fix rows a model cannot use.

use crate::data::{Dataset, Element};
use crate::error::{Error, Result};

/// Data whose maximum is below this fraction of the divisor has probably been divided already.
const ALREADY_DIVIDED: f64 = 1.0 / 16.0;

/// The valid range of values.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// Divisor of the training data, its largest value.
    pub maximum: f64,
    /// Whether values must lie between 0 and the maximum.
    pub bounded: bool,
}

/// Calls `work` with the rows of `dataset` from row `from` on, at most `step` at a time, and the index of
/// the first.
///
/// # Errors
/// Input errors for values that are not finite or out of `range`; file errors; errors of `work`.
pub fn each(
    dataset: &Dataset,
    from: usize,
    step: usize,
    range: Option<Range>,
    mut work: impl FnMut(usize, &[f32]) -> Result<()>,
) -> Result<()> {
    let width = dataset.item_width();
    dataset.each_block(from, |items, values| {
        refuse_non_finite(dataset, items.start, values)?;
        if let Some(range) = range {
            range.check(dataset, items.start, values)?;
        }
        let starts = items.step_by(step);
        for (first, rows) in starts.zip(values.chunks(step * width)) {
            work(first, rows)?;
        }
        Ok(())
    })
}

/// Reports the first value that is not finite among `values`, rows of `dataset` from row `first` on.
///
/// # Errors
/// An input error that names it.
pub(super) fn refuse_non_finite(dataset: &Dataset, first: usize, values: &[f32]) -> Result<()> {
    let Some(at) = values.iter().position(|value| !value.is_finite()) else {
        return Ok(());
    };
    let width = dataset.item_width();
    Err(Error::input(format!(
        "{}: found {} in row {}, number {}, expected finite numbers; clean the file, or leave such rows out of \
         it",
        dataset.describe(),
        values[at],
        first + at / width,
        at % width
    )))
}

impl Range {
    fn check(self, dataset: &Dataset, first: usize, values: &[f32]) -> Result<()> {
        let Self { maximum, bounded } = self;
        let place = dataset.describe();
        let limits = 0.0..=maximum as f32;
        if bounded && let Some(at) = values.iter().position(|value| !limits.contains(value)) {
            let fix = match dataset.element() {
                Element::U8 if maximum == 1.0 => {
                    "divide it by 255 with numpy: `(x / 255).astype(\"float32\")`"
                }
                _ => "bring the data to the range of the run's training data",
            };
            return Err(Error::input(format!(
                "{place}: found {} in row {}, expected 0 to {maximum}, the range that the autoencoder was \
                 trained on; {fix}",
                values[at],
                first + at / dataset.item_width(),
            )));
        }
        let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let is_real = dataset.element() != Element::U8;
        let divided = f64::from(most) <= (maximum * ALREADY_DIVIDED).min(1.0);
        if first == 0 && is_real && maximum > 1.0 && most > 0.0 && divided {
            return Err(Error::input(format!(
                "{place}: found values of at most {most}, expected up to {maximum}, as in the data that the \
                 autoencoder was trained on; it divides by {maximum} itself: multiply the data by {maximum}"
            )));
        }
        Ok(())
    }
}
