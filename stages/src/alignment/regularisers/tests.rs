//! Tests of the regularisers that compare latents with target samples: known values, no bias, exact gradients, and
//! points that arrive at the target.

use super::energy::energy_distance;
use super::latents::Latents;
use super::mmd::Kernel;
use super::samples::Samples;
use super::sampling::Sampling;
use super::sliced_wasserstein::{directions, squared_distance};
use super::{Encoded, Energy, Given, Mmd, RegulariserConfig, SlicedWasserstein};
use crate::comparison::energy_test;
use crate::numerics::{mean, standard_error};
use crate::posteriors::{Draw, Head, PosteriorConfig, PosteriorHead};
use crate::priors::{Batch, KeptPoints, ModelConfig, PointShape, Prior};
use crate::random::Streams;
use crate::tensors::{from_f32, from_f64, scalar, to_f32, to_f64};
use burn::tensor::{DType, Device, Tensor};
use std::f64::consts::PI;

/// Points of one number from `values`.
fn line(values: &[f64]) -> Tensor<2> {
    from_f64(
        values.to_vec(),
        [values.len(), 1],
        DType::F64,
        &Device::flex(),
    )
}

/// `count` points of N(shift, I) in `width` dimensions.
fn gaussian(seed: u64, count: usize, width: usize, shift: f32) -> Tensor<2> {
    let rows = Streams::new(seed).normal("samples", 0, count * width);
    let rows = rows.iter().map(|x| x + shift).collect();
    from_f32(rows, [count, width], &Device::flex())
}

fn kernel(bandwidths: &[f64]) -> Kernel {
    Kernel {
        bandwidths: bandwidths.to_vec(),
    }
}

fn value(found: Tensor<1>) -> f64 {
    scalar(found).unwrap()
}

/// Fails if a mean includes the distance of a point to itself, or a factor is wrong.
#[test]
fn values_of_few_points_are_those_by_hand() {
    // 2 (1 + 4 + 2 + 1) / 4 - 3 - 5
    let (x, y) = (line(&[0.0, 3.0]), line(&[-1.0, 4.0]));
    let expected = 2.0 * (1.0 + 4.0 + 4.0 + 1.0) / 4.0 - 3.0 - 5.0;
    assert!((value(energy_distance(&x, &y)) - expected).abs() < 1e-9);
    let k = |r: f64, h: f64| (-0.5 * r * r / (h * h)).exp();
    let mean_kernel = |r| 0.5 * (k(r, 1.0) + k(r, 2.0));
    let expected =
        mean_kernel(3.0) + mean_kernel(5.0) - 2.0 * (mean_kernel(1.0) + mean_kernel(4.0)) / 2.0;
    let found = value(kernel(&[1.0, 2.0]).squared_discrepancy(&x, &y));
    assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    // in order: 0 with -1, 3 with 4
    let direction = line(&[1.0]);
    assert!((value(squared_distance(&x, &y, &direction)) - 1.0).abs() < 1e-9);
    let shuffled = line(&[4.0, -1.0]);
    assert!((value(squared_distance(&x, &shuffled, &direction)) - 1.0).abs() < 1e-9);
    // two point masses at a distance of 2: 4 and 2 (1 - k)
    let (x, y) = (line(&[1.0; 4]), line(&[3.0; 5]));
    assert!((value(energy_distance(&x, &y)) - 4.0).abs() < 1e-5);
    let found = value(kernel(&[1.0]).squared_discrepancy(&x, &y));
    assert!((found - 2.0 * (1.0 - k(2.0, 1.0))).abs() < 1e-9);
}

