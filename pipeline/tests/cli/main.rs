//! The real binary, each test in a folder of its own. One test program, so that linking is paid once.

mod browser;
mod chromium;
mod configuration;
mod defaults;
mod editors;
mod end_to_end;
mod evaluating;
mod exporting;
mod figures;
mod importing;
mod inspecting;
mod listing;
mod looking;
mod peer;
mod planning;
mod processors;
mod project;
mod python;
mod references;
#[cfg(feature = "remote")]
mod remote;
mod reporting;
mod requiring;
mod shells;
mod slurm;
mod starting;
mod surrogate;
mod sweep_axes;
mod sweep_digits;
mod sweep_jobs;
mod sweeping;
mod tiny;
mod usage;
