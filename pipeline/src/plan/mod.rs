//! Which stages are stale, and why.
//!
//! A plan is made from digests and manifests alone; nothing is computed and nothing is written.

mod circle;
mod finished;
mod graph;
mod identity;
mod planned;
mod reasons;
mod render;
mod until;

pub use finished::shipped_key;
pub use graph::make;
pub use planned::{Plan, Planned, Verdict};
pub use reasons::stale_upstream;
