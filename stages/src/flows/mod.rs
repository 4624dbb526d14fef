//! The priors: velocity fields, flow matching, and flows on disk.

mod config;
mod exact;
mod field;
mod fit;
mod import;
mod matching;
mod stored;
mod tabulated;
mod velocity_network;

pub use config::VelocityNetworkConfig;
pub use exact::ExactMixture;
pub use field::{
    ROWS_PER_EVALUATION, VelocityField, autodiff_divergence, difference_divergence, difference_jvps,
};
pub use fit::FitConfig;
pub use import::{ImportConfig, TimeDirection, import};
pub use matching::{Evaluation, flow_matching_loss, interpolate};
pub use stored::{Flow, KeptPoints, about_points, stored_width};
pub use tabulated::Tabulated;
pub use velocity_network::VelocityNetwork;
