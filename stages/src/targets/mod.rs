//! Analytic target distributions: known densities, and files of features drawn from them.

mod curve_density;
mod gaussian_mixture;
mod generate;
mod target;
#[cfg(test)]
mod tests;
mod torus;

pub use gaussian_mixture::{ComponentEigen, GaussianMixture, MixtureDensity};
pub use generate::{generate, read_target, write_features};
pub use target::{Component, Density, Target};
