//! Histograms with bins of equal width.

/// The share of values in each bin, divided by the bin's width, so that the area is the share of
/// values in the range.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    range: (f64, f64),
    densities: Vec<f64>,
}

impl Histogram {
    /// Counts `values` over `range` in `bins` bins. Values outside the range are in the total, but
    /// in no bin.
    pub fn of(values: &[f64], range: (f64, f64), bins: usize) -> Self {
        let width = (range.1 - range.0) / bins as f64;
        let mut counts = vec![0.0; bins];
        for value in values.iter().filter(|v| (range.0..=range.1).contains(*v)) {
            // the last bin includes its upper end
            let bin = ((value - range.0) / width) as usize;
            counts[bin.min(bins - 1)] += 1.0;
        }
        let all = values.len().max(1) as f64 * width;
        counts.iter_mut().for_each(|count| *count /= all);
        Self {
            range,
            densities: counts,
        }
    }

    /// The largest density.
    pub fn highest(&self) -> f64 {
        self.densities.iter().copied().fold(0.0, f64::max)
    }

    /// Its outline from left to right, starting and ending at zero.
    pub fn outline(&self) -> Vec<(f64, f64)> {
        let (low, high) = self.range;
        let bins = self.densities.len();
        let edge = |i: usize| low + (high - low) * i as f64 / bins as f64;
        let mut corners = vec![(low, 0.0)];
        for (i, density) in self.densities.iter().enumerate() {
            corners.extend([(edge(i), *density), (edge(i + 1), *density)]);
        }
        corners.push((high, 0.0));
        corners
    }
}

/// The number of bins for `count` values: Rice's cube root rule, within bounds.
pub fn bins_for(count: usize) -> usize {
    ((2.0 * (count as f64).cbrt()) as usize).clamp(8, 40)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_is_the_share_inside_and_ends_belong_to_the_outer_bins() {
        let values = [0.0, 0.1, 0.6, 1.0, 7.0];
        let histogram = Histogram::of(&values, (0.0, 1.0), 2);
        assert_eq!(histogram.densities, [0.8, 0.8]);
        let area: f64 = histogram.densities.iter().map(|d| d * 0.5).sum();
        assert!((area - 0.8).abs() < 1e-12);
        assert_eq!(histogram.highest(), 0.8);
    }

    #[test]
    fn an_outline_starts_and_ends_at_zero() {
        let outline = Histogram::of(&[0.5, 1.5, 1.6], (0.0, 2.0), 2).outline();
        let third = 1.0 / 3.0;
        let expected = [
            (0.0, 0.0),
            (0.0, third),
            (1.0, third),
            (1.0, 2.0 * third),
            (2.0, 2.0 * third),
            (2.0, 0.0),
        ];
        assert_eq!(outline.len(), expected.len());
        for (found, expected) in outline.iter().zip(expected) {
            assert!((found.0 - expected.0).abs() + (found.1 - expected.1).abs() < 1e-12);
        }
    }

    #[test]
    fn no_values_are_no_area() {
        assert_eq!(Histogram::of(&[], (0.0, 1.0), 3).highest(), 0.0);
        assert_eq!(
            (bins_for(0), bins_for(1000), bins_for(1_000_000)),
            (8, 20, 40)
        );
    }
}
