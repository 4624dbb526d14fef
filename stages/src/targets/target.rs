//! Analytic target distributions, whose samples are written as features and whose density is known, so that
//! every estimated likelihood can be compared with the truth.

use super::curve_density::{Arc, Curve, CurveDensity};
use super::gaussian_mixture::{GaussianMixture, MixtureDensity};
use super::torus::{Torus, TorusDensity};
use crate::problems::{Problems, kind_of};
use rand::{Rng, RngExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// The smallest noise relative to the size of a curve; below it the quadrature becomes too fine.
const LEAST_NOISE: f64 = 1e-3;

/// A distribution with a known density. All lengths are in units of the features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Target {
    /// One Gaussian, with either standard deviations or a covariance.
    Gaussian {
        /// The mean, `[d]`; a single number is repeated `width` times.
        #[serde(default = "defaults::zero")]
        mean: Vec<f64>,
        /// Standard deviation of each dimension; a single number is repeated. Without a covariance
        /// the default is 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        std: Option<Vec<f64>>,
        /// The covariance by rows, [d, d].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        covariance: Option<Vec<Vec<f64>>>,
        /// d, if `mean` is a single number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        width: Option<usize>,
    },
    /// Equal Gaussians evenly spaced on a circle in the first two dimensions; 0 in the others.
    GaussianRing {
        /// Number of Gaussians; the first is at angle 0.
        #[serde(default = "defaults::modes")]
        modes: usize,
        /// Radius of the circle.
        #[serde(default = "defaults::ring_radius")]
        radius: f64,
        /// Standard deviation of each Gaussian in every dimension.
        #[serde(default = "defaults::sigma")]
        sigma: f64,
        /// d, at least 2.
        #[serde(default = "defaults::two")]
        width: usize,
    },
    /// Equal Gaussians on a grid of `side` points along each dimension, centred at 0.
    GaussianGrid {
        /// Points per dimension; `side^width` Gaussians.
        #[serde(default = "defaults::side")]
        side: usize,
        /// Distance between neighbours.
        #[serde(default = "defaults::spacing")]
        spacing: f64,
        /// Standard deviation of each Gaussian in every dimension.
        #[serde(default = "defaults::grid_sigma")]
        sigma: f64,
        /// d.
        #[serde(default = "defaults::two")]
        width: usize,
    },
    /// Any Gaussian mixture.
    Mixture {
        /// Its components, all of one width.
        components: Vec<Component>,
    },
    /// Two interleaving half circles of radius 1.
    Moons {
        /// Standard deviation of the noise.
        #[serde(default = "defaults::noise")]
        noise: f64,
    },
    /// Concentric circles, equally likely.
    Rings {
        /// Their radii.
        #[serde(default = "defaults::radii")]
        radii: Vec<f64>,
        /// Standard deviation of the noise.
        #[serde(default = "defaults::noise")]
        noise: f64,
    },
    /// Arms of an Archimedean spiral; the angle along an arm is uniform.
    Spiral {
        /// Number of arms, at equal angles.
        #[serde(default = "defaults::two")]
        arms: usize,
        /// Turns of an arm around the centre.
        #[serde(default = "defaults::turns")]
        turns: f64,
        /// Distance of the outer end from the centre.
        #[serde(default = "defaults::spiral_radius")]
        radius: f64,
        /// Standard deviation of the noise.
        #[serde(default = "defaults::noise")]
        noise: f64,
    },
    /// The Swiss roll a (cos a, sin a), a uniform on [1.5 pi, 4.5 pi], scaled; in two dimensions, or
    /// in three with a uniform height as the third.
    SwissRoll {
        /// Distance of the outer end from the centre; the inner end is at a third of it.
        #[serde(default = "defaults::ring_radius")]
        radius: f64,
        /// Standard deviation of the noise.
        #[serde(default = "defaults::noise")]
        noise: f64,
        /// Width of the band in the third dimension, centred at 0; absent for two dimensions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        height: Option<f64>,
    },
    /// Uniform on the squares of one colour of a board centred at 0.
    Checkerboard {
        /// Squares per side.
        #[serde(default = "defaults::side")]
        squares: usize,
        /// Half the side of the board.
        #[serde(default = "defaults::half_side")]
        half_side: f64,
    },
    /// The surface of a torus in three dimensions, around the third; both angles are uniform.
    Torus {
        /// Distance of the middle of the tube from the axis.
        #[serde(default = "defaults::ring_radius")]
        radius: f64,
        /// Radius of the tube, below `radius`.
        #[serde(default = "defaults::one")]
        tube: f64,
        /// Standard deviation of the noise.
        #[serde(default = "defaults::noise")]
        noise: f64,
    },
}

