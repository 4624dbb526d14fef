//! Means, their errors, and quantiles.

use statrs::distribution::{ContinuousCDF, StudentsT};
use statrs::function::beta::inv_beta_reg;

pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The standard error of the mean of `values`, where every `group` consecutive values belong
/// together.
pub fn standard_error(values: &[f64], group: usize) -> f64 {
    let means: Vec<f64> = values.chunks_exact(group).map(mean).collect();
    variance_of_mean(&means).sqrt()
}

/// The square of the standard error of the mean of independent `values`.
pub fn variance_of_mean(values: &[f64]) -> f64 {
    let (n, m) = (values.len() as f64, mean(values));
    let squares: f64 = values.iter().map(|v| (v - m).powi(2)).sum();
    squares / (n - 1.0) / n
}

/// The 97.5th percentile of Student's t: the half-width of a 95 % interval in standard errors.
pub fn student(freedom: f64) -> f64 {
    student_quantile(0.975, freedom)
}

/// The quantile `p` of Student's t with `freedom` degrees of freedom.
pub fn student_quantile(p: f64, freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom.clamp(1.0, 1e6))
        .expect("positive degrees of freedom")
        .inverse_cdf(p)
}

/// The quantile `p` of an F variable with `a` and `b` degrees of freedom.
pub fn fisher(a: f64, b: f64, p: f64) -> f64 {
    let share = inv_beta_reg(0.5 * a, 0.5 * b, p);
    b * share / (a * (1.0 - share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_tables() {
        for (freedom, expected) in [(1.0, 12.7062), (7.0, 2.3646), (39.0, 2.0227)] {
            let found = student(freedom);
            assert!((found - expected).abs() < 1e-3, "{freedom}: {found}");
        }
        for (a, b, p, expected) in [
            (1.0, 7.0, 0.975, 8.0727),
            (4.0, 28.0, 0.975, 3.2863),
            (4.0, 28.0, 0.025, 0.11814),
        ] {
            let found = fisher(a, b, p);
            assert!((found / expected - 1.0).abs() < 2e-3, "{a} {b}: {found}");
        }
    }
}
