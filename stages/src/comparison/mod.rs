//! Two samples side by side, and what the spread of one says.

mod collapse;
mod frechet;
mod marginal;
mod power;
mod principal;
mod two_sample;

pub use collapse::{Spectrum, coverage, spectrum};
pub use frechet::{Gaussian, frechet_distance};
pub use marginal::{Marginal, marginal_distance};
pub use power::power;
pub use principal::PrincipalPlane;
pub use two_sample::{TwoSample, energy_test};
