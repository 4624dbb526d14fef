//! Conformance tests of posteriors. Each test runs over [`PosteriorConfig::examples`], so a new kind is tested as
//! soon as it is listed.

use super::*;
use crate::numerics::{mean, standard_error};
use crate::persist::{load_weights, save_weights};
use crate::priors::normal_nll;
use crate::random::normal;
use crate::tensors::{cast, from_f32, from_f64, to_f64};
use crate::training::perturb;
use burn::module::{ModuleVisitor, Param};
use burn::tensor::{DType, Gradients};
use nalgebra::{DMatrix, DVector};
use std::f64::consts::TAU;

/// Draws per row, for two rows.
const DRAWS: usize = 8000;
const SHAPES: [PointShape; 3] = [
    PointShape {
        tokens: 1,
        width: 2,
    },
    PointShape {
        tokens: 2,
        width: 2,
    },
    PointShape {
        tokens: 3,
        width: 1,
    },
];

fn plain() -> Device {
    Device::flex()
}

/// Every kind, for latents of each shape that it supports.
fn each() -> Vec<(PosteriorConfig, PointShape)> {
    let pairs = PosteriorConfig::examples().into_iter();
    let pairs = pairs.flat_map(|config| SHAPES.map(|shape| (config.clone(), shape)));
    pairs
        .filter(|(config, shape)| config.kind().check_shape(*shape).is_ok())
        .collect()
}

/// The head of a kind in f64, with perturbed weights.
fn head(config: &PosteriorConfig, shape: PointShape, device: &Device) -> PosteriorHead {
    let head = PosteriorHead::new(config, shape, Streams::new(1), device);
    cast(perturb(head, 0.3, Streams::new(2)), DType::F64)
}

/// Possible encoder outputs for `rows` rows: [rows, T d] and [rows, k], flat.
fn given(config: &PosteriorConfig, shape: PointShape, rows: usize) -> [Vec<f64>; 2] {
    let drawn = |stream, count| {
        let values = Streams::new(3).normal(stream, 0, count);
        values.into_iter().map(|x| 0.6 * f64::from(x)).collect()
    };
    [
        drawn("means", rows * shape.elements()),
        drawn("others", rows * config.kind().others(shape)),
    ]
}

/// `values` as [rows, k] on `device`; None if k is 0.
fn tensor(values: &[f64], rows: usize, device: &Device) -> Option<Tensor<2>> {
    let columns = values.len() / rows;
    (columns > 0).then(|| from_f64(values.to_vec(), [rows, columns], DType::F64, device))
}

/// Draws of two rows: [`DRAWS`] of the first, then as many of the second.
struct Drawn {
    posterior: Box<dyn Posterior>,
    /// Draws per row, [DRAWS, T d].
    latents: [Vec<f64>; 2],
    /// `log q` of the draws per row, if there is one.
    log_density: Option<[Vec<f64>; 2]>,
}

fn draw(config: &PosteriorConfig, shape: PointShape) -> Drawn {
    let repeated = |values: Vec<f64>| {
        let rows = values.chunks((values.len() / 2).max(1));
        rows.flat_map(|row| row.repeat(DRAWS)).collect::<Vec<_>>()
    };
    let [means, others] = given(config, shape, 2).map(repeated);
    let device = plain();
    let means = tensor(&means, 2 * DRAWS, &device).unwrap();
    let others = tensor(&others, 2 * DRAWS, &device);
    let posterior = head(config, shape, &device).posterior(means, others);
    let draw = posterior.draw(&mut Streams::new(4).at("draws", 0));
    Drawn {
        latents: halves(&to_f64(draw.latents.clone()).unwrap()),
        log_density: draw.log_density().map(of_rows),
        posterior,
    }
}

fn halves(values: &[f64]) -> [Vec<f64>; 2] {
    let (first, second) = values.split_at(values.len() / 2);
    [first.to_vec(), second.to_vec()]
}

/// Sums parts [P, 1] to a value for each of the 2 x [`DRAWS`] rows.
fn of_rows(parts: Tensor<2>) -> [Vec<f64>; 2] {
    let parts = to_f64(parts).unwrap();
    let rows = parts.chunks(parts.len() / (2 * DRAWS));
    halves(&rows.map(|parts| parts.iter().sum()).collect::<Vec<f64>>())
}

/// Checks that `values` have the mean `expected` within their standard error.
fn have_mean(values: &[f64], expected: f64, what: &str) {
    let (found, error) = (mean(values), standard_error(values, 1));
    assert!(
        (found - expected).abs() < 5.0 * error + 1e-9,
        "{what}: {found} +- {error}, expected {expected}"
    );
}

