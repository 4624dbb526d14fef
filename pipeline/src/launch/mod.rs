//! How a sweep is executed: its trials as processes of this machine or tasks of Slurm.
//!
//! A trial is a run of its own name, in a process of its own. How the trials stand is read from disk, whoever
//! ran them.
//!
//! - [`batch`]: what the trials compute
//! - [`local`] ([`schedule`], [`worker`], [`live`]) and [`slurm`]: running them
//! - [`launcher`]: all of a sweep, rung by rung
//! - [`progress`], [`mod@status`]: what people read meanwhile, and at the end

mod batch;
mod launcher;
mod live;
mod local;
mod progress;
mod schedule;
mod slurm;
mod status;
mod worker;

pub use launcher::{Launcher, sweep};
pub use local::{Local, cores};
pub use progress::Swept;
pub use status::status;
