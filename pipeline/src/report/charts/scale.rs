//! From values to pixels: percentile ranges, scales, and round numbers for ticks.

/// The percentile `share` of the finite `values`, linearly interpolated; none if there are none.
pub fn percentile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let place = share * last as f64;
    let below = place as usize;
    let above = sorted[(below + 1).min(last)];
    Some(sorted[below] + (above - sorted[below]) * (place - below as f64))
}

/// The range of finite `values` between two percentiles, never empty; none if there are none.
pub fn range(values: &[f64], low: f64, high: f64) -> Option<(f64, f64)> {
    let (low, high) = (percentile(values, low)?, percentile(values, high)?);
    let size = low.abs().max(high.abs());
    Some(if high - low > 1e-6 * size {
        (low, high)
    } else {
        let half = if size > 0.0 { 0.05 * size } else { 1.0 };
        (low - half, high + half)
    })
}

/// `range` extended by `share` of its length on each side.
pub fn widened((low, high): (f64, f64), share: f64) -> (f64, f64) {
    let more = share * (high - low);
    (low - more, high + more)
}

/// A scale from values to pixels.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    values: (f64, f64),
    pixels: (f64, f64),
    logarithmic: bool,
    /// The smallest distance of ticks.
    least_step: f64,
}

impl Scale {
    /// A linear scale.
    pub fn linear(values: (f64, f64), pixels: (f64, f64)) -> Self {
        Self {
            values,
            pixels,
            logarithmic: false,
            least_step: 0.0,
        }
    }

    /// A logarithmic scale of positive values.
    pub fn logarithmic(values: (f64, f64), pixels: (f64, f64)) -> Self {
        Self {
            values,
            pixels,
            logarithmic: true,
            least_step: 0.0,
        }
    }

    /// The same with ticks at integers only.
    pub fn of_whole(self) -> Self {
        Self {
            least_step: 1.0,
            ..self
        }
    }

    /// The pixel of a value.
    pub fn place(&self, value: f64) -> f64 {
        let bend = |v: f64| if self.logarithmic { v.ln() } else { v };
        let (low, high) = (bend(self.values.0), bend(self.values.1));
        let share = (bend(value) - low) / (high - low);
        self.pixels.0 + share * (self.pixels.1 - self.pixels.0)
    }

    /// Whether a value is in the range.
    pub fn holds(&self, value: f64) -> bool {
        (self.values.0..=self.values.1).contains(&value)
    }

    /// The scale in the format that the page's script reads: values and pixels of its ends, and `log`
    /// if it is logarithmic.
    pub fn told(&self) -> String {
        let ((low, high), (first, last)) = (self.values, self.pixels);
        let kind = if self.logarithmic { " log" } else { "" };
        format!("{low:.7e} {high:.7e} {first:.1} {last:.1}{kind}")
    }

    /// Its ends.
    pub fn values(&self) -> (f64, f64) {
        self.values
    }

    /// About `count` round values in the range, with their labels.
    pub fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        let (low, high) = self.values;
        if self.logarithmic {
            for digits in [&[1.0][..], &[1.0, 3.0], &[1.0, 2.0, 5.0]] {
                let ticks = decades(low, high, digits);
                if ticks.len() >= 3 {
                    let every = ticks.len().div_ceil(2 * count);
                    return ticks.into_iter().step_by(every).map(labelled).collect();
                }
            }
        }
        let step = round_step((high - low) / count.max(1) as f64).max(self.least_step);
        let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
        let largest = exponent(low.abs().max(high.abs()));
        (first..=last)
            .map(|i| i as f64 * step)
            .map(|v| (v, minus(written(v, largest, exponent(step)))))
            .collect()
    }
}

/// `value` formatted among ticks whose largest value and whose distance have these exponents.
fn written(value: f64, largest: i32, step: i32) -> String {
    let digits = |exponent: i32| usize::try_from(exponent - step).unwrap_or(0);
    match value {
        _ if (-4..6).contains(&largest) => format!("{value:.*}", digits(0)),
        0.0 => "0".to_owned(),
        _ => format!("{value:.*e}", digits(exponent(value.abs()))),
    }
}

/// The power of ten of a size, tolerant of rounding just below a power.
fn exponent(size: f64) -> i32 {
    (size * 1.000_001).log10().floor() as i32
}

