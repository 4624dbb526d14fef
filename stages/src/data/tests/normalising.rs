//! The composition centre, whiten, project, whiten again, against its guarantees.

use super::normals;
use crate::data::{Linear, Moments, NormalisationConfig, Normaliser, Projection, Whiten};
use nalgebra::DMatrix;

/// Correlated rows [n, 5] of different scales, far from the origin.
fn rows(count: usize) -> Vec<f32> {
    let mixing = DMatrix::from_row_slice(5, 5, &normals(11, 25));
    let scales = [1.0, 10.0, 0.1, 3.0, 50.0];
    normals(12, count * 5)
        .chunks_exact(5)
        .flat_map(|z| {
            let x = &mixing * DMatrix::from_column_slice(5, 1, z);
            (0..5)
                .map(move |j| (100.0 + scales[j] * x[j]) as f32)
                .collect::<Vec<_>>()
        })
        .collect()
}

fn moments(rows: &[f32], width: usize) -> Moments {
    Moments::of_rows(rows, width, true)
}

fn config(whiten: Whiten, projection: Projection) -> NormalisationConfig {
    NormalisationConfig {
        centre: true,
        whiten,
        projection,
        levels: None,
        logit: None,
    }
}

fn largest_deviation(found: &[f64], expected: impl Fn(usize, usize) -> f64, width: usize) -> f64 {
    (found.iter().enumerate())
        .map(|(i, v)| (v - expected(i / width, i % width)).abs())
        .fold(0.0, f64::max)
}

fn identity(i: usize, j: usize) -> f64 {
    if i == j { 1.0 } else { 0.0 }
}

#[test]
fn full_whitening_gives_the_identity_covariance() {
    let data = rows(4000);
    for projection in [
        Projection::None,
        Projection::Random { width: 3 },
        Projection::Pca { width: 3 },
    ] {
        let fitted =
            Normaliser::fit(&config(Whiten::Full, projection), &moments(&data, 5), 7).expect("fit");
        let after = moments(&fitted.apply(&data), fitted.output_width);
        let width = fitted.output_width;
        assert!(
            after.mean.iter().all(|m| m.abs() < 1e-5),
            "{:?}",
            after.mean
        );
        let covariance = after.covariance.expect("asked for");
        assert!(
            largest_deviation(&covariance, identity, width) < 1e-4,
            "{covariance:?}"
        );
    }
}

#[test]
fn whitening_per_dimension_gives_unit_variances_before_and_after_a_projection() {
    let data = rows(4000);
    for projection in [
        Projection::None,
        Projection::Random { width: 4 },
        Projection::Pca { width: 2 },
    ] {
        let fitted = Normaliser::fit(
            &config(Whiten::PerDimension, projection),
            &moments(&data, 5),
            7,
        )
        .expect("fit");
        let after = moments(&fitted.apply(&data), fitted.output_width);
        assert!(
            after.variance.iter().all(|v| (v - 1.0).abs() < 1e-4),
            "{:?}",
            after.variance
        );
    }
}

#[test]
fn global_whitening_divides_by_one_number() {
    let data = rows(4000);
    let fitted = Normaliser::fit(
        &config(Whiten::Global, Projection::None),
        &moments(&data, 5),
        7,
    )
    .expect("fit");
    let Linear::Diagonal(scales) = &fitted.linear else {
        panic!("one number needs no matrix");
    };
    assert!(scales.iter().all(|s| *s == scales[0]));
    let after = moments(&fitted.apply(&data), 5);
    assert!((after.variance.iter().sum::<f64>() / 5.0 - 1.0).abs() < 1e-4);

    // Without centring it is the root mean square of the raw entries.
    let mut raw = config(Whiten::Global, Projection::None);
    raw.centre = false;
    let fitted = Normaliser::fit(&raw, &moments(&data, 5), 7).expect("fit");
    let squares: f64 = data.iter().map(|&v| f64::from(v).powi(2)).sum();
    let Linear::Diagonal(scales) = &fitted.linear else {
        panic!("one number needs no matrix");
    };
    let expected = (data.len() as f64 / squares).sqrt();
    assert!((scales[0] / expected - 1.0).abs() < 1e-9);
    assert!(fitted.mean.iter().all(|&m| m == 0.0));
}

