//! The whole solve: each side with the loosest sufficient tolerance, according to the same reference.

use super::exchange::{Tensors, write_flow};
use super::jobs::{Size, TOLERANCES, device, points, reference, trained_flow};
use super::protocol::{Request, Task};
use super::side::Side;
use anyhow::{Context as _, Result};
use latent_align_stages::random::Streams;
use std::fmt::Write as _;
use std::path::PathBuf;
use tempfile::TempDir;

/// The flow that is solved.
pub const NETWORK: Size = Size::tokens(256, 256);
/// Points of a solve.
pub const POINTS: usize = 1000;
/// The first points, whose NLL is also computed in f64.
const REFERENCES: usize = 128;
/// Steps of training beforehand.
const STEPS: u64 = 500;
/// The worst error allowed, in nats.
const WITHIN: f64 = 1e-3;

/// Ours, PyTorch eager and PyTorch compiled.
type Sides<'a> = [&'a mut Side; 3];

/// Every side ready to solve.
pub struct Prepared {
    reference: Vec<f64>,
    /// The tolerance of each side, and how it takes divergences.
    chosen: [(f64, String); 3],
    _folder: TempDir,
}

/// Trains a flow, solves its first points in f64, and finds each side's tolerance: first on these points
/// alone, then on all. `nested` is as in [`Task::Likelihood`].
pub fn prepare(sides: &mut Sides, nested: bool) -> Result<Prepared> {
    eprintln!(
        "NLL solve: training a flow for {STEPS} steps and solving {REFERENCES} points in f64"
    );
    let folder = tempfile::tempdir()?;
    let flow = folder.path().join("flow.safetensors");
    let network = trained_flow(NETWORK, STEPS, &device()?)?;
    write_flow(&network, &flow)?;
    let rows = points(NETWORK.dimensions, POINTS, Streams::new(1));
    let first = &rows[..REFERENCES * NETWORK.dimensions];
    let reference = reference(network, first, NETWORK)?;
    let write = |name: &str, rows: &[f32]| -> Result<PathBuf> {
        let mut tensors = Tensors::default();
        let shape = [rows.len() / NETWORK.dimensions, NETWORK.dimensions];
        tensors.add("points", shape, rows.to_vec());
        let path = folder.path().join(name);
        tensors.write(&path)?;
        Ok(path)
    };
    let (few, all) = (
        write("few.safetensors", first)?,
        write("all.safetensors", &rows)?,
    );

    let task = |points: &PathBuf, tolerance| Task::Likelihood {
        size: NETWORK.into(),
        flow: flow.clone(),
        points: points.clone(),
        nested,
        tolerance,
    };
    let mut chosen: [(f64, String); 3] = Default::default();
    for at in [0, 2, 1] {
        // eager computes the same as compiled: it starts with that tolerance
        let loosest = if at == 1 { chosen[2].0 } else { f64::INFINITY };
        let mut tolerances = TOLERANCES
            .into_iter()
            .skip_while(|&t| t > loosest)
            .peekable();
        let side = &mut *sides[at];
        for points in [&few, &all] {
            chosen[at] = loop {
                let tolerance = *tolerances.peek().with_context(|| {
                    format!("{}: none is within {WITHIN:e} nats", side.way.name())
                })?;
                let how = side.prepare(task(points, tolerance))?;
                side.run(1)?;
                let worst = worst_error(side, &reference)?;
                eprintln!(
                    "{}: tolerance {tolerance:e}, worst error {worst:.1e} nats",
                    side.way.name()
                );
                if worst < WITHIN {
                    break (tolerance, how);
                }
                tolerances.next();
            };
        }
    }
    Ok(Prepared {
        reference,
        chosen,
        _folder: folder,
    })
}

impl Prepared {
    /// A description of each side's last solve.
    pub fn describe(&self, sides: &mut Sides) -> Result<String> {
        let mut text = format!(
            "NLL solve: the loosest tolerance of {TOLERANCES:?} whose worst error over the first {REFERENCES} \
             points is below {WITHIN:e} nats, against ours in f64 with 1e-7."
        );
        for (side, (tolerance, how)) in sides.iter_mut().zip(&self.chosen) {
            let worst = worst_error(side, &self.reference)?;
            write!(
                text,
                " {}: tolerance {tolerance:e}, worst error {worst:.1e} nats, {how}.",
                side.way.name()
            )?;
        }
        Ok(text)
    }
}

fn worst_error(side: &mut Side, reference: &[f64]) -> Result<f64> {
    let found = side.values(&Request::Likelihoods(()))?;
    let errors = found.iter().zip(reference).map(|(a, b)| (a - b).abs());
    Ok(errors.fold(0.0, f64::max))
}
