//! How closely each kind of posterior approximates distributions in the plane: one posterior without encoder, with
//! free parameters, fitted by minimising its KL divergence from the target. `make check-posteriors` writes the
//! table and a picture.

use super::image_grid::write_images_in_columns;
use crate::data::DataShape;
use crate::numerics::{mean, standard_error};
use crate::posteriors::{
    Gaussian, Head, Householder, Iaf, LinearIaf, Planar, Posterior, PosteriorConfig, PosteriorHead,
    Radial,
};
use crate::priors::PointShape;
use crate::random::Streams;
use crate::tensors::{from_f32, to_f64};
use crate::training::{OptimiserConfig, Trainer};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use std::f64::consts::{LN_2, TAU};
use std::fmt::Write as _;
use std::path::PathBuf;

/// A distribution in the plane.
#[derive(Debug, Clone, Copy)]
enum Target {
    /// Standard deviations of 1, correlation 0.9.
    Correlated,
    /// `z_1 ~ N(0, 1)`, `z_2 ~ N(z_1^2 / 2, 0.3^2)`.
    Banana,
    /// An equal mixture of two isotropic Gaussians of standard deviation 0.4 at distance 3.
    TwoModes,
    /// A ring of radius 2, densest at two opposite places (U_1 of Rezende and Mohamed 2015, arXiv 1505.05770).
    Ring,
}

const RHO: f64 = 0.9;
/// Mean and standard deviation of the modes.
const MODE: (f64, f64) = (1.5, 0.4);
const BANANA: f64 = 0.3;

impl Target {
    const BENT: [Self; 3] = [Self::Banana, Self::TwoModes, Self::Ring];

    /// The log-density minus [`Self::constant`], of each row of `z` [n, 2]: [n, 1].
    fn energy(self, z: Tensor<2>) -> Tensor<2> {
        let [a, b] = [0, 1].map(|i| z.clone().narrow(1, i, 1));
        // log(exp(-u^2 / 2) + exp(-v^2 / 2))
        let either = |u: Tensor<2>, v: Tensor<2>| {
            let (u, v) = (u.square().mul_scalar(-0.5), v.square().mul_scalar(-0.5));
            let most = u.clone().max_pair(v.clone());
            most.clone() + ((u - most.clone()).exp() + (v - most).exp()).log()
        };
        match self {
            Self::Correlated => {
                let square = (b - a.clone().mul_scalar(RHO)).square() / (1.0 - RHO * RHO);
                (a.square() + square).mul_scalar(-0.5)
            }
            Self::Banana => {
                let square = (b - a.clone().square().mul_scalar(0.5)) / BANANA;
                (a.square() + square.square()).mul_scalar(-0.5)
            }
            Self::TwoModes => {
                let (at, scale) = MODE;
                either((a.clone() - at) / scale, (a + at) / scale)
                    - (b / scale).square().mul_scalar(0.5)
            }
            Self::Ring => {
                let radius = (a.clone().square() + b.square() + 1e-12).sqrt();
                either((a.clone() - 2.0) / 0.6, (a + 2.0) / 0.6)
                    - ((radius - 2.0) / 0.4).square().mul_scalar(0.5)
            }
        }
    }

    /// The log of the integral of `exp(energy)`.
    fn log_integral(self) -> f64 {
        match self {
            Self::Correlated => TAU.ln() + 0.5 * (1.0 - RHO * RHO).ln(),
            Self::Banana => TAU.ln() + BANANA.ln(),
            Self::TwoModes => LN_2 + TAU.ln() + 2.0 * MODE.1.ln(),
            Self::Ring => self.integrated(1200).ln(),
        }
    }

    /// The integral of `exp(energy)` over a square that contains nearly all of it, with `cells` cells per side.
    fn integrated(self, cells: usize) -> f64 {
        let step = 2.0 * SIDE / cells as f64;
        self.densities(cells).iter().sum::<f64>() * step * step
    }

