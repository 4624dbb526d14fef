use super::covariance::JITTER;
use super::draw::draws;
use super::fit::{Fit, fit};
use super::kernel::{Family, Kernel};
use super::points::Points;
use super::posterior::{Posterior, Size};
use crate::random::{Streams, normal};
use nalgebra::{DMatrix, DVector};

const EXACT: Size = Size {
    exact: 1000,
    inducing: 1000,
};

/// `n` points of two tokens of three numbers, and a smooth function of the first token.
fn data(n: usize, step: u64) -> (Vec<f32>, Vec<f64>) {
    let rows = normal(&mut Streams::new(3).at("points", step), n * 6);
    let values = rows
        .chunks(6)
        .map(|row| f64::from(row[0]).sin() + 0.5 * f64::from(row[1] * row[2]).cos());
    let values = values.collect();
    (rows, values)
}

fn settings(family: Family) -> Fit {
    Fit {
        kernel: Kernel {
            family,
            lengths: vec![1.5, 2.5],
            variance: 0.8,
        },
        mean: 0.2,
        noise: 0.01,
    }
}

/// The covariance of two rows, computed independently.
fn covariance(fit: &Fit, a: &[f32], b: &[f32]) -> f64 {
    let square: f64 = (a.iter().zip(b).enumerate())
        .map(|(i, (a, b))| ((f64::from(*a) - f64::from(*b)) / fit.kernel.lengths[i / 3]).powi(2))
        .sum();
    let r = square.sqrt();
    let correlation = match fit.kernel.family {
        Family::Rbf => (-square / 2.0).exp(),
        Family::Matern => {
            let s = 5f64.sqrt() * r;
            (1.0 + s + 5.0 / 3.0 * square) * (-s).exp()
        }
    };
    fit.kernel.variance * correlation
}

#[test]
fn the_posterior_is_that_of_a_dense_solve() {
    let (train, values) = data(20, 0);
    let (test, _) = data(7, 1);
    for family in [Family::Rbf, Family::Matern] {
        let fit = settings(family);
        let posterior = Posterior::new(&fit, &Points::new(&train, 2, 3), &values, EXACT).unwrap();
        let rows: Vec<&[f32]> = train.chunks(6).collect();
        let noise = fit.noise + JITTER * fit.kernel.variance;
        let gram = DMatrix::from_fn(20, 20, |i, j| {
            let noise = if i == j { noise } else { 0.0 };
            covariance(&fit, rows[i], rows[j]) + noise
        });
        let inverse = gram.try_inverse().unwrap();
        let centred = DVector::from_iterator(20, values.iter().map(|v| v - fit.mean));
        let found = posterior.at(&posterior.locate(&Points::new(&test, 2, 3)));
        for (row, (mean, variance)) in test.chunks(6).zip(found) {
            let cross = DVector::from_iterator(20, rows.iter().map(|r| covariance(&fit, r, row)));
            let expected = fit.mean + cross.dot(&(&inverse * &centred));
            assert!((mean - expected).abs() < 1e-8, "{mean} {expected}");
            let expected = fit.kernel.variance - cross.dot(&(&inverse * &cross));
            assert!((variance - expected).abs() < 1e-8, "{variance} {expected}");
        }
    }
}

#[test]
fn with_every_point_inducing_the_variational_posterior_is_the_exact_one() {
    let (train, values) = data(60, 0);
    let (test, _) = data(9, 1);
    let (train, test) = (Points::new(&train, 2, 3), Points::new(&test, 2, 3));
    let fit = settings(Family::Matern);
    let exact = Posterior::new(&fit, &train, &values, EXACT).unwrap();
    let of = |inducing| {
        let size = Size {
            exact: 10,
            inducing,
        };
        let posterior = Posterior::new(&fit, &train, &values, size).unwrap();
        let pairs = (posterior.at(&posterior.locate(&test)).into_iter())
            .zip(exact.at(&exact.locate(&test)));
        pairs
            .map(|(a, b)| (a.0 - b.0).abs().max((a.1 - b.1).abs()))
            .fold(0.0, f64::max)
    };
    let (all, few) = (of(60), of(12));
    assert!(all < 1e-5, "{all}");
    assert!(few > 1e-2, "twelve points cannot stand for sixty: {few}");
}

#[test]
fn draws_have_the_mean_and_the_variance_of_the_posterior() {
    let (train, values) = data(30, 0);
    let (test, _) = data(4, 1);
    let (train, test) = (Points::new(&train, 2, 3), Points::new(&test, 2, 3));
    let fit = settings(Family::Matern);
    for size in [
        EXACT,
        Size {
            exact: 10,
            inducing: 20,
        },
    ] {
        let posterior = Posterior::new(&fit, &train, &values, size).unwrap();
        let mut rng = Streams::new(5).at("draws", 0);
        // 1,500 draws, each fifty of other frequencies
        let draws: Vec<_> = (0..30)
            .map(|_| draws(&posterior, &posterior.locate(&test), 50, 256, &mut rng))
            .collect();
        for (i, (mean, variance)) in posterior
            .at(&posterior.locate(&test))
            .into_iter()
            .enumerate()
        {
            let drawn = draws
                .iter()
                .flat_map(|draws| draws.row(i).iter().copied().collect::<Vec<_>>());
            let drawn: Vec<f64> = drawn.collect();
            let of_draws = drawn.iter().sum::<f64>() / 1500.0;
            let spread = drawn.iter().map(|d| (d - of_draws).powi(2)).sum::<f64>() / 1499.0;
            // five standard errors of 1,500 draws
            let bound = 5.0 * (variance / 1500.0).sqrt();
            assert!((of_draws - mean).abs() < bound, "{of_draws} {mean}");
            assert!(
                (spread / variance - 1.0).abs() < 0.25,
                "{spread} {variance}"
            );
        }
    }
}

#[test]
fn a_fit_finds_the_token_that_matters() {
    let (rows, values) = data(120, 0);
    let points = Points::new(&rows, 2, 3);
    let start = Fit::expected(Family::Matern, 2, 3);
    let fitted = fit(&start, &points, &values, 80).unwrap();
    let [matters, idle] = fitted.kernel.lengths[..] else {
        panic!("two tokens")
    };
    assert!(idle > 3.0 * matters, "{idle} {matters}");
    let (test, truth) = data(50, 1);
    let error = |fit: &Fit| -> f64 {
        let posterior = Posterior::new(fit, &points, &values, EXACT).unwrap();
        let found = posterior.at(&posterior.locate(&Points::new(&test, 2, 3)));
        (found.iter().zip(&truth))
            .map(|((mean, _), truth)| (mean - truth).powi(2))
            .sum()
    };
    assert!(error(&fitted) < 0.5 * error(&start));
}

#[test]
fn a_value_that_is_not_finite_is_an_error() {
    let (rows, mut values) = data(5, 0);
    values[3] = f64::NAN;
    let points = Points::new(&rows, 2, 3);
    let start = settings(Family::Rbf);
    assert!(fit(&start, &points, &values, 3).is_err());
    let (mut rows, values) = data(5, 0);
    rows[7] = f32::INFINITY;
    let points = Points::new(&rows, 2, 3);
    assert!(Posterior::new(&start, &points, &values, EXACT).is_err());
}