/// For N(0, 1) and N(a, 1): `E|x - y|` is the mean of a folded normal of variance 2; `E k` has a closed form; the
/// squared Wasserstein distance of N(0, I) and N(m, I) along a direction u is `(m u)^2`, on average |m|^2 / d.
#[test]
fn distances_of_shifted_gaussians_have_their_known_values() {
    let (count, shift) = (3000, 1.0f64);
    let (x, y) = (
        gaussian(0, count, 1, 0.0),
        gaussian(1, count, 1, shift as f32),
    );
    let normal_cdf = 0.5 * (1.0 + erf(shift / 2.0));
    let between = 2.0 / PI.sqrt() * (-shift * shift / 4.0).exp() + shift * (2.0 * normal_cdf - 1.0);
    let expected = 2.0 * between - 4.0 / PI.sqrt();
    let found = value(energy_distance(&x, &y));
    assert!((found - expected).abs() < 0.04, "{found} {expected}");
    let of_width = |h: f64| {
        let wide = h * h + 2.0;
        2.0 * h / wide.sqrt() * (1.0 - (-0.5 * shift * shift / wide).exp())
    };
    let expected = 0.5 * (of_width(0.5) + of_width(2.0));
    let found = value(kernel(&[0.5, 2.0]).squared_discrepancy(&x, &y));
    assert!((found - expected).abs() < 0.015, "{found} {expected}");
    let (x, y) = (gaussian(0, count, 4, 0.0), gaussian(1, count, 4, 1.0));
    let mut rng = Streams::new(2).at("directions", 0);
    let along = from_f32(directions(400, 4, &mut rng), [400, 4], &Device::flex());
    let found = value(squared_distance(&x, &y, &along));
    assert!(
        (found - 1.0).abs() < 0.12,
        "{found}, expected |m|^2 / d = 1"
    );
}

/// The error function by its series; accurate for small arguments.
fn erf(x: f64) -> f64 {
    let mut term = x;
    let mut sum = x;
    for n in 1..30 {
        let n = f64::from(n);
        term *= -x * x / n;
        sum += term / (2.0 * n + 1.0);
    }
    2.0 / PI.sqrt() * sum
}

const SHAPE: PointShape = PointShape {
    tokens: 1,
    width: 2,
};

/// Two clusters of mass 0.7 and 0.3 in the plane.
fn clusters(seed: u64, count: usize) -> Vec<f32> {
    let noise = Streams::new(seed).normal("clusters", 0, 2 * count);
    let points = (0..count).flat_map(|i| {
        let at = if i % 10 < 7 { [-1.0, 0.5] } else { [1.5, -0.5] };
        [0, 1].map(|axis| at[axis] + 0.3 * noise[2 * i + axis])
    });
    points.collect()
}

fn features(values: Vec<f32>) -> KeptPoints {
    let count = values.len() / SHAPE.width;
    KeptPoints {
        points: Batch {
            values,
            conditions: None,
        },
        width: SHAPE.width,
        items: (0..count as i64).collect(),
        tokens: 1,
    }
}

fn kinds() -> [RegulariserConfig; 3] {
    [
        RegulariserConfig::Energy(Energy::default()),
        RegulariserConfig::SlicedWasserstein(SlicedWasserstein::default()),
        RegulariserConfig::Mmd(Mmd::default()),
    ]
}

/// A prior over the plane, which these kinds do not evaluate.
fn prior() -> Box<dyn Prior> {
    let all = ModelConfig::examples();
    let config = all.iter().find(|model| model.name() == "normal");
    super::conformance::fitted(config.expect("a kind of prior"))
}

fn given<'a>(prior: &'a dyn Prior, features: &'a KeptPoints) -> Given<'a> {
    Given {
        prior,
        replicas: &[],
        witness: None,
        features: Some(features),
        of_rows: None,
        elements: 0.5,
        latent: SHAPE,
        steps: 10,
        streams: Streams::new(6),
    }
}

/// The term of `latents` at the draws of `step`.
fn term(config: &RegulariserConfig, given: Given, latents: Tensor<2>, step: u64) -> Tensor<1> {
    let regulariser = config.kind().begin(given).unwrap().unwrap();
    let head = PosteriorHead::new(
        &PosteriorConfig::default(),
        SHAPE,
        Streams::new(0),
        &latents.device(),
    );
    let posterior = head.posterior(latents, None);
    let mut rng = Streams::new(8).at("term", step);
    let drawn: Draw = posterior.draw(&mut rng);
    let encoded = Encoded {
        drawn: &drawn,
        posterior: posterior.as_ref(),
        items: &[],
    };
    regulariser.term(encoded, &mut rng).unwrap()
}