    /// `exp(energy)` at the centres of `cells` cells per side of the square, top row first.
    fn densities(self, cells: usize) -> Vec<f64> {
        let step = 2.0 * SIDE / cells as f64;
        let at = |i: usize| (-SIDE + (i as f64 + 0.5) * step) as f32;
        let points = (0..cells).rev();
        let points =
            points.flat_map(|row| (0..cells).flat_map(move |column| [at(column), at(row)]));
        let points = from_f32(points.collect(), [cells * cells, 2], &Device::flex());
        let energies = to_f64(self.energy(points)).unwrap();
        energies.into_iter().map(f64::exp).collect()
    }
}

/// Half the side of the square of pictures and integrals.
const SIDE: f64 = 6.0;

/// A posterior of two numbers.
#[derive(Module, Debug)]
struct Free {
    means: Param<Tensor<2>>,
    others: Option<Param<Tensor<2>>>,
    head: PosteriorHead,
}

const SHAPE: PointShape = PointShape {
    tokens: 1,
    width: 2,
};

/// Initial mean of the first number and log-variances of both.
type Start = (f32, f32);

/// N(0, I), which covers every mode.
const WIDE: Start = (0.0, 0.0);
/// Closer to one mode than to the others.
const BESIDE: Start = (1.0, -2.0);

impl Free {
    /// Initialised like a free point, except for mean and variance.
    fn new(config: &PosteriorConfig, start: Start, device: &Device) -> Self {
        let parameter = |values: Vec<f32>| {
            let count = values.len();
            Param::from_tensor(from_f32(values, [1, count], device))
        };
        let mut others = config.kind().start(SHAPE);
        others[..2].fill(start.1);
        Self {
            means: parameter(vec![start.0, 0.0]),
            others: Some(parameter(others)),
            head: PosteriorHead::new(config, SHAPE, Streams::new(1), device),
        }
    }

    /// The same posterior, repeated `times` times.
    fn posterior(&self, times: usize) -> Box<dyn Posterior> {
        let repeated = |row: &Param<Tensor<2>>| row.val().repeat_dim(0, times);
        let others = self.others.as_ref().map(repeated);
        self.head.posterior(repeated(&self.means), others)
    }

    /// `log q(z) - energy(z)` of `draws` draws [n, 1], and the draws [n, 2].
    fn compared(&self, target: Target, draws: usize, step: u64) -> (Tensor<2>, Tensor<2>) {
        let drawn = self
            .posterior(draws)
            .draw(&mut Streams::new(2).at("draws", step));
        let log_density = drawn.log_density().expect("it has a density");
        let z = drawn.latents;
        (log_density - target.energy(z.clone()), z)
    }

    /// Fits `config` from `start` by `steps` steps with `draws` draws each, minimising its KL divergence from
    /// `target`.
    fn fitted(
        config: &PosteriorConfig,
        start: Start,
        target: Target,
        steps: u64,
        draws: usize,
    ) -> Self {
        let optimiser = OptimiserConfig {
            learning_rate: 0.01,
            ema: 0.99,
            ..OptimiserConfig::default()
        };
        let free = Self::new(config, start, &Device::flex().autodiff());
        let mut trainer = Trainer::new(free, &optimiser, steps);
        for step in 0..steps {
            let (difference, _) = trainer.module.compared(target, draws, step);
            trainer = trainer.step(difference.mean().backward());
        }
        trainer.averaged()
    }

    /// Its KL divergence from `target` in nats with its standard error, from `draws` fresh draws, and the draws [n,
    /// 2].
    fn divergence(&self, target: Target, draws: usize) -> (f64, f64, Vec<f64>) {
        let (difference, z) = self.compared(target, draws, u64::MAX);
        let values = to_f64(difference).unwrap();
        let kl = mean(&values) + target.log_integral();
        (kl, standard_error(&values, 1), to_f64(z).unwrap())
    }
}

