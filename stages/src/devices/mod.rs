//! The device tensors live on, chosen at run time.

mod alternatives;
mod choice;
#[cfg(feature = "cuda")]
mod cuda;
mod found;
mod kinds;
#[cfg(any(test, feature = "cuda", feature = "wgpu-untuned"))]
mod pick;
mod precision;
#[cfg(feature = "remote")]
mod remote;
#[cfg(feature = "remote")]
mod serve;
mod shared;
#[cfg(any(test, feature = "cuda"))]
mod toolkit;
#[cfg(feature = "wgpu-untuned")]
mod wgpu;

pub use alternatives::alternatives;
pub use choice::DeviceChoice;
pub use found::{Found, found};
pub use kinds::{KINDS, Kind, forms};
pub use precision::{Numbers, check_numbers, widest};
#[cfg(feature = "remote")]
pub use remote::TOKEN;
#[cfg(feature = "remote")]
pub use serve::serve;
pub use shared::Shared;

/// A device other than the CPU, for tests.
#[cfg(all(test, feature = "wgpu-untuned"))]
pub fn other() -> burn::tensor::Device {
    wgpu::open(0).expect("a driver for Vulkan, such as Mesa's software device")
}

/// Makes mimalloc, if it is the allocator, keep freed memory for ten seconds, so that the next training step can
/// reuse it. Call it once, before the first tensor.
pub fn keep_memory_between_steps() {
    latent_align_kernels::keep_freed_memory(std::time::Duration::from_secs(10));
}