/// `log N(z; centre, covariance)` of each row of `latents`.
fn log_normal(latents: &[f64], centre: &DVector<f64>, covariance: &DMatrix<f64>) -> Vec<f64> {
    let cholesky = covariance.clone().cholesky().unwrap();
    let constant = centre.len() as f64 * TAU.ln() + cholesky.ln_determinant();
    let rows = latents.chunks(centre.len());
    rows.map(|row| {
        let from_centre = DVector::from_column_slice(row) - centre;
        -0.5 * (from_centre.dot(&cholesky.solve(&from_centre)) + constant)
    })
    .collect()
}

/// For any density r supported within q, `E_q r(z) / q(z) = 1`. Fails if a constant or a determinant is missing,
/// `log q` is that of other latents, or parts belong to other rows.
#[test]
fn the_density_of_draws_integrates_to_one_and_is_theirs() {
    for (config, shape) in each() {
        let drawn = draw(&config, shape);
        assert_eq!(drawn.log_density.is_some(), config.kind().has_density());
        assert_eq!(drawn.posterior.has_density(), config.kind().has_density());
        let Some(log_density) = drawn.log_density else {
            assert_eq!(
                drawn.latents,
                halves(&to_f64(drawn.posterior.centre()).unwrap()),
                "{config:?}: draws differ though there is no density"
            );
            continue;
        };
        for (latents, log_q) in drawn.latents.iter().zip(&log_density) {
            let elements = shape.elements();
            let rows = DMatrix::from_row_slice(DRAWS, elements, latents);
            let centre = rows.row_mean().transpose();
            let centred = DMatrix::from_fn(DRAWS, elements, |i, j| rows[(i, j)] - centre[j]);
            let covariance = centred.tr_mul(&centred) / DRAWS as f64;
            for (narrower, moved) in [(0.5, None), (0.3, Some(0)), (0.3, Some(elements - 1))] {
                let mut at = centre.clone();
                if let Some(axis) = moved {
                    at[axis] += 0.5 * covariance[(axis, axis)].sqrt();
                }
                let log_r = log_normal(latents, &at, &(covariance.clone() * narrower));
                let ratios = log_r.iter().zip(log_q).map(|(r, q)| (r - q).exp());
                let ratios: Vec<f64> = ratios.collect();
                let what = format!("{config:?} {shape:?}, {narrower} as wide, moved {moved:?}");
                have_mean(&ratios, 1.0, &what);
            }
        }
    }
}

/// `q(z|x)` of a draw equals the density of its noise divided by the determinant of the map from noise, by
/// differences, for up to 6 numbers per row. Fails if a determinant is missing, counts a number twice, or is that
/// of another step.
#[test]
fn the_density_of_a_draw_is_that_of_its_noise_over_the_determinant() {
    let six = PointShape {
        tokens: 2,
        width: 3,
    };
    let examples = PosteriorConfig::examples().into_iter();
    for (config, shape) in each()
        .into_iter()
        .chain(examples.map(|config| (config, six)))
    {
        let size = shape.elements();
        let [means, others] = given(&config, shape, 1);
        let log_variances = match &config {
            PosteriorConfig::Deterministic(_) => continue,
            PosteriorConfig::FixedNoise(FixedNoise { scale }) => vec![2.0 * scale.ln(); size],
            _ => others[..size].to_vec(),
        };
        let device = plain();
        let head = head(&config, shape, &device);
        let rng = || Streams::new(4).at("draws", 0);
        let draw = |means: &[f64]| {
            let means = tensor(means, 1, &device).unwrap();
            let posterior = head.posterior(means, tensor(&others, 1, &device));
            posterior.draw(&mut rng())
        };
        // moving the mean moves z_0 by as much
        let jacobian = DMatrix::from_columns(&Vec::from_iter((0..size).map(|number| {
            let at = |h: f64| {
                let mut means = means.clone();
                means[number] += h;
                DVector::from_vec(to_f64(draw(&means).latents).unwrap())
            };
            (at(1e-5) - at(-1e-5)) / 2e-5
        })));
        let determinant = jacobian.determinant().abs();
        if let PosteriorConfig::LinearIaf(_) | PosteriorConfig::Householder(_) = &config {
            assert!(
                (determinant - 1.0).abs() < 1e-8,
                "{config:?}: {determinant}"
            );
        }
        let noise = normal(&mut rng(), size).into_iter().map(f64::from);
        let of_noise = noise.zip(log_variances);
        let log_start: f64 = of_noise
            .map(|(noise, log_variance)| -0.5 * (noise * noise + TAU.ln() + log_variance))
            .sum();
        let found: f64 = (to_f64(draw(&means).log_density().unwrap()).unwrap().iter()).sum();
        let expected = log_start - determinant.ln();
        assert!(
            (found - expected).abs() < 1e-6,
            "{config:?} {shape:?}: {found}, expected {expected}"
        );
    }
}