/// A component of a [`Target::Mixture`], with either standard deviations or a covariance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Weight of the component; weights are normalised.
    #[serde(default = "defaults::one")]
    pub weight: f64,
    /// Mean of the component, `[d]`.
    pub mean: Vec<f64>,
    /// Standard deviation of each dimension; a single number is repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub std: Option<Vec<f64>>,
    /// The covariance by rows, [d, d].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covariance: Option<Vec<Vec<f64>>>,
}

mod defaults {
    crate::defaults::defaults! {
        zero: Vec<f64> = vec![0.0];
        one: f64 = 1.0;
        two: usize = 2;
        modes: usize = 5;
        ring_radius: f64 = 3.0;
        sigma: f64 = 0.3;
        side: usize = 4;
        spacing: f64 = 2.0;
        grid_sigma: f64 = 0.2;
        noise: f64 = 0.1;
        radii: Vec<f64> = vec![1.0, 2.0, 3.0];
        turns: f64 = 1.5;
        spiral_radius: f64 = 3.0;
        half_side: f64 = 2.0;
    }
}

impl Target {
    /// d, the width of a sample.
    pub fn width(&self) -> usize {
        match self {
            Self::Gaussian { mean, width, .. } => width.unwrap_or(mean.len()),
            Self::GaussianRing { width, .. } | Self::GaussianGrid { width, .. } => *width,
            Self::Mixture { components } => components.first().map_or(0, |c| c.mean.len()),
            Self::SwissRoll { height, .. } => 2 + usize::from(height.is_some()),
            Self::Torus { .. } => 3,
            _ => 2,
        }
    }

    /// Name of the kind, as in its `kind` field.
    pub fn kind(&self) -> String {
        kind_of(self)
    }

    /// Reports every value out of range.
    pub fn check(&self, p: &mut Problems) {
        match self {
            Self::Gaussian {
                mean,
                std,
                covariance,
                width,
            } => {
                let width = width.unwrap_or(mean.len());
                p.at_least("width", width, 1);
                check_gaussian(p, mean, std.as_deref(), covariance.as_deref(), width);
            }
            Self::GaussianRing {
                modes,
                radius,
                sigma,
                width,
            } => {
                p.at_least("modes", *modes, 1);
                p.at_least("width", *width, 2);
                p.positive("radius", *radius, "1.0");
                p.positive("sigma", *sigma, "0.1");
            }
            Self::GaussianGrid {
                side,
                spacing,
                sigma,
                width,
            } => {
                p.at_least("side", *side, 1);
                p.at_least("width", *width, 1);
                check_modes(p, *side, *width);
                p.positive("spacing", *spacing, "1.0");
                p.positive("sigma", *sigma, "0.1");
            }
            Self::Mixture { components } => check_components(p, components, self.width()),
            Self::Moons { noise } => check_noise(p, *noise, 1.0),
            Self::Rings { radii, noise } => {
                p.require(!radii.is_empty(), "radii", "none", "at least one");
                radii.iter().for_each(|&r| p.positive("radii", r, "1.0"));
                check_noise(p, *noise, radii.iter().copied().fold(0.0, f64::max));
            }
            Self::Spiral {
                arms,
                turns,
                radius,
                noise,
            } => {
                let holds = *turns > 0.0 && *turns <= 20.0;
                p.within("arms", *arms, 1..=64);
                p.require(holds, "turns", turns, "a number in (0, 20]");
                p.positive("radius", *radius, "1.0");
                check_noise(p, *noise, *radius);
            }
            Self::SwissRoll {
                radius,
                noise,
                height,
            } => {
                p.positive("radius", *radius, "1.0");
                check_noise(p, *noise, *radius);
                if let Some(height) = height {
                    p.positive("height", *height, "1.0");
                }
            }
            Self::Checkerboard { squares, half_side } => {
                p.within("squares", *squares, 2..=1024);
                p.positive("half_side", *half_side, "1.0");
            }
            Self::Torus {
                radius,
                tube,
                noise,
            } => {
                let expected = format!("a number between 0 and the radius, {radius}");
                p.positive("radius", *radius, "1.0");
                p.require(*tube > 0.0 && tube < radius, "tube", tube, &expected);
                check_noise(p, *noise, *radius);
            }
        }
    }

