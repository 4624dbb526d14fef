//! Jobs at every size, turn by turn: ours, PyTorch eager, PyTorch compiled, and again.

use super::jobs::{DATASET, MEMORY, Size, Stream};
use super::likelihood;
use super::machine;
use super::protocol::Task;
use super::rounds::{Plan, Round, SQUARES, rounds};
use super::side::{Common, Side};
use super::statistics::{Ask, Spread};
use super::table::{Table, publish};
use anyhow::{Result, ensure};
use clap::ValueEnum;
use std::fmt::{Display, Write as _};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Which jobs
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Kind::value_variants().to_vec())]
    rows: Vec<Kind>,
    /// Only sizes whose description has this in it, such as "width 1024, 6 blocks, 256 points"
    #[arg(long, default_value = "")]
    size: String,
    /// Rounds, in each of which every side has a turn
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Rounds of whole solves, which take long
    #[arg(long, default_value_t = 2)]
    solves: usize,
    /// Seconds of a turn; one step at least
    #[arg(long, default_value_t = 1.0)]
    turn: f64,
}

/// A kind of job.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Train,
    Align,
    Divergence,
    Likelihood,
    Stream,
}

/// Of training steps.
const TRAINING: Ask = Ask::new(1.2, 2.0);
/// Of alignment steps.
const ALIGNING: Ask = Ask::new(1.5, 3.0);
/// Of divergences and solves.
const SOLVING: Ask = Ask::new(5.0, 20.0);
/// Of batches out of a file.
const STREAMING: Ask = Ask::new(2.0, 5.0);
/// Rows of that file, and of a batch.
const FILE_ROWS: usize = 2_000_000;
const BATCH: usize = 256;
/// Of the machine's rate, in per cent.
const RATE: Ask = Ask::new(50.0, 75.0);
/// The width whose training is held against the machine's rate.
const WIDEST: usize = 1024;

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut comparison = Comparison::new(arguments)?;
    let mut failed = 0;
    for &kind in &arguments.rows {
        // what was measured before is not lost
        if let Err(why) = comparison.rows(kind) {
            comparison.notes.push(format!("Failed: {why:#}"));
            failed += 1;
        }
    }
    publish(&comparison.text(), arguments.common.out.as_deref())?;
    ensure!(
        failed == 0,
        "{failed} of the jobs failed; the notes say why"
    );
    Ok(())
}

struct Comparison<'a> {
    sides: [Side; 3],
    arguments: &'a Arguments,
    table: Table,
    notes: Vec<String>,
    /// The greatest share of the machine that others used in a turn that counts.
    disturbed: f64,
}

impl<'a> Comparison<'a> {
    fn new(arguments: &'a Arguments) -> Result<Self> {
        let mut sides = Side::all(&arguments.common)?;
        let about = [sides[0].about()?, sides[1].about()?].join("; ");
        let table = Table::new(&[
            "job",
            "size",
            "ours (ms)",
            "eager (ms)",
            "compiled (ms)",
            "PyTorch's best / ours",
            "asked",
            "verdict",
        ]);
        let notes = vec![format!(
            "Milliseconds: median over rounds of a step in the mean of a turn. Ratios: of the faster PyTorch \
             of each round, median over rounds (least to greatest). {about}; {}.",
            machine::processor()
        )];
        Ok(Self {
            sides,
            arguments,
            table,
            notes,
            disturbed: 0.0,
        })
    }

    fn rows(&mut self, kind: Kind) -> Result<()> {
        match kind {
            Kind::Train => self.train(),
            Kind::Align => self.align(),
            Kind::Divergence => self.divergence(),
            Kind::Likelihood => self.likelihood(),
            Kind::Stream => self.stream(),
        }
    }

    fn train(&mut self) -> Result<()> {
        self.notes.push(
            "Training steps: ours clips the gradient and averages the weights besides, as the pipeline does."
                .to_owned(),
        );
        for size in self.sizes(Size::ALL) {
            let task = Task::Train { size: size.into() };
            self.set_up("training step", size, task)?;
            let wide = size.width == WIDEST;
            let rounds = self.rounds(wide)?;
            self.report("training step", &size.to_string(), TRAINING, &rounds);
            if wide {
                self.share_of_rate(size, &rounds);
            }
        }
        Ok(())
    }

    /// What share of the best rate of matrix products, theirs or ours, the necessary arithmetic of our
    /// training step reaches.
    fn share_of_rate(&mut self, size: Size, rounds: &[Round]) {
        let operations = size.necessary_operations();
        let rate = |side: usize| Spread::of(rounds.iter().map(|r| r.rates[side] / 1e9));
        let share = Spread::of(rounds.iter().map(|r| {
            let best = r.rates.iter().fold(0.0, |a: f64, &b| a.max(b));
            100.0 * operations / r.seconds[0] / best
        }));
        self.notes.push(format!(
            "Training step, {size}: {share:.0} % of the measured rate of matrix products, counting only the \
             {:.1} GFLOP that are necessary ({RATE}): {}. Products of squares of {SQUARES:?}, the best in \
             GFLOP/s: ours {:.0}, PyTorch {:.0}.",
            operations / 1e9,
            RATE.verdict(share),
            rate(0),
            rate(1)
        ));
    }

