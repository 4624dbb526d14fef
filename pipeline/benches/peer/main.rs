//! This program's side of the comparison with PyTorch: sets up and runs the jobs that the driver asks for.
//!
//! Reads requests from stdin and answers on stdout, one line of JSON each. Started by the driver in `driver/`,
//! beside `worker.py`, which does the same jobs in PyTorch: `make bench-peer` and `make bench-quality`.

#[expect(unused_imports, reason = "the benchmark of hot paths uses more of it")]
#[path = "../jobs/mod.rs"]
mod jobs;

mod exchange;
mod held_out;
mod protocol;
mod tasks;
mod worker;

/// The allocator of the binary, which affects the cost of tensors.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    latent_align_stages::devices::keep_memory_between_steps();
    worker::serve(std::io::stdin().lock(), std::io::stdout().lock())
}