/// Fails if equal rows are paired with each other, or the sliced distance keeps its value by chance.
#[test]
fn latents_that_follow_the_target_have_a_mean_of_zero() {
    let (prior, features) = (prior(), features(clusters(1, 20_000)));
    let given = given(prior.as_ref(), &features);
    for config in kinds() {
        let found: Vec<f64> = (0..60)
            .map(|step| {
                // tokens of another order, so that masses vary as they do in a sample
                let all = clusters(100 + step, 640);
                let latents = from_f32(all[..2 * 64 * 10].to_vec(), [640, 2], &Device::flex());
                value(term(&config, given, latents, step))
            })
            .collect();
        let (mean, error) = (mean(&found), standard_error(&found, 1));
        assert!(
            error > 0.0 && mean.abs() < 4.0 * error,
            "{}: {mean} +- {error}",
            config.name()
        );
    }
}

/// Latents of the target's scale are nearest to it, except that `sliced_wasserstein` prefers contracted ones: in one
/// dimension `E W(c z, y) = c^2 + 1 - 2 c r`, where r < 1 is the mean product of order statistics. Fails if a distance
/// within a batch is left out, or the documented contraction of 32 latents (8 %) is another one.
#[test]
fn latents_of_another_scale_are_farther_from_the_target() {
    let normal = |seed, count: usize| Streams::new(seed).normal("scale", 0, count * 2);
    let (prior, features) = (prior(), features(normal(1, 4000)));
    let given = given(prior.as_ref(), &features);
    for config in kinds() {
        let nearest = match config {
            RegulariserConfig::SlicedWasserstein(_) => 0.92,
            _ => 1.0,
        };
        for other in [0.9 * nearest, 1.1 * nearest] {
            let farther: Vec<f64> = (0..250)
                .map(|step| {
                    let all = normal(100 + step, 32);
                    let [near, far] = [nearest, other].map(|scale| {
                        let rows = all.iter().map(|x| x * scale).collect();
                        let latents = from_f32(rows, [32, 2], &Device::flex());
                        value(term(&config, given, latents, step))
                    });
                    far - near
                })
                .collect();
            let (mean, error) = (mean(&farther), standard_error(&farther, 1));
            assert!(
                mean > 3.0 * error,
                "{} {other}: {mean} +- {error}",
                config.name()
            );
        }
    }
}

/// Fails if the gradient is cut off, or is that of another pairing.
#[test]
fn gradients_are_those_of_differences_in_double_precision() {
    let (prior, features) = (prior(), features(clusters(1, 400)));
    let given = given(prior.as_ref(), &features);
    let device = Device::flex().autodiff();
    let start: Vec<f64> = clusters(2, 12).iter().map(|x| f64::from(0.5 * x)).collect();
    for config in kinds() {
        let at = |values: &[f64], device: &Device| {
            from_f64::<2>(values.to_vec(), [12, 2], DType::F64, device)
        };
        let latents = at(&start, &device).require_grad();
        let gradients = term(&config, given, latents.clone(), 0).backward();
        let gradients = to_f64(latents.grad(&gradients).unwrap()).unwrap();
        for (i, gradient) in gradients.iter().enumerate() {
            let side = |h: f64| {
                let mut moved = start.clone();
                moved[i] += h;
                value(term(&config, given, at(&moved, &Device::flex()), 0))
            };
            let found = (side(1e-7) - side(-1e-7)) / 2e-7;
            assert!(
                (found - gradient).abs() < 1e-5 * gradient.abs().max(0.01),
                "{} {i}: {gradient}, by differences {found}",
                config.name()
            );
        }
    }
}

