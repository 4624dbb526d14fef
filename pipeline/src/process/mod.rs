//! This process: signals, parent, memory.

mod host;
mod memory;
mod parent;
mod signals;

pub use host::host;
pub use memory::peak_mib;
pub use parent::{PARENT, end_with_parent};
pub use signals::Signals;
