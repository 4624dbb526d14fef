//! Comparison of two samples, and statistics of one.

mod battery;
mod classifier;
mod collapse;
mod energy;
mod frechet;
mod kernel;
mod manifold;
mod marginal;
mod nearest;
mod neighbours;
mod power;
mod principal;
mod relabelling;

pub use battery::{Battery, PERMUTATIONS, battery};
pub use classifier::{ClassifierTest, classifier_test};
pub use collapse::{Spectrum, coverage, spectrum};
pub use energy::{EnergyTest, SpreadTest, energy_test};
pub use frechet::{Gaussian, frechet_distance};
pub use kernel::KernelTest;
pub use manifold::within_reach;
pub use marginal::{Marginal, marginal_distance};
pub use nearest::nearest_rows;
pub use neighbours::NeighbourTest;
pub use power::power;
pub use principal::PrincipalPlane;
