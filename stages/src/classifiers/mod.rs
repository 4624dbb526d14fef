//! Classifiers, their features, and measurements with them.

mod features;
mod labels;
mod linear_probe;
mod loss;
mod model;
mod stored;

pub use features::LabelledFeatures;
pub use labels::Labels;
pub use linear_probe::LinearProbe;
pub use loss::{accuracy, cross_entropy};
pub use model::Classifier;
pub use stored::ClassifierHeader;
