//! Velocity networks as priors that stages read.

use super::Size;
use latent_align_stages::Result;
use latent_align_stages::persist::save_weights;
use latent_align_stages::priors::{
    FlowMatching, Placement, PointShape, Prior, PriorConfig as _, VelocityNetwork,
};

/// The prior of `network`, of that size, in the folder `place`.
///
/// # Errors
/// File errors.
pub fn prior_of(
    network: &VelocityNetwork,
    size: Size,
    place: &Placement,
) -> Result<Box<dyn Prior>> {
    let file = tempfile::Builder::new().suffix(".safetensors").tempfile();
    let file = file.map_err(|e| latent_align_stages::Error::file(std::env::temp_dir(), e))?;
    save_weights(network, file.path(), "{}")?;
    let model = FlowMatching {
        network: size.network(),
        ..FlowMatching::default()
    };
    let shape = PointShape {
        tokens: 1,
        width: size.dimensions,
    };
    model.load(file.path(), shape, None, place)
}