/// 1, 2 or 5 times a power of ten, close to `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powi(exponent(step));
    let digit = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|d| d * power >= step * 0.7);
    digit.unwrap_or(10.0) * power
}

/// `digits` times the powers of ten, from `low` to `high`.
fn decades(low: f64, high: f64, digits: &[f64]) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    (first..=last)
        .flat_map(|power| digits.iter().map(move |d| d * 10f64.powi(power)))
        .filter(|v| (low * 0.9999..=high * 1.0001).contains(v))
        .collect()
}

fn labelled(value: f64) -> (f64, String) {
    let text = if (1e-3..1e5).contains(&value) {
        let decimals = (-value.log10().floor()).max(0.0) as usize;
        format!("{value:.decimals$}")
    } else {
        format!("{value:.0e}")
    };
    (value, minus(text))
}

/// A number with a typographic minus; zero has none.
fn minus(text: String) -> String {
    match text.strip_prefix('-') {
        Some(size) if size.bytes().all(|b| b"0.".contains(&b)) => size.to_owned(),
        Some(size) => format!("\u{2212}{}", size.replace('-', "\u{2212}")),
        None => text.replace('-', "\u{2212}"),
    }
}

/// A value of an interval or correlation: two decimals, more for small values.
pub fn short(value: f64) -> String {
    let size = value.abs();
    let decimals = match size {
        s if s >= 100.0 => 0,
        s if s >= 0.1 || s == 0.0 => 2,
        _ => 3,
    };
    minus(format!("{value:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale) -> Vec<String> {
        scale.ticks(5).into_iter().map(|t| t.1).collect()
    }

    #[test]
    fn percentiles_lie_between_neighbours_and_skip_what_is_not_finite() {
        let values = [4.0, f64::NAN, 1.0, 3.0, f64::INFINITY, 2.0];
        assert_eq!(percentile(&values, 0.0), Some(1.0));
        assert_eq!(percentile(&values, 0.5), Some(2.5));
        assert_eq!(percentile(&values, 1.0), Some(4.0));
        assert_eq!(percentile(&[f64::NAN], 0.5), None);
    }

    #[test]
    fn a_range_is_never_empty() {
        for value in [0.0, 1.0, -1e9] {
            let (low, high) = range(&[value, value], 0.005, 0.995).unwrap();
            assert!(low < value && value < high, "{low} {high}");
        }
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let scale = |low, high| Scale::linear((low, high), (0.0, 100.0));
        assert_eq!(
            labels(scale(-1.2, 1.1)),
            ["−1.0", "−0.5", "0.0", "0.5", "1.0"]
        );
        assert_eq!(
            labels(scale(0.0, 5000.0)),
            ["0", "1000", "2000", "3000", "4000", "5000"]
        );
        assert_eq!(labels(scale(2.5351, 2.5359)).len(), 4);
        assert_eq!(labels(scale(-0.1, 2.1).of_whole()), ["0", "1", "2"]);
        assert_eq!(
            labels(scale(0.0, 3e-7)),
            [
                "0", "5e−8", "1.0e−7", "1.5e−7", "2.0e−7", "2.5e−7", "3.0e−7"
            ]
        );
    }

    #[test]
    fn logarithmic_ticks_are_decades_or_parts_of_one() {
        let scale = |low, high| Scale::logarithmic((low, high), (0.0, 100.0));
        assert_eq!(labels(scale(0.02, 30.0)), ["0.1", "1", "10"]);
        assert_eq!(labels(scale(1.5, 12.0)), ["2", "5", "10"]);
        assert_eq!(scale(0.01, 100.0).place(1.0).round(), 50.0);
    }

    #[test]
    fn values_stand_between_the_ends() {
        let scale = Scale::linear((0.0, 2.0), (100.0, 0.0));
        assert_eq!(scale.place(0.5), 75.0);
        assert!(scale.holds(2.0) && !scale.holds(2.1) && !scale.holds(f64::NAN));
    }

    #[test]
    fn short_numbers() {
        assert_eq!(
            [0.5481, -12.345, 0.034_2, 312.4].map(short),
            ["0.55", "−12.35", "0.034", "312"]
        );
    }
}
