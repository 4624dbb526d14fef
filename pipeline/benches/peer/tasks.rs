//! The tasks of the comparison: what is timed, and at which sizes.

use super::exchange::{Tensors, write_flow};
use super::held_out::HeldOut;
use super::jobs::transport::{CARRIED, FLOWS, TOLERANCE};
use super::jobs::{
    DATASET, MEMORY, OfImages, OfProbe, OfVae, SearchRound, Size, Stream, TarSize, device, points,
    trained_flow,
};
use super::protocol::{Believing, Kind, Matching, Offer, Searching, Task, Wanted};
use anyhow::Result;
use burn::module::Module as _;
use latent_align_stages::random::Streams;
use latent_align_stages::training::OptimiserConfig;
use std::path::{Path, PathBuf};

/// Draws of each image whose likelihood is estimated.
const SAMPLES: usize = 5000;
/// Rows of the streamed file, and of a batch.
const FILE_ROWS: usize = 2_000_000;
const BATCH: usize = 256;
/// The flow that is solved, the points of a solve, and the first of them, which are also solved in f64.
const SOLVED: Size = Size::tokens(256, 256);
const POINTS: usize = 1000;
const REFERENCES: usize = 128;
/// Steps of training before a solve.
const STEPS: u64 = 500;
/// Rows of a whole training.
const ROWS: usize = 100_000;

/// The tasks of a kind, in the order of the table.
///
/// # Errors
/// A file cannot be written; numerical errors of a training.
pub fn tasks(wanted: &Wanted) -> Result<Vec<Offer>> {
    let sizes = || -> Vec<Size> {
        match wanted.paper {
            true => Size::PAPER.into(),
            false => Size::ALL.into(),
        }
    };
    Ok(match wanted.kind {
        Kind::Train => (sizes().into_iter())
            .map(|size| Offer {
                operations: Some(size.necessary_operations()),
                ..offer(size, Task::train(size, wanted.precision))
            })
            .collect(),
        Kind::Align => all(sizes(), |size| Task::align(size, wanted.precision)),
        Kind::Tarflow => all(TarSize::ALL, |size| Task::Tarflow { size }),
        Kind::TarflowNll => all(TarSize::ALL, |size| Task::TarflowNll { size }),
        Kind::TarflowSamples => {
            let sizes = [16, 256].map(|batch| TarSize {
                batch,
                ..TarSize::MNIST
            });
            all(sizes, |size| Task::TarflowSamples { size })
        }
        Kind::Autoencoder => all(OfImages::ALL, |size| Task::Autoencoder { size }),
        Kind::Classifier => all(OfImages::ALL, |size| Task::Classifier { size }),
        Kind::Probe => all(OfProbe::ALL, |of| Task::Probe { of }),
        Kind::Student => vec![offer(
            "digits: 1 x 8 x 8, dense 256, 256, latents 2 x 16, flow and student of width 256, 4 blocks, batch 128",
            Task::Student(Matching::ours()),
        )],
        Kind::Vae => (OfVae::ALL.into_iter())
            .map(|posterior| {
                let size = format!("`{posterior}`, 784, gated 300 and 300, 40 latents, batch 100");
                offer(size, Task::Vae { posterior })
            })
            .collect(),
        Kind::Weigh => vec![offer(
            format!("100 images, S = {SAMPLES}"),
            Task::Weigh { samples: SAMPLES },
        )],
        Kind::Surrogate => vec![surrogate()],
        Kind::Search => vec![search()?],
        Kind::Carry => vec![offer(
            format!("{CARRIED} latents of 2 x 16, tolerance {TOLERANCE:e}"),
            Task::Carry {
                flows: FLOWS.map(Into::into),
                latents: CARRIED,
                tolerance: TOLERANCE,
            },
        )],
        Kind::Divergence => all(
            [256, 1024, 4096].map(|points| Size::tokens(256, points)),
            |size| Task::Divergence { size: size.into() },
        ),
        Kind::Likelihood => solves(&wanted.folder, false)?,
        Kind::Nested => solves(&wanted.folder, true)?,
        Kind::Stream => vec![stream(&wanted.folder)?],
        Kind::Fit => {
            let settings = [("ring", Size::RING), ("tokens", Size::tokens(256, 256))];
            (settings.into_iter())
                .map(|(name, size)| Ok(offer(name, fit(size, wanted.seed, &wanted.folder, name)?)))
                .collect::<Result<_>>()?
        }
    })
}