#[test]
fn the_random_projection_has_variance_one_over_d_and_is_the_seeds() {
    let width = 400;
    let plain = Moments {
        rows: 10_000,
        mean: vec![0.0; width],
        variance: vec![1.0; width],
        covariance: None,
    };
    let projection = Projection::Random { width: 50 };
    let fit = |seed| Normaliser::fit(&config(Whiten::None, projection), &plain, seed).expect("fit");
    let fitted = fit(3);
    assert_eq!(fitted.projection_seed, Some(3));
    let entries = fitted.matrix();
    assert_eq!(entries.len(), 400 * 50);
    let scaled: Vec<f64> = entries.iter().map(|v| v * (width as f64).sqrt()).collect();
    let moment = |k: i32| scaled.iter().map(|v| v.powi(k)).sum::<f64>() / scaled.len() as f64;
    // Five standard errors at 20,000 entries.
    assert!(moment(1).abs() < 0.036, "{}", moment(1));
    assert!((moment(2) - 1.0).abs() < 0.05, "{}", moment(2));
    assert!((moment(4) - 3.0).abs() < 0.35, "{}", moment(4));
    assert_eq!(fit(3), fit(3));
    assert_ne!(fit(3).linear, fit(4).linear);
}

#[test]
fn pca_keeps_the_largest_variances_in_order() {
    let data = rows(4000);
    let before = moments(&data, 5);
    let fitted = Normaliser::fit(
        &config(Whiten::None, Projection::Pca { width: 3 }),
        &before,
        0,
    )
    .expect("fit");
    let after = moments(&fitted.apply(&data), 3);
    let covariance = DMatrix::from_row_slice(5, 5, &before.covariance.expect("asked for"));
    let mut eigenvalues: Vec<f64> = covariance.symmetric_eigenvalues().iter().copied().collect();
    eigenvalues.sort_by(|a, b| b.total_cmp(a));
    for (found, expected) in after.variance.iter().zip(&eigenvalues) {
        assert!((found / expected - 1.0).abs() < 1e-4, "{found} {expected}");
    }
    let full = Normaliser::fit(
        &config(Whiten::Full, Projection::Pca { width: 1 }),
        &moments(&data, 5),
        0,
    )
    .expect("fit");
    let parallel = |k: usize| full.matrix()[k] / fitted.matrix()[k * 3];
    assert!(
        (parallel(0) / parallel(4) - 1.0).abs() < 1e-6,
        "whitening must not hide the direction"
    );
}

#[test]
fn log_abs_det_is_the_volume_a_unit_cube_becomes() {
    let data = rows(4000);
    for whiten in [Whiten::Global, Whiten::PerDimension, Whiten::Full] {
        let fitted =
            Normaliser::fit(&config(whiten, Projection::None), &moments(&data, 5), 7).expect("fit");
        // Numerically: the Jacobian of apply by differences of exactly representable steps.
        let base = vec![96.0f32; 5];
        let start = fitted.apply(&base);
        let mut jacobian = DMatrix::zeros(5, 5);
        for j in 0..5 {
            let mut moved = base.clone();
            moved[j] += 64.0;
            for (i, (a, b)) in fitted.apply(&moved).iter().zip(&start).enumerate() {
                jacobian[(i, j)] = (f64::from(*a) - f64::from(*b)) / 64.0;
            }
        }
        let numeric = jacobian.determinant().abs().ln();
        let exact = fitted.log_abs_det().expect("square");
        assert!(
            (numeric - exact).abs() < 1e-3,
            "{whiten:?}: {numeric} {exact}"
        );
    }
    let narrow = Normaliser::fit(
        &config(Whiten::Full, Projection::Random { width: 2 }),
        &moments(&data, 5),
        7,
    )
    .expect("fit");
    assert_eq!(
        (narrow.log_abs_det(), narrow.inverse(&[0.0, 0.0])),
        (None, None)
    );
    assert_eq!(Normaliser::scale(3, 0.0).log_abs_det(), None);
    assert!(
        (Normaliser::scale(3, 0.5).log_abs_det().expect("square") - 3.0 * 0.5f64.ln()).abs()
            < 1e-15
    );
}