    /// `count` samples, row-major [count, d].
    ///
    /// # Panics
    /// If [`Self::check`] finds problems.
    pub fn sample(&self, count: usize, rng: &mut (impl Rng + ?Sized)) -> Vec<f32> {
        let sampler = match self.law() {
            Some(law) => law,
            None => panic!("{} has no density; call Target::check first", self.kind()),
        };
        let mut out = Vec::with_capacity(count * self.width());
        for _ in 0..count {
            match &sampler {
                Law::Mixture(density) => density.sample_into(rng, &mut out),
                Law::Curve(curve) => curve.sample_into(rng, &mut out),
                Law::Board(board) => board.sample_into(rng, &mut out),
                Law::Torus(torus) => torus.sample_into(rng, &mut out),
            }
        }
        out
    }

    /// ln p(x) in nats, -inf where the density is zero; `None` if the parameters are invalid. Prepares the
    /// density on each call: for many points use [`Self::density`].
    pub fn log_density(&self, x: &[f64]) -> Option<f64> {
        Some(self.density()?.log_density(x))
    }

    /// The density, prepared for many points; `None` if the parameters are invalid.
    pub fn density(&self) -> Option<Density> {
        Some(Density(match self.law()? {
            Law::Mixture(density) => Prepared::Mixture(density),
            Law::Curve(curve) => Prepared::Curve(curve.density()),
            Law::Board(board) => Prepared::Board(board),
            Law::Torus(torus) => Prepared::Torus(torus.density()),
        }))
    }

    /// The same distribution as a Gaussian mixture, if it is one.
    pub fn as_mixture(&self) -> Option<GaussianMixture> {
        Some(match self {
            Self::Gaussian {
                mean,
                std,
                covariance,
                ..
            } => {
                let width = self.width();
                GaussianMixture {
                    weights: vec![1.0],
                    means: vec![repeat(mean, width)],
                    covariances: vec![spread(std.as_deref(), covariance.as_deref(), width)],
                }
            }
            &Self::GaussianRing {
                modes,
                radius,
                sigma,
                width,
            } => isotropic(means_on_a_ring(modes, radius, width), sigma),
            &Self::GaussianGrid {
                side,
                spacing,
                sigma,
                width,
            } => isotropic(means_on_a_grid(side, spacing, width), sigma),
            Self::Mixture { components } => GaussianMixture {
                weights: {
                    let total: f64 = components.iter().map(|c| c.weight).sum();
                    components.iter().map(|c| c.weight / total).collect()
                },
                means: components.iter().map(|c| c.mean.clone()).collect(),
                covariances: components
                    .iter()
                    .map(|c| spread(c.std.as_deref(), c.covariance.as_deref(), c.mean.len()))
                    .collect(),
            },
            _ => return None,
        })
    }

    /// The sampler; `None` if the parameters are invalid.
    fn law(&self) -> Option<Law> {
        let mut problems = Problems::new();
        self.check(&mut problems);
        problems.into_result().ok()?;
        if let Some(mixture) = self.as_mixture() {
            return Some(Law::Mixture(mixture.density()?));
        }
        Some(match *self {
            Self::Checkerboard { squares, half_side } => Law::Board(Board { squares, half_side }),
            Self::Torus {
                radius,
                tube,
                noise,
            } => Law::Torus(Torus {
                radius,
                tube,
                noise,
            }),
            _ => Law::Curve(self.curve()?),
        })
    }

