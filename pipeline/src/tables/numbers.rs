//! Formatting of numbers.

/// A figure: integers in full, other numbers with five significant digits.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let size = value.abs();
    if value.fract() == 0.0 && size < 1e9 {
        return format!("{value:.0}");
    }
    if !(1e-4..1e9).contains(&size) {
        return format!("{value:.4e}");
    }
    let before = size.log10().floor() as i32 + 1;
    let after = usize::try_from(5 - before).unwrap_or(0);
    format!("{value:.after$}")
}

/// A figure with three significant digits.
pub fn brief(value: f64) -> String {
    let size = value.abs();
    if !(1e-4..1000.0).contains(&size) {
        return number(value);
    }
    let after = usize::try_from(2 - size.log10().floor() as i32).unwrap_or(0);
    format!("{value:.after$}")
}

/// The mean of `values` and their standard deviation (n - 1); NaN for too few values.
pub fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0)).sqrt())
}

/// `mean ± deviation`, with two digits of the deviation and as many decimals of the mean.
pub fn with_spread(mean: f64, deviation: f64) -> String {
    let digits = 1.0 - deviation.log10().floor();
    if !(mean.is_finite() && deviation > 0.0 && deviation.is_finite() && digits <= 8.0) {
        return format!("{} ± {}", number(mean), number(deviation));
    }
    let digits = digits.max(0.0) as usize;
    format!("{mean:.digits$} ± {deviation:.digits$}")
}

/// A duration, in milliseconds to days.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match seconds {
        s if s < 0.9995 => format!("{:.0} ms", s * 1e3),
        s if s < 59.95 => format!("{s:.1} s"),
        s if s < 3600.0 => format!("{} min {:02} s", whole / 60, whole % 60),
        s if s < 86_400.0 => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
        _ => format!("{} d {:02} h", whole / 86_400, whole / 3600 % 24),
    }
}

/// A size, in bytes to tebibytes.
pub fn bytes(size: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if size < 1024 {
        return format!("{size} B");
    }
    let mut value = size as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_five_digits() {
        for (value, text) in [
            (0.0, "0"),
            (1000.0, "1000"),
            (2.534_871, "2.5349"),
            (-12_345.678, "-12346"),
            (0.001_234_56, "0.0012346"),
            (1e-9, "1.0000e-9"),
            (f64::NAN, "NaN"),
        ] {
            let shown = number(value);
            assert!(
                shown.starts_with(text.trim_end_matches('6')),
                "{shown} for {text}"
            );
        }
    }

    #[test]
    fn brief_figures_have_three_digits() {
        for (value, text) in [
            (0.006_529_5, "0.00653"),
            (-22.517, "-22.5"),
            (0.38, "0.380"),
            (999.4, "999"),
            (0.0, "0"),
            (1234.5, "1234.5"),
        ] {
            assert_eq!(brief(value), text);
        }
    }

    #[test]
    fn a_spread_decides_the_digits() {
        for (mean, deviation, text) in [
            (22.416, 0.1834, "22.42 ± 0.18"),
            (0.006_531, 0.000_023_4, "0.006531 ± 0.000023"),
            (1234.5, 321.0, "1234 ± 321"),
            (1.5, 0.0, "1.5000 ± 0"),
            (f64::NAN, 1.0, "NaN ± 1"),
            (1.0, f64::NAN, "1 ± NaN"),
        ] {
            assert_eq!(with_spread(mean, deviation), text);
        }
    }

    #[test]
    fn durations_and_sizes() {
        assert_eq!(duration(0.25), "250 ms");
        assert_eq!(duration(12.34), "12.3 s");
        assert_eq!(duration(125.0), "2 min 05 s");
        assert_eq!(duration(7260.0), "2 h 01 min");
        assert_eq!(bytes(900), "900 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(5 << 30), "5.0 GiB");
    }
}
