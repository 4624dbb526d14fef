//! Gaussian process regression on points of several tokens, with one lengthscale per token, fitted by the marginal
//! likelihood.
//!
//! ```text
//! y = f(x) + N(0, noise),   f ~ GP(mean, k),   k(x, x') = variance * rho(sum_i |x_i - x'_i|^2 / length_i^2)
//! ```
//!
//! The posterior is exact up to a given number of points; above it, it is the variational approximation by inducing
//! points (Titsias, 2009). Draws of the posterior are draws of the prior by random Fourier features, corrected at
//! the posterior's points (Wilson et al., "Efficiently Sampling Functions from Gaussian Process Posteriors", 2020),
//! so that their cost is linear in the number of points evaluated.

mod covariance;
mod draw;
mod fit;
mod inducing;
mod kernel;
mod points;
mod posterior;
#[cfg(test)]
mod tests;

pub use draw::draws;
pub use fit::{Fit, fit};
pub use kernel::{Family, Kernel};
pub use points::Points;
pub use posterior::{Located, Posterior, Size};
