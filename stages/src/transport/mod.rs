//! Alignment by transport: an invertible map from the latents of a finished autoencoder to the target's distribution.
//!
//! `z0 -> whitened -> noise -> z`: a flow that is fitted to whole, whitened latents carries them to noise, and the
//! prior carries noise to its points. The way back is the same with every arrow turned, so that a decoder loses
//! nothing but the error of the solver, and
//! `KL(law of z || samples of the prior) = KL(law of the noise || N(0, I))`: what is left of a difference are the
//! two flows' own errors.

mod carry;
mod map;
mod whitening;

pub use map::{FILE, Moved, Transport};
pub use whitening::Whitening;
