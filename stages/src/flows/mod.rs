//! The priors: velocity network and flow matching.

mod config;

pub use config::VelocityNetworkConfig;
