//! Compares this program with PyTorch: the same jobs in turns on the same cores.
//!
//! The driver starts one worker per side: itself as `worker`, and `worker.py` twice, eager and compiled.
//! Run by `make bench-peer` and `make bench-quality`.

#[expect(unused_imports, reason = "the benchmark of hot paths uses more of it")]
#[path = "../jobs/mod.rs"]
mod jobs;

mod agreement;
mod compare;
mod exchange;
mod held_out;
mod likelihood;
mod machine;
mod protocol;
mod quality;
mod race;
mod rounds;
mod rows;
mod shown;
mod side;
mod statistics;
mod table;
mod worker;

use clap::{Parser, Subcommand};

/// The allocator of the binary, which affects the cost of tensors.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about = "Ours against PyTorch, turn by turn on the same cores")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Passed by `cargo bench`.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Times jobs at every size and prints a table of ratios
    Compare(compare::Arguments),
    /// Seconds to the held-out loss that PyTorch reaches
    Quality(quality::Arguments),
    /// The side of this program: reads requests from stdin, answers on stdout
    #[command(hide = true)]
    Worker,
}

fn main() -> anyhow::Result<()> {
    latent_align_stages::devices::keep_memory_between_steps();
    match Arguments::parse().command {
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Quality(arguments) => quality::run(&arguments),
        Command::Worker => worker::serve(std::io::stdin().lock(), std::io::stdout().lock()),
    }
}
