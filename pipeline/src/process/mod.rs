//! This process: signals, parent, memory, and temporary names.

mod host;
mod memory;
mod parent;
mod signals;
mod temporary;

pub use host::host;
pub use memory::peak_mib;
pub use parent::{PARENT, end_with_parent};
pub use signals::Signals;
pub use temporary::temporary;