fn offer(size: impl ToString, task: Task) -> Offer {
    Offer {
        size: size.to_string(),
        task,
        operations: None,
    }
}

fn all<S: ToString + Copy>(
    sizes: impl IntoIterator<Item = S>,
    task: impl Fn(S) -> Task,
) -> Vec<Offer> {
    let sizes = sizes.into_iter();
    sizes.map(|size| offer(size, task(size))).collect()
}

fn surrogate() -> Offer {
    let of = Believing::ours();
    let size = format!(
        "{} evaluations of {} x {}, settings fitted to {} in {} steps, {} x {} candidates, {} draws of each",
        of.evaluations,
        of.tokens,
        of.width,
        of.fitted_to,
        of.steps,
        of.regions,
        of.candidates,
        of.draws
    );
    offer(size, Task::Surrogate(of))
}

fn search() -> Result<Offer> {
    let of = Searching::ours(SearchRound::passes(&device()?)?);
    let size = format!(
        "{} evaluated expressions of at most {} tokens, {} regions, {} generations, model of width {}",
        of.surrogate.evaluations, of.surrogate.tokens, of.regions, of.generations, of.channels
    );
    Ok(offer(size, Task::Search(of)))
}

/// The solve of the first points, whose NLL is also computed in f64, and that of all.
fn solves(folder: &Path, nested: bool) -> Result<Vec<Offer>> {
    let flow = folder.join("flow.safetensors");
    write_flow(&trained_flow(SOLVED, STEPS, &device()?)?, &flow)?;
    let rows = points(SOLVED.dimensions, POINTS, Streams::new(1));
    let solve = |name: &str, count: usize| -> Result<Offer> {
        let file = folder.join(name);
        let mut tensors = Tensors::default();
        let some = &rows[..count * SOLVED.dimensions];
        tensors.add("points", [count, SOLVED.dimensions], some.to_vec());
        tensors.write(&file)?;
        let size = Size {
            batch: count,
            ..SOLVED
        };
        let task = Task::Likelihood {
            size: SOLVED.into(),
            flow: flow.clone(),
            points: file,
            nested,
            tolerance: 1e-2,
        };
        Ok(offer(size, task))
    };
    Ok(vec![
        solve("few.safetensors", REFERENCES)?,
        solve("all.safetensors", POINTS)?,
    ])
}

/// Batches of a contiguous file.
fn stream(folder: &Path) -> Result<Offer> {
    let (width, file) = (
        Size::tokens(256, BATCH).dimensions,
        folder.join("features.h5"),
    );
    Stream::write(&file, FILE_ROWS, width)?;
    let memory = MEMORY >> 20;
    let size =
        format!("{BATCH} of {FILE_ROWS} rows, d {width}, f32, {memory} MiB of memory for rows");
    let task = Task::Stream {
        file,
        dataset: DATASET.to_owned(),
        batch: BATCH,
        memory: MEMORY,
    };
    Ok(offer(size, task))
}

/// A whole training, whose files start with `name`; `seed` is of the data, initial weights, noise and times.
fn fit(size: Size, seed: u64, folder: &Path, name: &str) -> Result<Task> {
    let file = |what: &str| -> PathBuf { folder.join(format!("{name}-{seed}-{what}.safetensors")) };
    let (flow, given) = (file("flow"), file("points"));
    let (streams, settings) = (Streams::new(seed), size.fit());
    let trainer = settings.begin(size.dimensions, streams, &device()?);
    write_flow(&trainer.module.valid(), &flow)?;
    let mut tensors = HeldOut::draw(size.dimensions, Streams::of_stage("held out", seed));
    let rows = points(size.dimensions, ROWS, streams);
    tensors.add("rows", [ROWS, size.dimensions], rows);
    tensors.write(&given)?;
    Ok(Task::Fit {
        size: size.into(),
        flow,
        points: given,
        optimiser: OptimiserConfig {
            // constant after the warm-up, so that any number of steps can be compared
            final_learning_rate: 1.0,
            ..settings.optimiser
        },
        seed,
    })
}