/// Fails if a closed form is wrong, or its parts belong to other rows.
#[test]
fn closed_forms_are_what_the_draws_say() {
    for (config, shape) in each() {
        let drawn = draw(&config, shape);
        let posterior = drawn.posterior.as_ref();
        let Some(log_density) = drawn.log_density else {
            assert!(posterior.entropy().is_none() && posterior.kl_to_normal().is_none());
            continue;
        };
        if let Some(entropy) = posterior.entropy() {
            let each = to_f64(entropy.clone()).unwrap();
            let over_elements = mean(&each) * each.len() as f64 / (2 * DRAWS) as f64;
            let found = posterior.mean_entropy().unwrap();
            let found = to_f64(found).unwrap()[0] * shape.elements() as f64;
            assert!((found - over_elements).abs() < 1e-9, "{config:?}");
            for (entropies, log_q) in of_rows(entropy).iter().zip(&log_density) {
                let found: Vec<f64> = log_q.iter().map(|log_q| -log_q).collect();
                have_mean(
                    &found,
                    entropies[0],
                    &format!("entropy of {config:?} {shape:?}"),
                );
            }
        }
        if let Some(kl) = posterior.kl_to_normal() {
            let parts = of_rows(kl).into_iter().zip(&log_density);
            for ((kl, log_q), latents) in parts.zip(&drawn.latents) {
                let rows = tensor(latents, DRAWS, &plain()).unwrap();
                let nll = to_f64(normal_nll(rows)).unwrap();
                let found: Vec<f64> = log_q.iter().zip(nll).map(|(q, nll)| q + nll).collect();
                have_mean(&found, kl[0], &format!("KL of {config:?} {shape:?}"));
            }
        }
    }
}

/// Whether each parameter has a gradient that is not all zero.
struct Gradient<'a>(&'a Gradients, Vec<bool>);

impl ModuleVisitor for Gradient<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad(self.0);
        let moves = gradient.is_some_and(|g| to_f64(g).unwrap().iter().any(|g| *g != 0.0));
        self.1.push(moves);
    }
}

/// Fails if a draw or its density is cut off the graph, or a number or a weight has no effect.
#[test]
fn gradients_of_draws_and_densities_are_those_of_differences() {
    const ROWS: usize = 2;
    for (config, shape) in each() {
        let device = plain().autodiff();
        let head = head(&config, shape, &device).set_require_grad(true);
        let along = |count: usize, device: &Device| {
            let weights = Streams::new(5).normal("along", 0, count);
            let weights: Vec<f64> = weights.into_iter().map(f64::from).collect();
            tensor(&weights, ROWS * shape.tokens, device).unwrap()
        };
        // a number that depends on every draw and every density
        let value = |means: Tensor<2>, others: Option<Tensor<2>>| {
            let device = means.device();
            let posterior = head.posterior(means, others);
            let draw = posterior.draw(&mut Streams::new(6).at("draws", 0));
            let latents = draw.latents.clone();
            assert_eq!(latents.dims(), [ROWS * shape.tokens, shape.width]);
            let count = latents.dims().iter().product();
            let sum = (latents.clone().square() + latents * along(count, &device)).sum();
            match draw.log_density() {
                Some(log_density) => sum + log_density.sum(),
                None => sum,
            }
        };
        let values = given(&config, shape, ROWS);
        let [means, others] =
            [0, 1].map(|which| tensor(&values[which], ROWS, &device).map(Tensor::require_grad));
        let gradients = value(means.clone().unwrap(), others.clone()).backward();
        for (which, tensor_of) in [means, others].into_iter().enumerate() {
            let Some(tensor_of) = tensor_of else { continue };
            let found = to_f64(tensor_of.grad(&gradients).unwrap()).unwrap();
            for (i, found) in found.into_iter().enumerate() {
                let at = |h: f64| {
                    let mut values = values.clone();
                    values[which][i] += h;
                    let [means, others] = values.map(|v| tensor(&v, ROWS, &device));
                    to_f64(value(means.unwrap(), others).inner()).unwrap()[0]
                };
                let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
                let error = (found - expected).abs() / expected.abs().max(1.0);
                assert!(
                    error < 1e-6,
                    "{config:?} {shape:?}, {which} {i}: {found}, expected {expected}"
                );
                assert!(
                    found != 0.0,
                    "{config:?} {shape:?}: {which} {i} is of no effect"
                );
            }
        }
        let mut weights = Gradient(&gradients, Vec::new());
        head.visit(&mut weights);
        assert!(!weights.1.contains(&false), "{config:?}: {:?}", weights.1);
    }
}

