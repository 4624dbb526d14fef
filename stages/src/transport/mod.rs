//! Alignment by transport: an invertible map from the latents of a trained autoencoder to the target's
//! distribution.
//!
//! `z0 -> whitened -> noise -> z`: a flow fitted to whole, whitened latents maps them to noise, and the prior maps
//! noise to its points. The inverse runs all steps backwards, so a decoder loses only the error of the solver, and
//! `KL(distribution of z || samples of the prior) = KL(distribution of the noise || N(0, I))`: the remaining
//! difference is due to the errors of the two flows.

mod carry;
mod map;
mod whitening;

pub use map::{FILE, Moved, Transport};
pub use whitening::Whitening;
