//! The stages, each from its configuration to its figures.
//!
//! A new stage is a file of its own, whose `Config` implements [`StageConfig`], and a few lines in this one: `mod`,
//! and an entry of [`with_stages`](crate::with_stages), from which names, sections of an experiment, schema,
//! planner and runner follow.

/// Passes the list of stages to the macro `$then`, in the order in which they run: a description of the section,
/// `module: Name = "name of its folder"`, and, after `leaves`, the HDF5 files in its artifact that others may read.
///
/// The module has the name of the stage's section in an experiment.
#[macro_export]
macro_rules! with_stages {
    ($then:ident) => {
        $then! {
            /// A classifier whose features judge latents, or are the target of a flow; does not need a flow.
            train_classifier: TrainClassifier = "train-classifier"
                leaves "Semantic features of data and their classes (features.h5).",
            /// Stage 1; at most one of `flow` and `pretrain_flow` may be given.
            pretrain_flow: PretrainFlow = "pretrain-flow"
                leaves "Features as points of the flow (train.h5, held_out.h5, test.h5), and samples (samples.h5).",
            /// Stage 2; skipped if absent.
            train_autoencoder: TrainAutoencoder = "train-autoencoder"
                leaves "Latents (latents.h5) and reconstructions (reconstructions.h5).",
            /// An invertible map from the latents of stage 2 to the flow's distribution; skipped if absent, `{}`
            /// for all defaults.
            transport: Transport = "transport"
                leaves "Transported latents (latents.h5).",
            /// Stage 3; skipped if absent, `{}` for all defaults.
            estimate_nll: EstimateNll = "estimate-nll",
            /// The likelihood of test data under the whole model, and its kind; skipped if absent, `{}` for all
            /// defaults.
            evaluate_likelihood: EvaluateLikelihood = "evaluate-likelihood",
            /// Samples of the flow, judged by a classifier if there is one; skipped if absent, `{}` for all
            /// defaults.
            sample: Sample = "sample"
                leaves "Samples as points, features and data (samples.h5).",
            /// Usefulness of the latents, judged by a classifier; skipped if absent, `{}` for all defaults.
            evaluate_latents: EvaluateLatents = "evaluate-latents",
            /// A search for sequences with high scores under an objective; skipped if absent.
            optimise_latents: OptimiseLatents = "optimise-latents",
        }
    };
}

pub mod estimate_nll;
pub mod evaluate_latents;
pub mod evaluate_likelihood;
#[cfg(all(test, feature = "wgpu-untuned"))]
mod launches;
mod name;
pub mod optimise_latents;
pub mod pretrain_flow;
pub mod reference;
mod same_data;
pub mod sample;
mod stage;
pub mod train_autoencoder;
pub mod train_classifier;
pub mod transport;
mod two_samples;
mod upstream;
mod witness;

pub use name::Stage;
pub use stage::{Made, Preparation, Prepared, Read, Sections, StageConfig};
pub use upstream::{AUTOENCODER, Artifact, CLASSIFIER, FLOW, Standing, TRANSPORT, Upstream};
