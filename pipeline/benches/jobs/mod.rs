//! What is timed: the hot paths of the stages, each set up once and then run a step at a time. The
//! benchmarks and the comparison with PyTorch time these same steps.

mod align;
mod divergence;
mod images;
mod likelihood;
mod points;
mod priors;
mod probe;
mod shown;
mod size;
mod stream;
pub mod student;
pub mod surrogate;
mod tarflow;
mod tensors;
mod train;
pub mod transport;
mod vae;

pub use align::Align;
pub use divergence::Divergence;
pub use images::{OfImages, TrainAutoencoder, TrainClassifier};
pub use likelihood::{Likelihood, TOLERANCES, reference, trained_flow};
pub use points::points;
pub use probe::{OfProbe, Probe};
pub use shown::{FOUND, FOUND_THERE, GRADIENT, GRADIENT_THERE, Shown};
pub use size::Size;
pub use stream::{DATASET, MEMORY, Stream};
pub use student::TrainWithStudent;
pub use surrogate::Surrogate;
pub use tarflow::{NllTarFlow, SampleTarFlow, TarSize, TrainTarFlow};
pub use tensors::Tensors;
pub use train::Train;
pub use transport::Carry;
pub use vae::{OfVae, TrainVae, WeighVae};

use burn::tensor::Device;
use latent_align_stages::devices::DeviceChoice;
use latent_align_stages::{Error, Result};

/// A hot path, set up.
pub trait Job {
    /// Runs it once. What it leaves to the device need not be done: see [`wait_for`].
    ///
    /// # Errors
    /// When the device fails, or the numbers do.
    fn step(&mut self) -> Result<()>;

    /// Writes what another implementation needs to compute the same as a step does, and what comes out of it here.
    ///
    /// # Errors
    /// File errors; as [`Job::step`]; where a job has nothing to show.
    fn show(&mut self, _to: &Shown) -> anyhow::Result<()> {
        anyhow::bail!("this job shows nothing that another could be held to")
    }
}

/// The variable that names the device.
const DEVICE: &str = "LATENT_ALIGN_DEVICE";

/// The device that the environment names: `cpu` unless it says otherwise.
///
/// # Errors
/// When there is no such device, or this build has none of its kind.
pub fn device() -> Result<Device> {
    let choice: DeviceChoice = device_name().parse().map_err(|e: Error| e.under(DEVICE))?;
    choice.open()
}

/// What the environment calls it.
pub fn device_name() -> String {
    std::env::var(DEVICE).unwrap_or_else(|_| "cpu".to_owned())
}

/// Returns once `device` has done what it was asked.
///
/// # Errors
/// When something that it was asked has failed.
pub fn wait_for(device: &Device) -> Result<()> {
    device.sync().map_err(|e| Error::Device(e.to_string()))
}