    fn align(&mut self) -> Result<()> {
        for size in self.sizes(Size::ALL) {
            let task = Task::Align { size: size.into() };
            self.set_up("alignment step", size, task)?;
            let rounds = self.rounds(false)?;
            self.report("alignment step", &size.to_string(), ALIGNING, &rounds);
        }
        Ok(())
    }

    fn divergence(&mut self) -> Result<()> {
        let job = "velocity + exact divergence";
        for size in self.sizes([256, 1024].map(|batch| Size::tokens(256, batch))) {
            let [_, eager, compiled] =
                self.set_up(job, size, Task::Divergence { size: size.into() })?;
            let rounds = self.rounds(false)?;
            self.report(job, &size.to_string(), SOLVING, &rounds);
            self.notes.push(format!(
                "Divergence, {size}: eager by {eager}, compiled by {compiled}."
            ));
        }
        Ok(())
    }

    fn likelihood(&mut self) -> Result<()> {
        let prepared = likelihood::prepare(&mut self.sides)?;
        let rounds = self.follow(&Plan {
            count: self.arguments.solves,
            seconds: None,
            products: false,
        })?;
        let size = Size {
            batch: likelihood::POINTS,
            ..likelihood::NETWORK
        };
        self.report(
            "NLL solve to 1e-3 nats",
            &size.to_string(),
            SOLVING,
            &rounds,
        );
        self.notes.push(prepared.describe(&mut self.sides)?);
        Ok(())
    }

    fn stream(&mut self) -> Result<()> {
        let (width, folder) = (Size::tokens(256, BATCH).dimensions, tempfile::tempdir()?);
        let file = folder.path().join("features.h5");
        Stream::write(&file, FILE_ROWS, width)?;
        let size = format!("{BATCH} of {FILE_ROWS} rows, d {width}, f32");
        let job = "HDF5 into shuffled batches";
        let task = Task::Stream {
            file,
            dataset: DATASET.to_owned(),
            batch: BATCH,
            memory: MEMORY,
        };
        let [_, eager, compiled] = self.set_up(job, &size, task)?;
        let rounds = self.rounds(false)?;
        self.report(job, &size, STREAMING, &rounds);
        self.notes.push(format!(
            "HDF5: a contiguous file in the page cache, {} MiB of memory for rows; ours normalises them \
             besides. In the columns of PyTorch, eager: {eager}; compiled: {compiled}.",
            MEMORY >> 20
        ));
        Ok(())
    }

    /// Those of `sizes` that are asked for.
    fn sizes(&self, sizes: impl IntoIterator<Item = Size>) -> Vec<Size> {
        let asked = |size: &Size| size.to_string().contains(&self.arguments.size);
        sizes.into_iter().filter(asked).collect()
    }

    /// Gives every side the task; how each does it.
    fn set_up(&mut self, job: &str, size: impl Display, task: Task) -> Result<[String; 3]> {
        eprintln!("{job}, {size}");
        let [ours, eager, compiled] = &mut self.sides;
        Ok([
            ours.prepare(task.clone())?,
            eager.prepare(task.clone())?,
            compiled.prepare(task)?,
        ])
    }

    fn rounds(&mut self, products: bool) -> Result<Vec<Round>> {
        self.follow(&Plan {
            count: self.arguments.rounds,
            seconds: Some(self.arguments.turn),
            products,
        })
    }

    fn follow(&mut self, plan: &Plan) -> Result<Vec<Round>> {
        let rounds = rounds(&mut self.sides, plan)?;
        let others = rounds.iter().map(|round| round.others);
        self.disturbed = others.fold(self.disturbed, f64::max);
        Ok(rounds)
    }

    fn report(&mut self, job: &str, size: &str, ask: Ask, rounds: &[Round]) {
        let median = |side: usize| {
            let milliseconds = rounds.iter().map(|round| 1e3 * round.seconds[side]);
            let median = Spread::of(milliseconds).median;
            let digits = if median < 1.0 { 3 } else { 1 };
            format!("{median:.digits$}")
        };
        let ratio = |round: &Round| {
            let [ours, eager, compiled] = round.seconds;
            eager.min(compiled) / ours
        };
        let ratio = Spread::of(rounds.iter().map(ratio));
        self.table.row([
            job.to_owned(),
            size.to_owned(),
            median(0),
            median(1),
            median(2),
            ratio.to_string(),
            ask.to_string(),
            ask.verdict(ratio).to_owned(),
        ]);
    }

    fn text(&self) -> String {
        let mut text = self.table.render();
        for note in &self.notes {
            let _ = write!(text, "\n{note}\n");
        }
        text + "\n" + &machine::disturbance(self.disturbed)
    }
}