#[test]
fn the_inverse_returns_the_rows() {
    let data = rows(700);
    for whiten in [Whiten::None, Whiten::PerDimension, Whiten::Full] {
        let fitted = Normaliser::fit(
            &config(whiten, Projection::Random { width: 5 }),
            &moments(&data, 5),
            7,
        )
        .expect("fit");
        let back = fitted.inverse(&fitted.apply(&data)).expect("square");
        for (a, b) in back.iter().zip(&data) {
            assert!(
                (a - b).abs() < 2e-3 * b.abs().max(1.0),
                "{whiten:?}: {a} {b}"
            );
        }
    }
    assert_eq!(Normaliser::identity(2).apply(&[1.5, -2.0]), [1.5, -2.0]);
}

#[test]
fn apply_agrees_with_the_plain_sum_and_survives_storage() {
    let data = rows(1300);
    let fitted = Normaliser::fit(
        &config(Whiten::PerDimension, Projection::Random { width: 3 }),
        &moments(&data, 5),
        7,
    )
    .expect("fit");
    let stored = Normaliser::from_parts(
        fitted.mean.clone(),
        fitted.matrix(),
        fitted.output_width,
        fitted.projection_seed,
    )
    .expect("its own parts");
    assert_eq!(stored, fitted);
    let found = stored.apply(&data);
    let matrix = fitted.matrix();
    for row in [0, 511, 512, 1299] {
        for column in 0..3 {
            let sum: f64 = (0..5)
                .map(|k| (f64::from(data[row * 5 + k]) - fitted.mean[k]) * matrix[k * 3 + column])
                .sum();
            assert!((f64::from(found[row * 3 + column]) - sum).abs() < 1e-6);
        }
    }
    assert!(Normaliser::from_parts(vec![0.0; 2], vec![1.0; 3], 2, None).is_err());
    assert!(Normaliser::from_parts(vec![0.0], vec![f64::NAN], 1, None).is_err());
    let diagonal = Normaliser::scale(3, 0.25);
    let again = Normaliser::from_parts(diagonal.mean.clone(), diagonal.matrix(), 3, None);
    assert_eq!(again.expect("its own parts"), diagonal);
}

#[test]
fn what_cannot_be_whitened_is_refused_with_advice() {
    let refused =
        |config: &NormalisationConfig, moments: &Moments| match Normaliser::fit(config, moments, 0)
        {
            Err(crate::error::Error::Input(message)) => message,
            other => panic!("expected an input error, found {other:?}"),
        };
    let constant: Vec<f32> = (0..100)
        .flat_map(|i| [i as f32, 0.1, (i * i) as f32])
        .collect();
    let found = moments(&constant, 3);
    let message = refused(&config(Whiten::PerDimension, Projection::None), &found);
    assert!(
        message.contains("1 of 3") && message.contains("columns 1"),
        "{message}"
    );
    assert!(message.contains("global"), "{message}");
    refused(&config(Whiten::Full, Projection::None), &found);
    for good in [
        config(Whiten::Global, Projection::None),
        config(Whiten::None, Projection::None),
        config(Whiten::Full, Projection::Pca { width: 2 }),
    ] {
        Normaliser::fit(&good, &found, 0).expect("the advice works");
    }
    let message = refused(
        &config(Whiten::None, Projection::Random { width: 4 }),
        &found,
    );
    assert!(message.contains("found 4, expected 1 to 3"), "{message}");
    refused(&config(Whiten::None, Projection::Pca { width: 0 }), &found);
    let message = refused(&config(Whiten::None, Projection::Pca { width: 3 }), &found);
    assert!(message.contains("at most 2"), "{message}");

    let dependent: Vec<f32> = (0..100).flat_map(|i| [i as f32, 2.0 * i as f32]).collect();
    let message = refused(
        &config(Whiten::Full, Projection::None),
        &moments(&dependent, 2),
    );
    assert!(message.contains("pca, width: 1"), "{message}");
    let message = refused(
        &config(Whiten::Full, Projection::None),
        &moments(&rows(5), 5),
    );
    assert!(
        message.contains("more than 5 training rows, found 5"),
        "{message}"
    );
}

