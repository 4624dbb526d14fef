//! Bits per dimension of the levels of test features under simple densities, as baselines for a flow.

use crate::context::Summary;
use crate::data::{Ingest, Moments, Part};
use crate::error::Result;
use crate::figures::{of_rows, pretrain_flow as names};
use crate::numerics::mean;
use crate::priors::{Batch, Flow, KeptPoints};
use crate::targets::GaussianMixture;
use std::f64::consts::LN_2;

/// Maximum number of dimensions for a covariance, whose factorisation would otherwise cost more than the flow.
const MOST_DIMENSIONS: usize = 1024;
/// Maximum number of cells of a histogram.
const MOST_CELLS: usize = 1 << 26;

/// Adds the figures of densities fitted to the training rows of `ingest`, evaluated on `count` of the features
/// `kept` of `part`, the ones whose NLL under `flow` is computed; `levels` are their raw rows.
///
/// # Errors
/// Errors of reading.
pub fn add(
    ingest: &Ingest,
    flow: &Flow,
    part: Part,
    (kept, levels): (&KeptPoints, &[f32]),
    count: usize,
    summary: &mut Summary,
) -> Result<()> {
    let (Some(undo), Some([least, most])) = (flow.normaliser.inverter(), flow.layout.range) else {
        return Ok(());
    };
    let at_most = count * flow.prior.shape().tokens;
    let dequantised = undo(&kept.some(at_most).values);
    if dequantised.is_empty() {
        return Ok(());
    }
    let chosen =
        Batch::new(levels.to_vec()).select(kept.tokens * kept.width, &kept.chosen(at_most));
    let (word, dimensions) = (part.word(), ingest.width());
    let known = (most - least) as usize + 1;
    summary.add(of_rows(word, names::UNIFORM_BITS), (known as f64).log2());
    if dimensions <= MOST_DIMENSIONS {
        let moments = ingest.covariance_of(Part::Train)?;
        if let Some(bits) = gaussian(moments, &dequantised) {
            summary.add(of_rows(word, names::GAUSSIAN_BITS), bits);
        }
    }
    if dimensions.saturating_mul(known) <= MOST_CELLS {
        let mut histogram = Histogram::new(dimensions, least, known);
        ingest.for_each_block(Part::Train, &mut |_, rows| {
            histogram.add(rows);
            Ok(())
        })?;
        let bits = histogram.bits(&chosen.values);
        summary.add(of_rows(word, names::HISTOGRAM_BITS), bits);
    }
    Ok(())
}

/// The mean bits per dimension of the `dequantised` rows [n, D] under a Gaussian with the `moments` of training
/// levels plus mean and variance of uniform noise; None if the covariance cannot be factorised.
fn gaussian(moments: Moments, dequantised: &[f32]) -> Option<f64> {
    let width = moments.mean.len();
    let mut covariance = moments.covariance?;
    covariance
        .iter_mut()
        .step_by(width + 1)
        .for_each(|v| *v += 1.0 / 12.0);
    let fitted = GaussianMixture {
        weights: vec![1.0],
        means: vec![moments.mean.iter().map(|m| m + 0.5).collect()],
        covariances: vec![covariance],
    };
    let density = fitted.density()?;
    let nats: Vec<f64> = (dequantised.chunks_exact(width))
        .map(|row| {
            let row: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
            -density.log_density(&row)
        })
        .collect();
    Some(mean(&nats) / (width as f64 * LN_2))
}

/// Counts of each level by dimension, plus one.
struct Histogram {
    least: f64,
    levels: usize,
    /// [D, levels].
    counts: Vec<u32>,
    rows: u64,
}

impl Histogram {
    fn new(dimensions: usize, least: f64, levels: usize) -> Self {
        Self {
            least,
            levels,
            counts: vec![1; dimensions * levels],
            rows: 0,
        }
    }

    /// The cell of `level` of dimension `d`; None outside of the range.
    fn cell(&self, d: usize, level: f32) -> Option<usize> {
        let number = f64::from(level) - self.least;
        let known = (0.0..self.levels as f64).contains(&number);
        known.then(|| d * self.levels + number as usize)
    }

    fn add(&mut self, rows: &[f32]) {
        let dimensions = self.counts.len() / self.levels;
        for row in rows.chunks_exact(dimensions) {
            self.rows += 1;
            for (d, &level) in row.iter().enumerate() {
                if let Some(cell) = self.cell(d, level) {
                    self.counts[cell] += 1;
                }
            }
        }
    }

    /// The mean bits per dimension of `rows` [n, D].
    fn bits(&self, rows: &[f32]) -> f64 {
        let dimensions = self.counts.len() / self.levels;
        let total = (self.rows + self.levels as u64) as f64;
        let of_number = |(at, &level): (usize, &f32)| {
            let cell = self.cell(at % dimensions, level);
            cell.map_or(f64::INFINITY, |cell| {
                (total / f64::from(self.counts[cell])).log2()
            })
        };
        rows.iter().enumerate().map(of_number).sum::<f64>() / rows.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: in the first dimension levels 0, 0 and 2 of three, in the second 1, 1 and 1.
    #[test]
    fn a_histogram_adds_one_to_every_count() {
        let mut histogram = Histogram::new(2, 0.0, 3);
        histogram.add(&[0.0, 1.0, 0.0, 1.0]);
        histogram.add(&[2.0, 1.0]);
        // probabilities 3/6, 1/6, 2/6 and 1/6, 4/6, 1/6
        let bits = |rows: &[f32]| histogram.bits(rows);
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found}");
        near(bits(&[0.0, 1.0]), 0.5 * (1.0 + 1.5f64.log2()));
        near(
            bits(&[1.0, 0.0, 2.0, 2.0]),
            0.25 * (3.0 * 6f64.log2() + 3f64.log2()),
        );
        assert_eq!(bits(&[3.0, 0.0]), f64::INFINITY);
    }

    /// By hand: levels 0 and 2 have mean 1 and variance 1, with noise 1.5 and 13/12. Fails if the noise's moments
    /// are missing.
    #[test]
    fn a_gaussian_is_that_of_dequantised_rows() {
        let moments = Moments::of_rows(&[0.0, 2.0], 1, true);
        let found = gaussian(moments, &[1.5, 0.25]).unwrap();
        let variance = 13.0f64 / 12.0;
        let peak = 0.5 * (std::f64::consts::TAU * variance).ln();
        let expected = (peak + 0.25 * 1.25f64.powi(2) / variance) / LN_2;
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }
}