/// Fails if an energy does not match its integral.
#[test]
fn integrals_of_targets_are_those_of_their_energies() {
    for target in [Target::Correlated, Target::Banana, Target::TwoModes] {
        // the banana leaves the square at the top with a negligible share
        let found = target.integrated(1200).ln() - target.log_integral();
        assert!(found.abs() < 1e-3, "{target:?}: {found}");
    }
    let [coarse, fine] = [600, 1200].map(|cells| Target::Ring.integrated(cells));
    assert!((coarse / fine - 1.0).abs() < 1e-4, "{coarse} {fine}");
}

/// In closed form: every diagonal Gaussian has a divergence of at least `-ln(1 - rho^2) / 2` from a correlated one.
/// Fails if an overestimated density makes a divergence look smaller, or a family of all Gaussians does not reach
/// this one.
#[test]
fn a_correlated_gaussian_is_reached_by_all_kinds_but_the_diagonal_one() {
    let floor = -0.5 * (1.0 - RHO * RHO).ln();
    assert!((floor - 0.8304).abs() < 1e-4);
    let fit = |config: PosteriorConfig| {
        let free = Free::fitted(&config, WIDE, Target::Correlated, 2000, 128);
        (free.divergence(Target::Correlated, 4096), free)
    };
    let ((found, error, _), free) = fit(PosteriorConfig::Gaussian(Gaussian {}));
    assert!(
        (found - floor).abs() < 4.0 * error + 0.01,
        "{found} {floor}"
    );
    // in closed form, a lower bound
    let [means, others] =
        [free.means.val(), free.others.unwrap().val()].map(|t| to_f64(t).unwrap());
    let [a, b] = [0, 1].map(|i| others[i].exp());
    let square = means[0].powi(2) + (means[1] - RHO * means[0]).powi(2) / (1.0 - RHO * RHO);
    let trace = a + (b + RHO * RHO * a) / (1.0 - RHO * RHO);
    let exact = 0.5 * (trace + square - 2.0 - (a * b).ln() + (1.0 - RHO * RHO).ln());
    assert!(exact > floor && exact < floor + 0.01, "{exact} {floor}");

    for config in [
        PosteriorConfig::LinearIaf(LinearIaf::default()),
        PosteriorConfig::LinearIaf(LinearIaf { matrices: 3 }),
        // M - 1 reflections for M numbers per row
        PosteriorConfig::Householder(Householder { steps: 1 }),
        PosteriorConfig::Iaf(Iaf {
            steps: 2,
            widths: vec![16],
        }),
    ] {
        let what = format!("{config:?}");
        let (found, error, _) = fit(config).0;
        assert!(
            found < 0.01 && found > -4.0 * error - 1e-6,
            "{what}: {found} +- {error}"
        );
    }
}

/// Kinds in the table and the picture.
fn kinds() -> Vec<(&'static str, PosteriorConfig)> {
    vec![
        ("gaussian", PosteriorConfig::Gaussian(Gaussian {})),
        (
            "householder, 1 step",
            PosteriorConfig::Householder(Householder { steps: 1 }),
        ),
        (
            "linear_iaf",
            PosteriorConfig::LinearIaf(LinearIaf::default()),
        ),
        (
            "planar, 2 steps",
            PosteriorConfig::Planar(Planar { steps: 2 }),
        ),
        (
            "planar, 16 steps",
            PosteriorConfig::Planar(Planar { steps: 16 }),
        ),
        (
            "radial, 16 steps",
            PosteriorConfig::Radial(Radial { steps: 16 }),
        ),
        (
            "iaf, 2 steps of 64",
            PosteriorConfig::Iaf(Iaf {
                steps: 2,
                widths: vec![64],
            }),
        ),
        (
            "iaf, 6 steps of 64",
            PosteriorConfig::Iaf(Iaf {
                steps: 6,
                widths: vec![64],
            }),
        ),
    ]
}

