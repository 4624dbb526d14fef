//! `latent-align`: pretrain a flow, align an autoencoder with it, and prove it with likelihoods.
//!
//! This crate is how stages become runs, and what people see. It never touches a tensor; what a
//! stage computes is in `latent-align-stages`.
//!
//! - [`cli`]: one file a subcommand
//! - [`config`]: a YAML file -> a checked experiment
//! - [`plan`]: which stages are stale, and why
//! - [`run`]: computing them: progress, metrics, signals, commit
//! - [`sweep`]: variants of an experiment, and the table of their figures; [`launch`]: running them
//! - [`store`]: artifacts on disk, addressed by content
//! - [`catalogue`]: what a store holds, as tables, and removing what nothing refers to
//! - [`tables`]: numbers and tables as text and for other programs, and what is asked of a table
//! - [`process`]: signals, memory and parent of this process, names for what is not finished
//! - [`report`]: what people read
//! - [`export`]: what other programs read
//! - [`inference`]: a run's models applied to new rows
//! - [`starter`]: a first experiment for a file nobody has described yet
//! - [`console`], [`failure`]: stdout and stderr, exit codes; [`destination`]: files that people name

mod catalogue;
mod cli;
mod config;
mod console;
mod destination;
mod export;
mod failure;
mod inference;
mod launch;
mod plan;
mod process;
mod report;
mod run;
mod starter;
mod store;
mod sweep;
mod tables;

use std::process::ExitCode;

/// Tensors come and go at every operation; glibc would give their pages back to the system and fault
/// them in again each time, a third of a training step's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if latent_align_hdf5::is_rehearsal() {
        return ExitCode::SUCCESS;
    }
    latent_align_stages::devices::keep_memory_between_steps();
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
