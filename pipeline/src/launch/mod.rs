//! Execution of sweeps: trials as processes on this machine or tasks of Slurm.
//!
//! A trial is a run with its own name and its own process. States of trials are read from disk, however they
//! were run.
//!
//! - [`batch`]: the work of the trials
//! - [`local`] ([`schedule`], [`placement`], [`worker`], [`live`]) and [`slurm`]: running them
//! - [`launcher`]: the whole sweep, rung by rung
//! - [`mod@dry_run`]: what a sweep would do
//! - [`progress`], [`mod@status`]: reports during and after the sweep

mod batch;
mod dry_run;
mod launcher;
mod live;
mod local;
mod placement;
mod progress;
mod schedule;
mod slurm;
mod status;
mod worker;

pub use dry_run::dry_run;
pub use launcher::{Launcher, sweep};
pub use local::{Local, cores};
pub use progress::Swept;
pub use status::status;