/// A short version of the table with the same order of kinds. Fails if a nonlinear kind does not improve on the
/// best Gaussian, or a divergence is negative beyond chance.
#[test]
fn kinds_that_bend_come_closer_to_a_banana_than_any_gaussian() {
    let mut found = kinds();
    found
        .retain(|(name, _)| ["linear_iaf", "planar, 2 steps", "iaf, 2 steps of 64"].contains(name));
    let found: Vec<f64> = (found.iter())
        .map(|(name, config)| {
            let free = Free::fitted(config, WIDE, Target::Banana, 1500, 128);
            let (kl, error, _) = free.divergence(Target::Banana, 4096);
            assert!(kl > -4.0 * error, "{name}: {kl} +- {error}");
            kl
        })
        .collect();
    let [gaussian, planar, iaf] = found[..] else {
        panic!("{found:?}")
    };
    assert!(gaussian > 0.3, "{gaussian}");
    assert!(planar < 0.7 * gaussian, "{planar} {gaussian}");
    assert!(iaf < 0.5 * planar.max(0.1), "{iaf} {planar}");
}

/// Cells per side of a picture.
const CELLS: usize = 56;

/// Draws per picture, enough for a smooth one.
const SHOWN: usize = 100_000;

/// `make check-posteriors`: the KL divergence of each kind from each target, and a picture.
#[test]
fn each_kind_and_how_close_it_comes() {
    if std::env::var_os("LATENT_ALIGN_FULL").is_none() {
        return; // the tests above are its short versions
    }
    let mut table = String::from("| posterior |");
    for target in Target::BENT {
        let _ = write!(table, " {target:?} |");
    }
    table.push_str("\n|---|---|---|---|\n");
    let mut pictures: Vec<f32> = Vec::new();
    for target in Target::BENT {
        pictures.extend(brightness(&target.densities(CELLS)));
    }
    let mut largest = 0.0f64;
    for (name, config) in kinds() {
        let _ = write!(table, "| {name} |");
        for target in Target::BENT {
            let of_start = |start| {
                let free = Free::fitted(&config, start, target, 5000, 256);
                free.divergence(target, SHOWN)
            };
            let [wide, beside] = [WIDE, BESIDE].map(of_start);
            let _ = write!(table, " {:.3}, {:.3} |", wide.0, beside.0);
            let (_, error, z) = if wide.0 < beside.0 { wide } else { beside };
            largest = largest.max(error);
            let mut counts = vec![0.0; CELLS * CELLS];
            for point in z.chunks(2) {
                let cell = |x: f64| ((x + SIDE) / (2.0 * SIDE) * CELLS as f64).floor();
                let (column, row) = (cell(point[0]), CELLS as f64 - 1.0 - cell(point[1]));
                let range = 0.0..CELLS as f64;
                if range.contains(&column) && range.contains(&row) {
                    counts[row as usize * CELLS + column as usize] += 1.0;
                }
            }
            pictures.extend(brightness(&counts));
        }
        table.push('\n');
    }
    println!(
        "KL(q || target) in nats from a wide start, and from one beside the middle; by {SHOWN} draws, to a standard error of \
         {largest:.3} or less where it is lower\n\n{table}"
    );
    if let Some(out) = std::env::var_os("LATENT_ALIGN_OUT") {
        let path = PathBuf::from(out);
        let shape = DataShape {
            channels: 1,
            height: CELLS,
            width: CELLS,
        };
        // one band per kind, below the targets
        write_images_in_columns(&path, &pictures, shape, Target::BENT.len()).unwrap();
        println!("{}", path.display());
    }
}

/// Densities as brightness: the square root, since tails are faint, relative to the largest.
fn brightness(densities: &[f64]) -> Vec<f32> {
    let most = densities.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let share = densities.iter().map(|density| (density / most).sqrt());
    share.map(|share| share as f32).collect()
}