    fn curve(&self) -> Option<Curve> {
        type Path = Box<dyn Fn(f64) -> [f64; 2] + Send + Sync>;
        let (paths, noise, height): (Vec<Path>, f64, Option<f64>) = match self {
            Self::Moons { noise } => {
                let outer: Path = Box::new(|s| [(PI * s).cos(), (PI * s).sin()]);
                let inner: Path = Box::new(|s| [1.0 - (PI * s).cos(), 0.5 - (PI * s).sin()]);
                (vec![outer, inner], *noise, None)
            }
            Self::Rings { radii, noise } => {
                let ring = |&radius: &f64| -> Path {
                    Box::new(move |s| {
                        let angle = 2.0 * PI * s;
                        [radius * angle.cos(), radius * angle.sin()]
                    })
                };
                (radii.iter().map(ring).collect(), *noise, None)
            }
            &Self::Spiral {
                arms,
                turns,
                radius,
                noise,
            } => {
                let arm = |k: usize| -> Path {
                    let turned = 2.0 * PI * k as f64 / arms as f64;
                    Box::new(move |s| {
                        let angle = 2.0 * PI * turns * s + turned;
                        [radius * s * angle.cos(), radius * s * angle.sin()]
                    })
                };
                ((0..arms).map(arm).collect(), noise, None)
            }
            &Self::SwissRoll {
                radius,
                noise,
                height,
            } => {
                let roll: Path = Box::new(move |s| {
                    let angle = 1.5 * PI * (1.0 + 2.0 * s);
                    let distance = radius * angle / (4.5 * PI);
                    [distance * angle.cos(), distance * angle.sin()]
                });
                (vec![roll], noise, height)
            }
            _ => return None,
        };
        let weight = 1.0 / paths.len() as f64;
        Some(Curve {
            arcs: paths.into_iter().map(|at| Arc { weight, at }).collect(),
            noise,
            height,
        })
    }
}

/// A distribution prepared for sampling.
enum Law {
    Mixture(MixtureDensity),
    Curve(Curve),
    Board(Board),
    Torus(Torus),
}

/// A density prepared for evaluation.
#[derive(Debug, Clone)]
pub struct Density(Prepared);

#[derive(Debug, Clone)]
enum Prepared {
    Mixture(MixtureDensity),
    Curve(CurveDensity),
    Board(Board),
    Torus(TorusDensity),
}

