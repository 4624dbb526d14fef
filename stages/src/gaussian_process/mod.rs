//! Gaussian-process regression on points of many tokens: one lengthscale a token, fitted by the marginal likelihood.
//!
//! ```text
//! y = f(x) + N(0, noise),   f ~ GP(mean, k),   k(x, x') = variance * rho(sum_i |x_i - x'_i|^2 / length_i^2)
//! ```
//!
//! Up to a number of points the posterior is exact; above it, it is that of the variational approximation by inducing
//! points (Titsias, 2009). A draw of it is a draw of the prior by random Fourier features, corrected at the points of the
//! posterior (Wilson et al., "Efficiently Sampling Functions from Gaussian Process Posteriors", 2020): its cost is linear
//! in the number of points that it is evaluated at.

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
pub use posterior::{Posterior, Size};
