//! Files that both sides read: tensors by name, and weights under PyTorch's names.

use super::jobs::Size;
pub use super::jobs::Tensors;
use anyhow::Result;
use burn::tensor::Device;
use latent_align_stages::persist::{load_weights, save_weights};
use latent_align_stages::priors::VelocityNetwork;
use latent_align_stages::random::Streams;
use std::path::Path;

pub fn write_flow(network: &VelocityNetwork, path: &Path) -> Result<()> {
    Ok(save_weights(network, path, "{}")?)
}

pub fn read_flow(path: &Path, size: Size, device: &Device) -> Result<VelocityNetwork> {
    let mut network = (size.network()).init(size.dimensions, Streams::new(0), device);
    load_weights(&mut network, path)?;
    Ok(network)
}
