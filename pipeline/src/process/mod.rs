//! This process: signals, parent, memory, open files.

mod files;
mod host;
mod memory;
mod parent;
mod signals;

pub use files::allow_many_open_files;
pub use host::host;
pub use memory::peak_mib;
pub use parent::{PARENT, end_with_parent};
pub use signals::Signals;