/// Fails if a sign is wrong or a pairing mixes up points: the points then leave the target, or do not reach it.
#[test]
fn points_that_minimise_each_arrive_at_the_target_with_its_masses() {
    let (prior, features) = (prior(), features(clusters(1, 4000)));
    let given = given(prior.as_ref(), &features);
    let count = 200;
    let device = Device::flex().autodiff();
    let start = Streams::new(5).normal("start", 0, 2 * count);
    let rate = |config: &RegulariserConfig| match config {
        RegulariserConfig::Mmd(_) => 1.0,
        _ => 0.3,
    };
    for config in kinds() {
        let mut points = start.clone();
        let steps = 250;
        for step in 0..steps {
            let at = from_f32::<2>(points.clone(), [count, 2], &device).require_grad();
            let gradients = term(&config, given, at.clone(), step).backward();
            let gradient = to_f32(at.grad(&gradients).unwrap()).unwrap();
            let by = rate(&config) * count as f32 * (1.0 - step as f32 / steps as f32);
            for (point, slope) in points.iter_mut().zip(gradient) {
                *point -= by * slope;
            }
        }
        let fresh = clusters(9, count);
        let found = energy_test(&points, &fresh, 2, 1, 99, Streams::new(0));
        assert!(found.p_value > 0.05, "{}: {found:?}", config.name());
        let before = energy_test(&start, &fresh, 2, 1, 99, Streams::new(0));
        assert_eq!(before.p_value, 0.01, "the start is told apart");
        let right = points.chunks(2).filter(|p| p[0] > 0.25).count() as f64 / count as f64;
        assert!(
            (right - 0.3).abs() < 0.05,
            "{}: mass {right}",
            config.name()
        );
    }
}

/// Fails if points of a row repeat each other, or a row is cut at the wrong place.
#[test]
fn a_target_row_has_independent_points_and_no_feature_twice_in_a_column() {
    let prior = prior();
    let points: Vec<f32> = (0..20).flat_map(|i| [i as f32, -(i as f32)]).collect();
    let features = features(points);
    let given = Given {
        latent: PointShape {
            tokens: 3,
            width: 2,
        },
        ..given(prior.as_ref(), &features)
    };
    let sampling = |latents, batch| Sampling { latents, batch };
    let samples = Samples::new(sampling(Latents::Whole, 20), given).unwrap();
    let rows = samples.draw(20, &mut Streams::new(0).at("rows", 0));
    let mut equal = 0;
    for column in 0..3 {
        let mut ids: Vec<f32> = rows.chunks(6).map(|row| row[2 * column]).collect();
        assert!(
            rows.chunks(6)
                .all(|row| row[2 * column] == -row[2 * column + 1])
        );
        equal += rows
            .chunks(6)
            .filter(|row| row[0] == row[2 * column])
            .count();
        ids.sort_by(f32::total_cmp);
        ids.dedup();
        assert_eq!(ids.len(), 20);
    }
    assert!(equal < 20 + 12, "{equal}: columns are independent");
    assert_eq!(
        Samples::new(sampling(Latents::Tokens, 20), given)
            .unwrap()
            .width(),
        2
    );

    let told = |sampling: Sampling, given| {
        Samples::new(sampling, given)
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    assert!(
        told(sampling(Latents::Whole, 21), given)
            .starts_with("train_autoencoder.regulariser.batch: found 21, expected at most 20"),
    );
    let without = Given {
        features: None,
        ..given
    };
    assert!(
        told(sampling(Latents::Whole, 20), without)
            .starts_with("train_autoencoder.regulariser.kind: found one that compares latents"),
    );
}

/// Fails if more latents than a batch are all compared, or always the same ones.
#[test]
fn of_more_latents_than_a_batch_a_random_batch_is_compared() {
    let (prior, features) = (prior(), features(clusters(1, 400)));
    let sampling = Sampling {
        latents: Latents::Whole,
        batch: 5,
    };
    let samples = Samples::new(sampling, given(prior.as_ref(), &features)).unwrap();
    let latents = gaussian(0, 50, 2, 0.0);
    let mut rng = Streams::new(0).at("batches", 0);
    let [a, b] = [(); 2].map(|()| to_f32(samples.compared(latents.clone(), &mut rng)).unwrap());
    assert!(a.len() == 10 && a != b);
    let all = to_f32(latents).unwrap();
    assert!(
        a.chunks(2)
            .all(|row| all.chunks(2).any(|other| other == row))
    );
}
