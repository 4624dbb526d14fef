//! The protocol between the driver, `driver/`, and a worker: one line of JSON in each direction.

use super::jobs::search::{self, Pass};
use super::jobs::{Align, OfImages, OfProbe, OfVae, Size, TarSize};
use super::jobs::{student, surrogate};
use latent_align_stages::optimisation::LatentsConfig;
use latent_align_stages::priors::{GumbelMax, VelocityNetworkConfig};
use latent_align_stages::training::{MatmulPrecision, OptimiserConfig};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A request to a worker. Those without an operand of their own refer to the last task.
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
    /// Write the inputs and results of the task into this folder, for the others to compute the same. PyTorch's
    /// workers have `agree` in its place: compute the same from that folder, and reply how far the results differ.
    Show { folder: PathBuf },
    /// The NLLs of the task's points in f64.
    Reference(()),
    /// The tasks of a kind. Files that they read are written.
    Tasks(Wanted),
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
    /// The requested tasks, in the order of the table.
    Tasks(Vec<Offer>),
    /// PyTorch's largest difference from what was shown, relative to the largest number of its tensor, and its tensor.
    Differs { by: f64, of: String },
    /// Seconds per step.
    Seconds(f64),
    /// NLLs in nats, a loss (and its gradient), or the seconds of each product.
    Values(Vec<f64>),
    /// The error.
    Failed(String),
}

/// A request for tasks.
#[derive(Debug, Serialize, Deserialize)]
pub struct Wanted {
    pub kind: Kind,
    /// Of the matrix products of blocks in training and alignment steps.
    pub precision: MatmulPrecision,
    /// Whether training and alignment steps have the paper's size.
    pub paper: bool,
    /// Of a whole training.
    pub seed: u64,
    /// An existing folder for files that the tasks read.
    pub folder: PathBuf,
}

/// A kind of task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Train,
    Align,
    Tarflow,
    TarflowNll,
    TarflowSamples,
    Autoencoder,
    Classifier,
    /// The linear probe.
    Probe,
    /// A step with distribution matching.
    Student,
    Vae,
    /// Importance weights.
    Weigh,
    /// Of a round of a search in latents.
    Surrogate,
    /// A round of a search in latents.
    Search,
    /// Transport of latents.
    Carry,
    Divergence,
    /// Against torchdiffeq.
    Likelihood,
    /// Against the same quadrature as in this program.
    Nested,
    Stream,
    /// A whole training.
    Fit,
}

/// A task, and its size in words.
#[derive(Debug, Serialize, Deserialize)]
pub struct Offer {
    pub size: String,
    pub task: Task,
    /// The necessary arithmetic of a step in floating-point operations, where it is counted.
    pub operations: Option<f64>,
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
    /// A round of a search in latents, without scores and without refits of its model.
    Search(Searching),
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

/// The sizes of a round of a search.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Searching {
    pub surrogate: Believing,
    /// Width of a token embedding, and of the state of the LSTM, which has one layer.
    pub embedding: usize,
    pub channels: usize,
    /// The passes of the model in a round of this program.
    pub passes: Vec<Pass>,
    pub regions: usize,
    /// Weighings of candidates per region, each followed by draws of the surrogate at all candidates so far.
    pub generations: usize,
    /// Draws after every weighing but the last.
    pub parents: usize,
    /// Draws after the last one.
    pub chosen: usize,
}

impl Searching {
    /// Those of this program's job, with these `passes`.
    pub fn ours(passes: Vec<Pass>) -> Self {
        let (config, model) = (LatentsConfig::default(), GumbelMax::default());
        let (surrogate, regions) = (config.surrogate, config.regions);
        Self {
            surrogate: Believing {
                evaluations: search::EVALUATIONS,
                fitted_to: surrogate.fitted_to,
                steps: surrogate.steps,
                tokens: search::LONGEST,
                width: search::WIDTH,
                regions: 0,
                candidates: 0,
                draws: 0,
                features: surrogate.features,
            },
            embedding: model.embedding,
            channels: model.width,
            passes,
            regions: regions.count,
            generations: regions.generations,
            parents: PARENTS,
            chosen: search::PROPOSALS / regions.count,
        }
    }
}

/// As in the proposer.
const PARENTS: usize = 10;

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
