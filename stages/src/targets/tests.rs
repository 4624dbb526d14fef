//! Densities that integrate to one and agree with their own samples.

use crate::data::tests::normals;
use crate::data::{Linear, Normaliser};
use crate::problems::Problems;
use crate::targets::{Component, GaussianMixture, Target};
use rand::SeedableRng;
use rand_pcg::Pcg64;
use rayon::prelude::*;

/// One target of each two-dimensional kind, with the half side of a square that holds its mass.
fn plane() -> Vec<(Target, f64)> {
    let parse = |json: &str| serde_json::from_str::<Target>(json).expect(json);
    [
        (
            r#"{"kind": "gaussian", "mean": [0.5, -1], "std": [0.4, 1.2]}"#,
            9.0,
        ),
        (
            r#"{"kind": "gaussian", "mean": [0.5, -1], "covariance": [[1, 0.6], [0.6, 0.5]]}"#,
            8.0,
        ),
        (r#"{"kind": "gaussian_ring"}"#, 6.0),
        (r#"{"kind": "gaussian_grid"}"#, 5.0),
        (
            r#"{"kind": "mixture", "components": [
                {"weight": 3, "mean": [-1, 0], "std": [0.5]},
                {"weight": 1, "mean": [2, 1], "covariance": [[0.5, -0.2], [-0.2, 0.3]]}]}"#,
            7.0,
        ),
        (r#"{"kind": "moons"}"#, 3.0),
        (r#"{"kind": "rings"}"#, 4.0),
        (r#"{"kind": "spiral"}"#, 4.0),
        (r#"{"kind": "swiss_roll"}"#, 4.0),
        (r#"{"kind": "checkerboard"}"#, 2.5),
    ]
    .map(|(json, half)| (parse(json), half))
    .into()
}

fn rng(seed: u64) -> Pcg64 {
    Pcg64::seed_from_u64(seed)
}

/// The mass in each quadrant and the integral of -p ln p over a square, by the midpoint rule, which
/// for blurred distributions is exact to rounding once a cell is smaller than the blur.
fn masses_and_entropy(target: &Target, half: f64) -> ([f64; 4], f64) {
    // 32 per square of the board, so that no cell crosses an edge.
    const CELLS: usize = 160;
    let density = target.density().expect("a law");
    let side = 2.0 * half / CELLS as f64;
    let at = |i: usize| (i as f64 + 0.5) * side - half;
    (0..CELLS)
        .into_par_iter()
        .map(|i| {
            let mut sums = ([0.0; 4], 0.0);
            for j in 0..CELLS {
                let (x, y) = (at(i), at(j));
                let log = density.log_density(&[x, y]);
                let mass = log.exp() * side * side;
                if mass > 0.0 {
                    sums.0[quadrant(x, y)] += mass;
                    sums.1 -= mass * log;
                }
            }
            sums
        })
        .reduce(
            || ([0.0; 4], 0.0),
            |a, b| (std::array::from_fn(|q| a.0[q] + b.0[q]), a.1 + b.1),
        )
}

fn quadrant(x: f64, y: f64) -> usize {
    usize::from(x > 0.0) + 2 * usize::from(y > 0.0)
}

#[test]
fn each_density_integrates_to_one_and_agrees_with_its_samples() {
    for (target, half) in plane() {
        let (masses, entropy) = masses_and_entropy(&target, half);
        let mass: f64 = masses.iter().sum();
        assert!((mass - 1.0).abs() < 1e-6, "{target:?}: mass {mass}");

        let count = 8000;
        let density = target.density().expect("a law");
        let samples: Vec<f64> = (target.sample(count, &mut rng(4)).iter())
            .map(|&v| f64::from(v))
            .collect();
        let logs: Vec<f64> = (samples.par_chunks_exact(2))
            .map(|x| -density.log_density(x))
            .collect();
        let mean = logs.iter().sum::<f64>() / count as f64;
        let variance = logs.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / count as f64;
        let error = (variance / count as f64).sqrt();
        assert!(
            (mean - entropy).abs() < 5.0 * error + 1e-9,
            "{target:?}: samples say {mean} +- {error}, the density {entropy}"
        );

        // Entropy alone would not notice a mirrored curve.
        for (q, mass) in masses.iter().enumerate() {
            let inside = samples
                .chunks_exact(2)
                .filter(|s| quadrant(s[0], s[1]) == q);
            let share = inside.count() as f64 / count as f64;
            let error = (mass * (1.0 - mass) / count as f64).sqrt();
            assert!(
                (share - mass).abs() < 5.0 * error + 1e-9,
                "{target:?}, quadrant {q}: samples say {share}, the density {mass}"
            );
        }
    }
}

#[test]
fn with_little_noise_samples_lie_on_the_figure() {
    let off = |json: &str, distance: &dyn Fn(f64, f64) -> f64| {
        let target: Target = serde_json::from_str(json).expect(json);
        (target.sample(500, &mut rng(6)).chunks_exact(2))
            .map(|s| distance(f64::from(s[0]), f64::from(s[1])).abs())
            .fold(0.0, f64::max)
    };
    let near = |a: f64, b: f64| a.abs().min(b.abs());
    let moons = off(r#"{"kind": "moons", "noise": 0.001}"#, &|x, y| {
        near(x.hypot(y) - 1.0, (x - 1.0).hypot(y - 0.5) - 1.0)
    });
    let rings = off(
        r#"{"kind": "rings", "radii": [1, 2], "noise": 0.002}"#,
        &|x, y| near(x.hypot(y) - 1.0, x.hypot(y) - 2.0),
    );
    // Along a spiral the distance determines the angle; close to the centre the noise blurs both.
    let across = |x: f64, y: f64, angle: f64| {
        let distance = x.hypot(y);
        if distance < 0.5 {
            0.0
        } else {
            x * angle.sin() - y * angle.cos()
        }
    };
    let turn = 2.0 * std::f64::consts::PI;
    let spiral = off(
        r#"{"kind": "spiral", "arms": 2, "turns": 1.5, "radius": 3, "noise": 0.003}"#,
        &|x, y| across(x, y, turn * 1.5 * x.hypot(y) / 3.0),
    );
    let roll = off(
        r#"{"kind": "swiss_roll", "radius": 3, "noise": 0.003}"#,
        &|x, y| across(x, y, turn * 2.25 * x.hypot(y) / 3.0),
    );
    assert!(moons < 0.005 && rings < 0.01, "{moons} {rings}");
    // The noise in the distance turns the angle by up to 4.7 per unit, 3 units out.
    assert!(spiral < 0.2 && roll < 0.2, "{spiral} {roll}");
}

#[test]
fn a_gaussian_has_its_closed_form_in_any_dimension() {
    let d = 16;
    let target = Target::Gaussian {
        mean: vec![1.0],
        std: Some(vec![2.0]),
        covariance: None,
        width: Some(d),
    };
    let x = normals(1, d);
    let squares: f64 = x.iter().map(|v| ((v - 1.0) / 2.0).powi(2)).sum();
    let exact = -0.5 * squares - d as f64 * (2.0 * (2.0 * std::f64::consts::PI).sqrt()).ln();
    assert!((target.log_density(&x).expect("a law") - exact).abs() < 1e-12);
    assert_eq!(target.sample(3, &mut rng(1)).len(), 3 * d);
}

#[test]
fn the_papers_ring_has_entropy_of_five_separate_gaussians() {
    let ring: Target =
        serde_json::from_str(r#"{"kind": "gaussian_ring", "modes": 5, "radius": 3, "sigma": 0.3}"#)
            .expect("parses");
    let (_, entropy) = masses_and_entropy(&ring, 6.0);
    let separate = 5f64.ln() + 1.0 + (2.0 * std::f64::consts::PI * 0.09).ln();
    assert!((entropy - separate).abs() < 1e-6, "{entropy} {separate}");
}

#[test]
fn the_three_dimensional_swiss_roll_integrates_over_its_height() {
    let json = r#"{"kind": "swiss_roll", "height": 2.0}"#;
    let roll: Target = serde_json::from_str(json).expect(json);
    let flat: Target = serde_json::from_str(r#"{"kind": "swiss_roll"}"#).expect("parses");
    assert_eq!(roll.width(), 3);
    let (roll_density, flat_density) = (roll.density().expect("law"), flat.density().expect("law"));
    let (x, y) = (1.0, 0.2);
    let step = 0.002;
    let line: f64 = (-1000..1000)
        .map(|k| {
            roll_density
                .log_density(&[x, y, (f64::from(k) + 0.5) * step])
                .exp()
                * step
        })
        .sum();
    let plane = flat_density.log_density(&[x, y]).exp();
    assert!((line / plane - 1.0).abs() < 1e-6, "{line} {plane}");
    let samples = roll.sample(10_000, &mut rng(2));
    let heights: Vec<f64> = samples.chunks_exact(3).map(|s| f64::from(s[2])).collect();
    let variance = heights.iter().map(|h| h * h).sum::<f64>() / 1e4;
    assert!((variance - (4.0 / 12.0 + 0.01)).abs() < 0.015, "{variance}");
}

/// A mixture in three dimensions without symmetry.
fn mixture() -> GaussianMixture {
    let covariance = |seed| {
        let a = nalgebra::DMatrix::from_row_slice(3, 3, &normals(seed, 9));
        let c = &a * a.transpose() + nalgebra::DMatrix::identity(3, 3) * 0.2;
        c.as_slice().to_vec()
    };
    GaussianMixture {
        weights: vec![0.3, 0.7],
        means: vec![vec![1.0, -2.0, 0.5], vec![-1.0, 0.0, 3.0]],
        covariances: vec![covariance(1), covariance(2)],
    }
}

fn affine_map(output_width: usize) -> Normaliser {
    Normaliser {
        mean: vec![0.5, -1.0, 2.0],
        linear: Linear::Dense(normals(7, 3 * output_width)),
        input_width: 3,
        output_width,
        projection_seed: None,
    }
}

#[test]
fn an_affine_map_changes_the_density_by_its_determinant() {
    let (law, map) = (mixture(), affine_map(3));
    let mapped = law.affine(&map);
    let log_det = map.log_abs_det().expect("square");
    let matrix = map.matrix();
    for x in normals(8, 30).chunks_exact(3) {
        let y: Vec<f64> = (0..3)
            .map(|j| {
                (0..3)
                    .map(|i| (x[i] - map.mean[i]) * matrix[i * 3 + j])
                    .sum()
            })
            .collect();
        let (before, after) = (law.log_density(x), mapped.log_density(&y) + log_det);
        assert!((before - after).abs() < 1e-9, "{before} {after}");
    }
}

#[test]
fn a_projection_keeps_the_moments_of_the_law() {
    let (law, map) = (mixture(), affine_map(2));
    let mapped = law.affine(&map);
    let total = |m: &GaussianMixture| {
        let d = m.width();
        let mut mean = vec![0.0; d];
        let mut second = vec![0.0; d * d];
        for (w, (mu, c)) in m.weights.iter().zip(m.means.iter().zip(&m.covariances)) {
            for i in 0..d {
                mean[i] += w * mu[i];
                for j in 0..d {
                    second[i * d + j] += w * (c[i * d + j] + mu[i] * mu[j]);
                }
            }
        }
        (mean, second)
    };
    // Samples of the original, mapped, against the moments of the mapped distribution.
    let target = Target::Mixture {
        components: (0..2)
            .map(|k| Component {
                weight: law.weights[k],
                mean: law.means[k].clone(),
                std: None,
                covariance: Some(law.covariances[k].chunks(3).map(<[f64]>::to_vec).collect()),
            })
            .collect(),
    };
    assert_eq!(target.as_mixture().as_ref(), Some(&law));
    let count = 200_000;
    let samples = map.apply(&target.sample(count, &mut rng(3)));
    let (mean, second) = total(&mapped);
    for i in 0..2 {
        let of = |f: &dyn Fn(&[f32]) -> f64| -> (f64, f64) {
            let values: Vec<f64> = samples.chunks_exact(2).map(f).collect();
            let mean = values.iter().sum::<f64>() / count as f64;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count as f64;
            (mean, (variance / count as f64).sqrt())
        };
        let (found, error) = of(&|s| f64::from(s[i]));
        assert!((found - mean[i]).abs() < 5.0 * error, "{found} {}", mean[i]);
        for j in 0..2 {
            let (found, error) = of(&|s| f64::from(s[i]) * f64::from(s[j]));
            assert!((found - second[i * 2 + j]).abs() < 5.0 * error);
        }
    }
}

#[test]
fn eigenvectors_rebuild_each_covariance() {
    let law = mixture();
    for (eigen, covariance) in law.components_eigen().iter().zip(&law.covariances) {
        assert!(eigen.values.windows(2).all(|w| w[0] <= w[1]));
        for i in 0..3 {
            for j in 0..3 {
                let rebuilt: f64 = (0..3)
                    .map(|k| eigen.vectors[i * 3 + k] * eigen.values[k] * eigen.vectors[j * 3 + k])
                    .sum();
                assert!((rebuilt - covariance[i * 3 + j]).abs() < 1e-12);
            }
        }
    }
}

#[test]
fn parameters_out_of_range_are_named_and_have_no_density() {
    for (json, key) in [
        (
            r#"{"kind": "gaussian", "mean": [0, 0], "std": [1, -1]}"#,
            "std",
        ),
        (
            r#"{"kind": "gaussian", "mean": [0, 0], "covariance": [[1, 2], [2, 1]]}"#,
            "covariance",
        ),
        (
            r#"{"kind": "gaussian", "mean": [0, 0], "covariance": [[1, 2], [0, 1]]}"#,
            "covariance",
        ),
        (
            r#"{"kind": "gaussian", "mean": [0, 0], "std": [1], "covariance": [[1, 0], [0, 1]]}"#,
            "covariance",
        ),
        (r#"{"kind": "gaussian_ring", "modes": 0}"#, "modes"),
        (
            r#"{"kind": "gaussian_grid", "side": 10, "width": 30}"#,
            "side",
        ),
        (r#"{"kind": "mixture", "components": []}"#, "components"),
        (
            r#"{"kind": "mixture", "components": [{"mean": [0]}, {"mean": [0, 1]}]}"#,
            "components[1].mean",
        ),
        (r#"{"kind": "moons", "noise": 0}"#, "noise"),
        (r#"{"kind": "rings", "radii": []}"#, "radii"),
        (r#"{"kind": "checkerboard", "squares": 1}"#, "squares"),
        (r#"{"kind": "torus", "tube": 3}"#, "tube"),
        (r#"{"kind": "torus", "noise": 0.0001}"#, "noise"),
    ] {
        let target: Target = serde_json::from_str(json).expect(json);
        let mut problems = Problems::new();
        target.check(&mut problems);
        assert!(
            problems.messages().iter().any(|m| m.starts_with(key)),
            "{json}: {:?}",
            problems.messages()
        );
        assert_eq!(target.log_density(&[0.0, 0.0]), None, "{json}");
    }
    assert!(serde_json::from_str::<Target>(r#"{"kind": "moons", "nois": 0.1}"#).is_err());
}
