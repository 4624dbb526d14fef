//! The timed jobs: the hot paths of the stages, each set up once and then run step by step. The benchmarks and the
//! comparison with PyTorch time the same steps.

mod align;
mod divergence;
mod draws;
mod images;
mod likelihood;
mod points;
mod priors;
mod probe;
pub mod search;
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
pub use draws::Draws;
pub use images::{OfImages, TrainAutoencoder, TrainClassifier};
pub use likelihood::{Likelihood, trained_flow};
pub use points::points;
pub use probe::{OfProbe, Probe};
pub use search::SearchRound;
pub use shown::{FOUND, Shown};
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

/// A hot path after its setup.
pub trait Job {
    /// Runs a step. Work on the device may still be pending: see [`wait_for`].
    ///
    /// # Errors
    /// Device errors and numerical errors.
    fn step(&mut self) -> Result<()>;

    /// Writes the inputs that another implementation needs to compute the same step, and its results here.
    ///
    /// # Errors
    /// File errors; as [`Job::step`]; an error for a job without results to compare.
    fn show(&mut self, _to: &Shown) -> anyhow::Result<()> {
        anyhow::bail!("this job shows nothing that another could be held to")
    }
}

/// The variable that names the device.
const DEVICE: &str = "LATENT_ALIGN_DEVICE";

/// The device named by the environment, `cpu` by default.
///
/// # Errors
/// There is no such device, or this build lacks its backend.
pub fn device() -> Result<Device> {
    let choice: DeviceChoice = device_name().parse().map_err(|e: Error| e.under(DEVICE))?;
    choice.open()
}

/// The name of the device in the environment.
pub fn device_name() -> String {
    std::env::var(DEVICE).unwrap_or_else(|_| "cpu".to_owned())
}

/// Returns once `device` has finished its work.
///
/// # Errors
/// Some of the work failed.
pub fn wait_for(device: &Device) -> Result<()> {
    device.sync().map_err(|e| Error::Device(e.to_string()))
}