impl Density {
    /// ln p(x) in nats, -inf where the density is zero. Exact for mixtures and the checkerboard; within 1e-6 by
    /// quadrature for curves and the torus, where the density is not negligible. Farther than about 40 standard
    /// deviations of the noise from the band of a three-dimensional Swiss roll it is -inf.
    pub fn log_density(&self, x: &[f64]) -> f64 {
        match &self.0 {
            Prepared::Mixture(density) => density.log_density(x),
            Prepared::Curve(density) => density.log_density(x),
            Prepared::Board(board) => board.log_density(x),
            Prepared::Torus(density) => density.log_density(x),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Board {
    squares: usize,
    half_side: f64,
}

impl Board {
    /// Number of squares (i, j) with i + j even.
    fn dark(&self) -> usize {
        (self.squares * self.squares).div_ceil(2)
    }

    fn side(&self) -> f64 {
        2.0 * self.half_side / self.squares as f64
    }

    fn sample_into(&self, rng: &mut (impl Rng + ?Sized), out: &mut Vec<f32>) {
        let (i, j) = loop {
            let (i, j) = (
                rng.random_range(0..self.squares),
                rng.random_range(0..self.squares),
            );
            if (i + j) % 2 == 0 {
                break (i, j);
            }
        };
        for place in [i, j] {
            let inside: f64 = rng.random();
            out.push(((place as f64 + inside) * self.side() - self.half_side) as f32);
        }
    }

    fn log_density(&self, x: &[f64]) -> f64 {
        let square = |v: f64| {
            let place = ((v + self.half_side) / self.side()).floor();
            (place >= 0.0 && place < self.squares as f64).then_some(place as usize)
        };
        match (square(x[0]), square(x[1])) {
            (Some(i), Some(j)) if (i + j) % 2 == 0 => {
                -(self.dark() as f64 * self.side() * self.side()).ln()
            }
            _ => f64::NEG_INFINITY,
        }
    }
}

/// Equal Gaussians with `means` and one standard deviation, `sigma`.
fn isotropic(means: Vec<Vec<f64>>, sigma: f64) -> GaussianMixture {
    let width = means.first().map_or(0, Vec::len);
    GaussianMixture {
        weights: vec![1.0 / means.len() as f64; means.len()],
        covariances: vec![diagonal(&vec![sigma; width]); means.len()],
        means,
    }
}

/// `count` points at equal angles on a circle in the first two dimensions.
fn means_on_a_ring(count: usize, radius: f64, width: usize) -> Vec<Vec<f64>> {
    let mean = |k: usize| {
        let angle = 2.0 * PI * k as f64 / count as f64;
        let mut mean = vec![0.0; width.max(2)];
        mean[0] = radius * angle.cos();
        mean[1] = radius * angle.sin();
        mean
    };
    (0..count).map(mean).collect()
}

/// The points of a grid centred at 0, `side` along each dimension.
fn means_on_a_grid(side: usize, spacing: f64, width: usize) -> Vec<Vec<f64>> {
    let centre = (side as f64 - 1.0) / 2.0;
    let place = |k: usize, axis: u32| (k / side.pow(axis) % side) as f64;
    let mean = |k: usize| {
        (0..width as u32)
            .map(|axis| spacing * (place(k, axis) - centre))
            .collect()
    };
    (0..side.pow(width as u32)).map(mean).collect()
}

/// Repeats a single number `width` times.
fn repeat(values: &[f64], width: usize) -> Vec<f64> {
    match values {
        [value] => vec![*value; width],
        _ => values.to_vec(),
    }
}

fn diagonal(std: &[f64]) -> Vec<f64> {
    let width = std.len();
    let mut covariance = vec![0.0; width * width];
    for (i, s) in std.iter().enumerate() {
        covariance[i * width + i] = s * s;
    }
    covariance
}

/// The covariance, row-major [d, d].
fn spread(std: Option<&[f64]>, covariance: Option<&[Vec<f64>]>, width: usize) -> Vec<f64> {
    match (std, covariance) {
        (_, Some(rows)) => rows.concat(),
        (Some(std), None) => diagonal(&repeat(std, width)),
        (None, None) => diagonal(&vec![1.0; width]),
    }
}

/// Noise that is too small for a figure of `size`.
fn check_noise(p: &mut Problems, noise: f64, size: f64) {
    let least = LEAST_NOISE * size;
    let expected = format!("at least {least}, a thousandth of the figure's size");
    p.require(
        noise >= least && noise.is_finite(),
        "noise",
        noise,
        &expected,
    );
}

fn check_modes(p: &mut Problems, side: usize, width: usize) {
    let width_of_power = u32::try_from(width).ok();
    let modes = width_of_power.and_then(|width| side.checked_pow(width));
    let expected = format!("at most 4096 modes in all, side^width with width {width}");
    p.require(modes.is_some_and(|n| n <= 4096), "side", side, &expected);
}

fn check_components(p: &mut Problems, components: &[Component], width: usize) {
    p.require(!components.is_empty(), "components", "none", "at least one");
    for (k, component) in components.iter().enumerate() {
        p.section(&format!("components[{k}]"), |p| {
            p.positive("weight", component.weight, "1.0");
            let (std, covariance) = (component.std.as_deref(), component.covariance.as_deref());
            check_gaussian(p, &component.mean, std, covariance, width);
        });
    }
}

fn check_gaussian(
    p: &mut Problems,
    mean: &[f64],
    std: Option<&[f64]>,
    covariance: Option<&[Vec<f64>]>,
    width: usize,
) {
    let of_width = |n: usize| n == width || n == 1;
    let expected = format!("{width} finite numbers, or a single one for all dimensions");
    p.require(
        of_width(mean.len()) && mean.iter().all(|v| v.is_finite()),
        "mean",
        format!("{mean:?}"),
        &expected,
    );
    p.require(
        std.is_none() || covariance.is_none(),
        "covariance",
        "both `std` and `covariance`",
        "one of them",
    );
    if let Some(std) = std {
        p.require(
            of_width(std.len()) && std.iter().all(|v| *v > 0.0 && v.is_finite()),
            "std",
            format!("{std:?}"),
            &format!("{width} positive numbers, or a single one for all dimensions"),
        );
    }
    if let Some(rows) = covariance {
        let square = rows.len() == width && rows.iter().all(|row| row.len() == width);
        let symmetric = square
            && (0..width).all(|i| {
                (0..i).all(|j| {
                    (rows[i][j] - rows[j][i]).abs() <= 1e-9 * (rows[i][i] * rows[j][j]).abs().sqrt()
                })
            });
        let positive = symmetric
            && nalgebra::DMatrix::from_row_slice(width, width, &rows.concat())
                .cholesky()
                .is_some();
        p.require(
            positive,
            "covariance",
            if !square {
                "rows of other lengths"
            } else if !symmetric {
                "a matrix that is not symmetric"
            } else {
                "a matrix that is not positive definite"
            },
            &format!("a symmetric positive definite matrix, {width} rows of {width} numbers"),
        );
    }
}