#[test]
fn standardised_columns_have_spread_one_and_a_constant_one_stays_at_zero() {
    let rows: Vec<f32> = rows(500)
        .chunks_exact(5)
        .flat_map(|row| [row[0], 3.5, row[4]])
        .collect();
    let normaliser = Normaliser::standardise(&rows, 3);
    let points = normaliser.apply(&rows);
    let found = moments(&points, 3);
    for (column, spread) in [1.0, 0.0, 1.0].into_iter().enumerate() {
        assert!(found.mean[column].abs() < 1e-5);
        assert!((found.variance[column] - spread).abs() < 1e-5);
    }
    let back = normaliser.inverse(&points).expect("a diagonal of no zeros");
    for (back, row) in back.iter().zip(&rows) {
        assert!(
            (back - row).abs() < 1e-5 * row.abs().max(50.0),
            "{back} {row}"
        );
    }
}

/// Fails if a mean, a matrix or its determinant is that of the inverse direction.
#[test]
fn points_of_one_normalisation_become_those_of_another() {
    let data = rows(2000);
    let fitted = |centre, whiten, projection, seed| {
        let config = NormalisationConfig {
            centre,
            whiten,
            projection,
            levels: None,
            logit: None,
        };
        Normaliser::fit(&config, &moments(&data, 5), seed).expect("fit")
    };
    let random = Projection::Random { width: 3 };
    let none = Projection::None;
    let known = [
        (
            fitted(true, Whiten::PerDimension, none, 7),
            fitted(false, Whiten::None, none, 7),
        ),
        (
            fitted(true, Whiten::PerDimension, none, 7),
            fitted(true, Whiten::Full, none, 7),
        ),
        (
            fitted(true, Whiten::Full, random, 7),
            fitted(false, Whiten::Full, random, 7),
        ),
        (
            fitted(true, Whiten::None, random, 7),
            fitted(false, Whiten::Global, random, 7),
        ),
    ];
    for (own, other) in &known {
        let map = own.onto(other).expect("a map");
        let found = map.apply(&own.apply(&data));
        let expected = other.apply(&data);
        let scale = expected.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        for (found, expected) in found.iter().zip(&expected) {
            assert!(
                (found - expected).abs() < 1e-5 * scale,
                "{found} {expected}"
            );
        }
        let back = other.onto(own).expect("the way back");
        let there = map.log_abs_det().unwrap();
        assert!((there + back.log_abs_det().unwrap()).abs() < 1e-9);
        if let (Some(own), Some(other)) = (own.log_abs_det(), other.log_abs_det()) {
            assert!(
                (there - (other - own)).abs() < 1e-8,
                "{there} {own} {other}"
            );
        }
    }
    let unknown = [
        fitted(true, Whiten::Full, random, 8),
        fitted(true, Whiten::None, random, 7),
        fitted(true, Whiten::Full, Projection::Pca { width: 3 }, 7),
        fitted(true, Whiten::Full, Projection::Random { width: 2 }, 7),
        fitted(true, Whiten::Full, none, 7),
    ];
    for other in &unknown {
        assert_eq!(known[2].0.onto(other), None);
    }
}
