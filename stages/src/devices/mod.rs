//! The device tensors live on, chosen at run time.

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
#[cfg(any(test, feature = "cuda"))]
mod toolkit;
#[cfg(feature = "wgpu-untuned")]
mod wgpu;

pub use choice::DeviceChoice;
pub use found::{Found, found};
pub use kinds::{KINDS, Kind, forms};
pub use precision::{Numbers, check_numbers, widest};
#[cfg(feature = "remote")]
pub use remote::TOKEN;
#[cfg(feature = "remote")]
pub use serve::serve;
