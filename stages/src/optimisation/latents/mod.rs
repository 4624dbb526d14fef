//! Proposals from the latents of a model of sequences: trust regions around good latents, and a Gaussian process
//! that selects among their candidates. Lee et al., "Latent Bayesian Optimization via Autoregressive Normalizing
//! Flows" (ICLR 2025); regions after Eriksson et al., "Scalable Global Optimization via Local Bayesian
//! Optimization" (2019).

mod adaptive;
mod adjacent;
mod anchors;
mod candidates;
mod config;
mod edits;
mod feasibility;
mod joined;
mod length;
mod pairs;
mod proposer;
mod region;
mod scale;
mod surrogate;
#[cfg(test)]
mod tests;
mod varied;

pub use config::{
    LatentsConfig, PerturbationConfig, RefitConfig, RegionsConfig, SurrogateConfig, SurrogateInput,
};
pub use length::LengthRule;
pub use proposer::Latents;
