//! `latent-align`: pretrain a flow, align an autoencoder with it, and verify the result with
//! likelihoods.
//!
//! This crate turns stages into runs and presents their results. It never touches a tensor; the
//! computations are in `latent-align-stages`.
//!
//! - [`cli`]: one file per subcommand
//! - [`config`]: a YAML file -> a checked experiment
//! - [`plan`]: which stages are stale, and why
//! - [`run`]: computing them: progress, metrics, signals, commit
//! - [`sweep`]: variants of an experiment, and the table of their figures; [`launch`]: running them
//! - [`store`]: content-addressed artifacts on disk
//! - [`catalogue`]: contents of a store as tables, and removal of unused artifacts
//! - [`tables`]: numbers and tables as text and for other programs, and filtering
//! - [`process`]: signals, memory and parent of this process, temporary names
//! - [`report`]: reports for people
//! - [`export`]: results for other programs
//! - [`inference`]: a run's models applied to new rows
//! - [`starter`]: a first experiment for a new file
//! - [`conversion`]: files of other formats to HDF5; [`numbered`]: the order of names with numbers
//! - [`console`], [`failure`]: stdout and stderr, exit codes; [`destination`]: output paths named by
//!   users

mod catalogue;
mod cli;
mod config;
mod console;
mod conversion;
mod destination;
mod export;
mod failure;
mod inference;
mod launch;
mod numbered;
mod plan;
mod process;
mod report;
mod run;
mod shipped;
mod starter;
mod store;
mod sweep;
mod tables;

use std::process::ExitCode;

/// Tensors are allocated and freed at every operation; glibc would return their pages to the system
/// and fault them in again each time, which takes a third of a training step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if latent_align_hdf5::is_rehearsal() {
        return ExitCode::SUCCESS;
    }
    latent_align_stages::devices::keep_memory_between_steps();
    process::allow_many_open_files();
    let cli = match cli::Cli::parse() {
        Ok(cli) => cli,
        Err(said) => return failure::usage(&said),
    };
    store::ignore_size_limit_signal();
    if !process::end_with_parent() {
        return ExitCode::FAILURE;
    }
    let console = cli.console();
    match cli.execute(&console) {
        Ok(()) if console.has_lost_output() => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error, &console),
    }
}
