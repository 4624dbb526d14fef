//! The protocol between the driver and a worker: one line of JSON in each direction.

use super::jobs::{Align, OfImages, OfProbe, OfVae, Size, TarSize};
use super::jobs::{student, surrogate};
use latent_align_stages::priors::VelocityNetworkConfig;
use latent_align_stages::training::{MatmulPrecision, OptimiserConfig};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A request to a worker. All but [`Self::Product`] refer to the last task.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Drop the last task and set up this one.
    Prepare(Task),
    /// Run this many steps.
    Steps(u64),
    /// The NLLs of the last step.
    Likelihoods(()),
    /// The held-out loss of the averaged weights.
    HeldOutLoss(()),
    /// For PyTorch: the loss of a training or an alignment step and its gradient, with respect to the weights or
    /// the latents, at given inputs instead of random ones.
    Gradient {
        /// Weights of the flow.
        flow: PathBuf,
        /// `points` and `noise` [n, d]; `times` `[k]`, each for n / k consecutive points.
        points: PathBuf,
    },
    /// Write the results of the task into the folder: this program first, the others then compute the same from its
    /// files. See `Shown`.
    Show { folder: PathBuf },
    /// Multiply two square matrices.
    Product {
        /// Rows and columns of each.
        side: usize,
        /// Timed products, after a warm-up product.
        times: usize,
    },
    /// Describe the worker.
    About(()),
}

/// The answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The task is set up, or the description of the worker.
    Ready(String),
    /// The requested files are written.
    Written(()),
    /// Seconds per step.
    Seconds(f64),
    /// NLLs in nats, a loss (and its gradient), or the seconds of each product.
    Values(Vec<f64>),
    /// The error.
    Failed(String),
}

/// A task to set up.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Task {
    /// A training step of the flow on random rows.
    Train { size: Shape },
    /// An alignment step on random latents.
    Align {
        size: Shape,
        /// The times of the loss, ascending.
        grid: Vec<f64>,
    },
    /// A training step of a TarFlow on random points.
    Tarflow { size: TarSize },
    /// The NLLs of random points under a TarFlow.
    TarflowNll { size: TarSize },
    /// Samples of a TarFlow, token by token.
    TarflowSamples { size: TarSize },
    /// A training step of a VAE of binary images.
    Vae { posterior: OfVae },
    /// A training step of an autoencoder of images.
    Autoencoder { size: OfImages },
    /// A training step of a classifier of images.
    Classifier { size: OfImages },
    /// The importance-weighted NLL of a hundred binary images.
    Weigh {
        /// Draws of each.
        samples: usize,
    },
    /// A linear probe fitted to random points.
    Probe { of: OfProbe },
    /// A step of an autoencoder with distribution matching, the student's steps included.
    Student(Matching),
    /// Latents mapped to points of a prior.
    Carry {
        /// The flow of the latents, and that of the target's tokens.
        flows: [Shape; 2],
        latents: usize,
        /// Of a step, absolute and relative.
        tolerance: f64,
    },
    /// The surrogate in a round of a search in latents.
    Surrogate(Believing),
    /// An evaluation of velocity and exact divergence at random points.
    Divergence { size: Shape },
    /// A whole solve: the NLL of given points under a given flow.
    Likelihood {
        size: Shape,
        /// Weights of the flow.
        flow: PathBuf,
        /// `points` [n, d].
        points: PathBuf,
        /// Whether PyTorch solves the trajectory first and then integrates the divergence along it as this program
        /// does, instead of both at once with torchdiffeq.
        nested: bool,
        /// In the sense of the side's solver: absolute and relative of a step for torchdiffeq; see `NllOptions` for
        /// this program.
        tolerance: f64,
    },
    /// A batch of shuffled rows of an HDF5 file.
    Stream {
        file: PathBuf,
        /// [n, d], f32.
        dataset: String,
        /// Rows.
        batch: usize,
        /// For rows, in bytes.
        memory: usize,
    },
    /// A whole training from given weights on given rows.
    Fit {
        size: Shape,
        /// Initial weights: those that `FitConfig::begin` draws from the seed.
        flow: PathBuf,
        /// `rows` [n, d] in training order; held out: `data` and `noise` [m, d], `times` `[m]`.
        points: PathBuf,
        optimiser: OptimiserConfig,
        /// Of the initial weights, noise and times.
        seed: u64,
    },
}

/// The settings of distribution matching.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Matching {
    pub flow: Shape,
    pub student: Shape,
    pub images: usize,
    pub weight: f64,
    pub draws: usize,
    pub student_steps: usize,
    pub optimiser: OptimiserConfig,
}

impl Matching {
    /// Those of this program's job.
    pub fn ours() -> Self {
        let matching = student::matching();
        Self {
            flow: student::FLOW.into(),
            student: student::STUDENT.into(),
            images: student::IMAGES,
            weight: matching.weight,
            draws: matching.draws,
            student_steps: matching.student_steps,
            optimiser: OptimiserConfig {
                learning_rate: matching.student_learning_rate,
                ..OptimiserConfig::default()
            },
        }
    }
}

/// The sizes of a surrogate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Believing {
    pub evaluations: usize,
    pub fitted_to: usize,
    pub steps: usize,
    pub tokens: usize,
    pub width: usize,
    pub regions: usize,
    pub candidates: usize,
    pub draws: usize,
    pub features: usize,
}

impl Believing {
    /// Those of this program's job.
    pub fn ours() -> Self {
        use surrogate::{
            CANDIDATES, DRAWS, EVALUATIONS, FEATURES, FITTED_TO, REGIONS, STEPS, TOKENS, WIDTH,
        };
        Self {
            evaluations: EVALUATIONS,
            fitted_to: FITTED_TO,
            steps: STEPS,
            tokens: TOKENS,
            width: WIDTH,
            regions: REGIONS,
            candidates: CANDIDATES,
            draws: DRAWS,
            features: FEATURES,
        }
    }
}

/// A size with all settings of its network, so that no default of the other side matters.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Shape {
    #[serde(flatten)]
    pub size: Size,
    pub frequencies: usize,
    pub time_scale: f64,
    /// Times per step, each shared by batch / times points if times are shared.
    pub times: usize,
    /// Of the products of matrices in the blocks.
    pub precision: MatmulPrecision,
}

impl From<Size> for Shape {
    fn from(size: Size) -> Self {
        let VelocityNetworkConfig {
            frequencies,
            time_scale,
            ..
        } = size.network();
        Self {
            size,
            frequencies,
            time_scale,
            times: size.fit().times,
            precision: MatmulPrecision::F32,
        }
    }
}

impl Shape {
    fn in_precision(self, precision: MatmulPrecision) -> Self {
        Self { precision, ..self }
    }
}

impl Task {
    /// A training step.
    pub fn train(size: Size, precision: MatmulPrecision) -> Self {
        let size = Shape::from(size).in_precision(precision);
        Self::Train { size }
    }

    /// An alignment step.
    pub fn align(size: Size, precision: MatmulPrecision) -> Self {
        Self::Align {
            size: Shape::from(size).in_precision(precision),
            grid: Align::grid(),
        }
    }
}
