//! Seconds to the held-out loss that PyTorch reaches.
//!
//! Both sides start from the same weights and take the same rows in the same order, with the pipeline's
//! recipe at a constant learning rate. Both share stratified times, as the pipeline does, or PyTorch, naive,
//! draws a time for each point. The loss is that of the averaged weights, at the same points, noise and
//! times; its evaluation is not timed.

use super::exchange::write_flow;
use super::held_out::HeldOut;
use super::jobs::{Size, device, points};
use super::machine;
use super::protocol::Task;
use super::race::Race;
use super::side::{Common, Side, Way};
use super::statistics::{Ask, Spread};
use super::table::{Table, publish};
use anyhow::Result;
use burn::module::Module as _;
use latent_align_stages::random::Streams;
use latent_align_stages::training::OptimiserConfig;
use std::fmt::Write as _;
use tempfile::TempDir;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Seeds: of the data, the initial weights, noise and times
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Steps of PyTorch
    #[arg(long, default_value_t = 2000)]
    steps: u64,
    /// PyTorch with shared times, or with a time for each point
    #[arg(long, value_enum, default_value_t = Against::Careful)]
    against: Against,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Against {
    Careful,
    Naive,
}

impl Against {
    /// Eager, and compiled.
    fn ways(self) -> [Way; 2] {
        match self {
            Self::Careful => [Way::CarefulEager, Way::CarefulCompiled],
            Self::Naive => [Way::NaiveEager, Way::NaiveCompiled],
        }
    }
}

const SETTINGS: [(&str, Size); 2] = [("ring", Size::RING), ("tokens", Size::tokens(256, 256))];
/// Of the ratio of seconds.
const ASK: Ask = Ask::new(1.2, 2.0);
/// Training rows.
const ROWS: usize = 100_000;

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut ours = Side::start(Way::Ours, &arguments.common)?;
    let [eager, compiled] = arguments.against.ways();
    let mut peers = [
        Side::start(eager, &arguments.common)?,
        Side::start(compiled, &arguments.common)?,
    ];
    let about = [ours.about()?, peers[0].about()?].join("; ");
    let moments = [4, 2, 1].map(|part| arguments.steps / part);
    let mut table = Table::new(&[
        "data",
        "seed",
        "PyTorch (s)",
        "its loss",
        "ours (s)",
        "after steps",
        "PyTorch / ours",
        &format!("loss, ours / PyTorch, after {moments:?} steps"),
    ]);
    let mut verdicts = String::new();
    let mut others = 0.0f64;
    for (name, size) in SETTINGS {
        let mut ratios = Vec::new();
        let mut faster = None;
        for seed in 0..arguments.seeds {
            eprintln!("{name}, seed {seed}");
            let files = Files::write(size, seed)?;
            let peer = match faster {
                Some(peer) => peer,
                None => *faster.insert(faster_of(&mut peers, &files.task)?),
            };
            let race = Race::run(&mut ours, &mut peers[peer], &files.task, arguments.steps)?;
            let (target, reached) = (race.target(), race.reached());
            let ratio = reached.map(|here| target.seconds / here.seconds);
            ratios.push(ratio.unwrap_or(0.0)); // ratios.push(ratio.unwrap_or(0.0)); // never reached: less than any ratio
            others = others.max(race.others());
            let number = |x: Option<f64>, digits: usize| match x {
                Some(x) => format!("{x:.digits$}"),
                None => "never".to_owned(),
            };
            let losses = moments.map(|steps| race.losses_after(steps)).join(", ");
            eprintln!(
                "{name}, seed {seed}: ratio {}, losses {losses}",
                number(ratio, 2)
            );
            table.row([
                name.to_owned(),
                seed.to_string(),
                format!("{:.1}, {}", target.seconds, peers[peer].way.name()),
                format!("{:.4}", target.loss),
                number(reached.map(|here| here.seconds), 1),
                number(reached.map(|here| here.steps), 0),
                number(ratio, 2),
                losses,
            ]);
        }
        let ratio = Spread::of(ratios);
        let _ = writeln!(
            verdicts,
            "\n{name}: {ratio}, {ASK}: {}.",
            ASK.verdict(ratio)
        );
    }
    let text = format!(
        "{}\nSeconds to the held-out loss that PyTorch has after {} steps. {about}; {}.\n{verdicts}\n{}",
        table.render(),
        arguments.steps,
        machine::processor(),
        machine::disturbance(others),
    );
    publish(&text, arguments.common.out.as_deref())
}

/// The files that both sides read, for its lifetime.
struct Files {
    task: Task,
    _folder: TempDir,
}

impl Files {
    fn write(size: Size, seed: u64) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let flow = folder.path().join("flow.safetensors");
        let points_file = folder.path().join("points.safetensors");
        let streams = Streams::new(seed);
        let fit = size.fit();
        let trainer = fit.begin(size.dimensions, streams, &device()?);
        write_flow(&trainer.module.valid(), &flow)?;
        let mut tensors = HeldOut::draw(size.dimensions, Streams::of_stage("held out", seed));
        let rows = points(size.dimensions, ROWS, streams);
        tensors.add("rows", [ROWS, size.dimensions], rows);
        tensors.write(&points_file)?;
        Ok(Self {
            task: Task::Fit {
                size: size.into(),
                flow,
                points: points_file,
                optimiser: OptimiserConfig {
                    final_learning_rate: 1.0, // final_learning_rate: 1.0, // constant after the warm-up, so that any number of steps can be compared
                    ..fit.optimiser
                },
                seed,
            },
            _folder: folder,
        })
    }
}

/// The faster of eager and compiled over a few steps.
fn faster_of(peers: &mut [Side; 2], task: &Task) -> Result<usize> {
    let mut seconds = [f64::INFINITY; 2];
    for peer in peers.iter_mut() {
        peer.prepare(task.clone())?;
        peer.run(3)?; // compiling
    }
    for at in [0, 1, 0, 1] {
        seconds[at] = seconds[at].min(peers[at].run(20)?);
    }
    Ok(if seconds[0] < seconds[1] { 0 } else { 1 })
}
