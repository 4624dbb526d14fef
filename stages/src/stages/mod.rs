//! The stages, each from its configuration to its figures.
//!
//! A stage is a file of its own, whose `Config` implements [`StageConfig`], and its lines in this one: `mod`, and
//! an entry of [`with_stages`](crate::with_stages), from which names, sections of an experiment, schema, planner
//! and runner follow.

/// Gives the list of stages to the macro `$then`, in the order in which they run: what the section is for,
/// `module: Name = "name of its folder"`, and, after `leaves`, the HDF5 files in its artifact that others may read.
///
/// The module has the name of the stage's section in an experiment.
#[macro_export]
macro_rules! with_stages {
    ($then:ident) => {
        $then! {
            /// A classifier whose features judge latents, or are the target of a flow; needs no flow itself.
            train_classifier: TrainClassifier = "train-classifier"
                leaves "Semantic features of data and their classes (features.h5).",
            /// Stage 1; at most one of `flow` and `pretrain_flow` is given.
            pretrain_flow: PretrainFlow = "pretrain-flow"
                leaves "Features as points of the flow (held_out.h5, test.h5), and samples (samples.h5).",
            /// Stage 2; left out when absent.
            train_autoencoder: TrainAutoencoder = "train-autoencoder"
                leaves "Latents (latents.h5) and reconstructions (reconstructions.h5).",
            /// An invertible map that carries the latents of stage 2 to the flow's distribution; left out when
            /// absent, `{}` for all its defaults.
            transport: Transport = "transport"
                leaves "Transported latents (latents.h5).",
            /// Stage 3; left out when absent, `{}` for all its defaults.
            estimate_nll: EstimateNll = "estimate-nll",
            /// The likelihood of test data under the model as a whole, and what kind of number it is; left out when absent,
            /// `{}` for all its defaults.
            evaluate_likelihood: EvaluateLikelihood = "evaluate-likelihood",
            /// Samples of the flow, judged by a classifier where there is one; left out when absent, `{}` for all its
            /// defaults.
            sample: Sample = "sample"
                leaves "Samples as points, features and data (samples.h5).",
            /// How useful the latents are, judged by a classifier; left out when absent, `{}` for all its
            /// defaults.
            evaluate_latents: EvaluateLatents = "evaluate-latents",
            /// A search for sequences that an objective scores well; left out when absent.
            optimise_latents: OptimiseLatents = "optimise-latents",
        }
    };
}

pub mod estimate_nll;
pub mod evaluate_latents;
pub mod evaluate_likelihood;
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
