//! Number and validity of rows.

use latent_align_stages::data::{Ingest, Scan};
use latent_align_stages::{Error, Result};

/// The largest power of two that is at most `most` and half of `rows`.
pub fn batch(rows: u64, most: u64) -> u64 {
    let half = (rows / 2).clamp(1, most);
    1 << half.ilog2()
}

/// The steps of `passes` over `rows` in batches of `batch`.
pub fn steps(passes: u64, rows: u64, batch: u64) -> u64 {
    let steps = passes * rows / batch;
    steps.next_multiple_of(100).clamp(1000, 20_000)
}

/// What to tell of equal rows, after other facts.
pub fn equal_rows(scan: &Scan) -> String {
    match scan.equal_rows {
        None | Some(0) => String::new(),
        Some(equal) => {
            format!(", {equal} equal to an earlier one (equal rows stay in one part of the split)")
        }
    }
}

/// An error if a scan left rows out.
pub fn refuse_non_finite(ingest: &Ingest) -> Result<()> {
    let scan = &ingest.scan;
    let Some((row, column)) = scan.first_non_finite else {
        return Ok(());
    };
    let name = ingest.dataset.name().trim_start_matches('/');
    Err(Error::input(format!(
        "{}: found {} NaN and {} infinite values in {} rows, the first at row {row}, column {column}; expected \
         finite numbers. Write the file again without these rows, with numpy: `x = x[np.isfinite(x).reshape(\
         len(x), -1).all(1)]`; or write the configuration for a clean copy of `{name}` and leave such rows \
         out with `non_finite: drop`",
        ingest.dataset.describe(),
        scan.nan,
        scan.infinite,
        scan.dropped_rows
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_at_most_half_of_the_rows() {
        for (rows, most, expected) in [
            (100, 256, 32),
            (512, 256, 256),
            (1_000_000, 256, 256),
            (3, 128, 1),
        ] {
            assert_eq!(batch(rows, most), expected);
        }
    }
}
