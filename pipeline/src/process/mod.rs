//! This process: the signals it gets, the process it ends with, the memory it needs, the names it gives to
//! what is not finished.

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