#[test]
fn what_was_saved_draws_as_before_and_a_configuration_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("head.safetensors");
    for (config, shape) in each() {
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<PosteriorConfig>(&json).unwrap(),
            config
        );
        let device = plain();
        let saved = PosteriorHead::new(&config, shape, Streams::new(1), &device);
        let saved = perturb(saved, 0.3, Streams::new(2));
        save_weights(&saved, &path, "{}").unwrap();
        let mut loaded = PosteriorHead::new(&config, shape, Streams::new(0), &device);
        load_weights(&mut loaded, &path).unwrap();
        let [means, others] = given(&config, shape, 2)
            .map(|v| tensor(&v, 2, &device).map(|tensor| tensor.cast(DType::F32)));
        let drawn = |head: &PosteriorHead| {
            let posterior = head.posterior(means.clone().unwrap(), others.clone());
            let draw = posterior.draw(&mut Streams::new(4).at("draws", 0));
            to_f64(draw.latents).unwrap()
        };
        assert_eq!(drawn(&saved), drawn(&loaded), "{config:?} {shape:?}");
    }
}

/// Draws, their densities and divergences, and the gradients of a number that depends on all of them, with respect to
/// means and others.
fn everything(
    config: &PosteriorConfig,
    shape: PointShape,
    device: &Device,
    dtype: DType,
) -> Vec<f64> {
    const ROWS: usize = 19;
    let head = PosteriorHead::new(config, shape, Streams::new(1), device);
    let head = cast(perturb(head, 0.3, Streams::new(2)), dtype);
    let given = given(config, shape, ROWS).map(|values| {
        let dims = [ROWS, values.len() / ROWS];
        let values = values.iter().map(|x| *x as f32).collect();
        (dims[1] > 0).then(|| from_f32(values, dims, device).cast(dtype).require_grad())
    });
    let posterior = head.posterior(given[0].clone().unwrap(), given[1].clone());
    let draw = posterior.draw(&mut Streams::new(4).at("draws", 0));
    let parts = [
        Some(draw.latents.clone()),
        draw.log_density(),
        posterior.kl_to_normal(),
    ];
    let parts = parts.into_iter().flatten();
    let whole = parts.map(|part| part.flatten::<1>(0, 1));
    let whole = Tensor::cat(whole.collect(), 0);
    let weights = Streams::new(5).normal("weights", 0, whole.dims()[0]);
    let weights = from_f32(weights, whole.dims(), device).cast(dtype);
    let gradients = (whole.clone() * weights).sum().backward();
    let gradients = given.into_iter().flatten().map(|of| of.grad(&gradients));
    let gradients = gradients.flat_map(|gradient| to_f64(gradient.unwrap()).unwrap());
    to_f64(whole)
        .unwrap()
        .into_iter()
        .chain(gradients)
        .collect()
}

/// Fails if one pass on a CPU, or its gradient, is not that of the plain operations.
#[test]
fn one_pass_gives_what_plain_operations_give() {
    let wide = PointShape {
        tokens: 1,
        width: 37,
    };
    for config in PosteriorConfig::examples() {
        let on = |dtype| everything(&config, wide, &plain().autodiff(), dtype);
        let (found, exact) = (on(DType::F32), on(DType::F64));
        assert_eq!(found.len(), exact.len());
        for (found, exact) in found.iter().zip(&exact) {
            let off = (found - exact).abs() / exact.abs().max(1.0);
            assert!(off < 1e-4, "{}: {found} {exact}", config.name());
        }
    }
}

/// Fails if a draw, its density or a gradient is wrong where operations are not fused, as on a GPU.
#[cfg(feature = "wgpu-untuned")]
#[test]
fn draws_and_densities_are_alike_on_another_device() {
    let other = crate::devices::other();
    for (config, shape) in each() {
        let [ours, theirs] = [plain(), other.clone()]
            .map(|device| everything(&config, shape, &device.autodiff(), DType::F32));
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let off = (ours - theirs).abs() / ours.abs().max(1.0);
            assert!(off < 1e-3, "{}: {ours} {theirs}", config.name());
        }
    }
}
