//! Rows of the table whose jobs all sides run the same way, by kind.

use super::compare::Kind;
use super::jobs::transport::{CARRIED, FLOWS, TOLERANCE};
use super::jobs::{OfImages, OfProbe, OfVae, Size, TarSize};
use super::protocol::{Believing, Matching, Task};
use super::statistics::Ask;

/// A job at a size.
pub struct Row {
    pub job: &'static str,
    pub size: String,
    pub task: Task,
    pub ask: Ask,
    /// Whether a step is so slow that a turn is one step: as many rounds as for whole solves.
    pub long: bool,
}

/// Rows, and remarks on them.
pub struct Rows {
    pub rows: Vec<Row>,
    pub note: &'static str,
}

/// Draws of each image.
const SAMPLES: usize = 5000;
const MNIST: TarSize = TarSize::MNIST;

const TRAINS: &str =
    "PyTorch has fused AdamW; ours clips the gradient and averages the weights besides.";

impl Rows {
    /// The rows of `kind`; none for a kind with its own method.
    pub fn of(kind: Kind) -> Option<Self> {
        let (rows, note) = match kind {
            Kind::Tarflow => (
                tarflow("TarFlow training step", |size| Task::Tarflow { size }),
                "TarFlow: PyTorch has its fused causal attention and AdamW; ours clips the gradient and averages the \
                 weights besides.",
            ),
            Kind::TarflowNll => (
                tarflow("TarFlow NLL", |size| Task::TarflowNll { size }),
                "TarFlow's NLLs: without gradients; PyTorch has its fused causal attention.",
            ),
            Kind::TarflowSamples => (
                [(16, 3.0), (256, 1.1)]
                    .map(|(batch, least)| {
                        let size = TarSize { batch, ..MNIST };
                        row(
                            "TarFlow samples",
                            size,
                            Task::TarflowSamples { size },
                            least,
                        )
                    })
                    .into(),
                "TarFlow's samples: token by token, keys and values of those before kept in buffers that are made once.",
            ),
            Kind::Autoencoder => (
                OfImages::ALL
                    .map(|size| {
                        let least = if size.is_dense() { 1.5 } else { 1.3 };
                        row(
                            "autoencoder training step",
                            size,
                            Task::Autoencoder { size },
                            least,
                        )
                    })
                    .into(),
                TRAINS,
            ),
            Kind::Classifier => (
                OfImages::ALL
                    .map(|size| {
                        row(
                            "classifier training step",
                            size,
                            Task::Classifier { size },
                            1.3,
                        )
                    })
                    .into(),
                TRAINS,
            ),
            Kind::Probe => (
                OfProbe::ALL
                    .map(|of| row("linear probe", of, Task::Probe { of }, 1.3))
                    .into(),
                "Linear probe: both go to where no entry of the gradient is above 1e-5, PyTorch by its \
                 LBFGS with the same memory and strong Wolfe conditions.",
            ),
            Kind::Student => {
                let size = "digits: 1 x 8 x 8, dense 256, 256, latents 2 x 16, flow and student of width 256, 4 blocks, \
                            batch 128";
                let task = Task::Student(Matching::ours());
                (
                    vec![row("step with distribution matching", size, task, 1.5)],
                    "Distribution matching: the autoencoder's step and two of the student, whose gradient both sides clip. \
                     PyTorch shares times in groups as ours does.",
                )
            }
            Kind::Vae => (
                OfVae::ALL
                    .map(|posterior| {
                        let size =
                            format!("`{posterior}`, 784, gated 300 and 300, 40 latents, batch 100");
                        row("VAE training step", size, Task::Vae { posterior }, 1.3)
                    })
                    .into(),
                "VAE: PyTorch has one product for a gated layer and its gate, and fused AdamW; ours clips the gradient and \
                 averages the weights besides.",
            ),
            Kind::Weigh => (
                vec![row(
                    "importance-weighted NLL",
                    format!("100 images, S = {SAMPLES}"),
                    Task::Weigh { samples: SAMPLES },
                    1.2,
                )],
                "Importance weights: each side has draws of its own; what agrees is the mean NLL.",
            ),
            Kind::Surrogate => {
                let of = Believing::ours();
                let size = format!(
                    "{} evaluations of {} x {}, settings fitted to {} in {} steps, {} x {} candidates, {} draws of each",
                    of.evaluations,
                    of.tokens,
                    of.width,
                    of.fitted_to,
                    of.steps,
                    of.regions,
                    of.candidates,
                    of.draws
                );
                (
                    vec![row(
                        "surrogate of a round of a search",
                        size,
                        Task::Surrogate(of),
                        2.0,
                    )],
                    "Surrogate: of a round of a search in latents, the Gaussian process without the model that encodes and \
                     decodes; in f64 on both sides.",
                )
            }
            Kind::Carry => {
                let task = Task::Carry {
                    flows: FLOWS.map(Into::into),
                    latents: CARRIED,
                    tolerance: TOLERANCE,
                };
                let size = format!("{CARRIED} latents of 2 x 16, tolerance {TOLERANCE:e}");
                (
                    vec![Row {
                        long: true,
                        ..row("transport", size, task, 1.3)
                    }],
                    "Transport: both have Dormand-Prince with the same tolerance of a step; ours holds the worst point to \
                     it, torchdiffeq the mean of all.",
                )
            }
            Kind::Divergence => (
                [(256, 2.0), (1024, 1.35), (4096, 1.35)]
                    .map(|(points, least)| {
                        let size = Size::tokens(256, points);
                        row(
                            "velocity + exact divergence",
                            size,
                            Task::Divergence { size: size.into() },
                            least,
                        )
                    })
                    .into(),
                "Divergences: by the fastest way that PyTorch has.",
            ),
            Kind::Train | Kind::Align | Kind::Likelihood | Kind::Nested | Kind::Stream => {
                return None;
            }
        };
        Some(Self { rows, note })
    }
}

/// Both sizes of a TarFlow.
fn tarflow(job: &'static str, task: impl Fn(TarSize) -> Task) -> Vec<Row> {
    TarSize::ALL
        .map(|size| row(job, size, task(size), 1.2))
        .into()
}

/// A row with the target ratio `least`.
fn row(job: &'static str, size: impl ToString, task: Task, least: f64) -> Row {
    Row {
        job,
        size: size.to_string(),
        task,
        ask: Ask::new(least, 2.0 * least),
        long: false,
    }
}
