//! Numerical methods: ODE solver, quadrature, and statistics of samples.

mod dense;
mod jackknife;
mod ode;
pub(crate) mod quadrature;
mod rmse;
mod statistics;

pub(crate) use dense::{Factor, product, view};
pub use jackknife::{Interval, Kept, Scale, intervals};
pub use ode::{Slope, Tolerance, Trajectory, dormand_prince, halved, in_equal_steps, on_grid};
pub(crate) use rmse::root_mean_square;
pub use statistics::{mean, standard_error, student, student_quantile, variance_of_mean};
