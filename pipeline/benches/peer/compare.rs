//! Jobs at every size, in turns: this program, PyTorch naive and careful, each eager and compiled.

use super::agreement::{self, Step};
use super::jobs::{DATASET, MEMORY, Size, Stream};
use super::likelihood;
use super::machine;
use super::protocol::Task;
use super::rounds::{Plan, Round, SQUARES, rounds};
use super::rows::{Row, Rows};
use super::shown;
use super::side::{Common, Side, Way};
use super::statistics::{Ask, Spread};
use super::table::{Table, publish};
use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use latent_align_stages::training::MatmulPrecision;
use std::fmt::{Display, Write as _};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Which jobs
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Kind::value_variants().to_vec())]
    rows: Vec<Kind>,
    /// Only sizes whose description contains this, such as "width 1024, 6 blocks, 256 points"
    #[arg(long, default_value = "")]
    size: String,
    /// Rounds, in which every side has a turn
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Rounds of whole solves, which are slow
    #[arg(long, default_value_t = 2)]
    solves: usize,
    /// Training and alignment steps of the paper's size only: width 1024, 6 blocks, batch 1024 and 8192
    #[arg(long)]
    paper: bool,
    /// Precision of the matrix products of blocks in training and alignment steps: f32 or bf16
    #[arg(long, default_value = "f32", value_parser = precision)]
    precision: MatmulPrecision,
    /// Only check whether all sides compute the same, for rows that allow it; nothing is timed
    #[arg(long)]
    check: bool,
    /// Leave naive PyTorch out
    #[arg(long)]
    careful: bool,
    /// Keep this many threads of another process busy
    #[arg(long, default_value_t = 0)]
    beside: usize,
    /// Seconds of a turn, with at least one step
    #[arg(long, default_value_t = 1.0)]
    turn: f64,
}

fn precision(name: &str) -> Result<MatmulPrecision, String> {
    let name = serde_json::Value::from(name);
    serde_json::from_value(name).map_err(|error| error.to_string())
}

/// A kind of job.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    Train,
    Align,
    Tarflow,
    TarflowNll,
    TarflowSamples,
    Autoencoder,
    Classifier,
    /// The linear probe
    Probe,
    /// A step with distribution matching
    Student,
    Vae,
    /// Importance weights
    Weigh,
    /// Of a round of a search in latents
    Surrogate,
    /// Transport of latents
    Carry,
    Divergence,
    /// Against torchdiffeq
    Likelihood,
    /// Against the same quadrature as in this program
    Nested,
    Stream,
}

/// The target ratios of training steps of the flow, narrow and wide.
const TRAINING: Ask = Ask::new(1.3, 2.0);
const TRAINING_WIDE: Ask = Ask::new(1.15, 2.0);
/// The target ratios of alignment steps, narrow and wide.
const ALIGNING: Ask = Ask::new(1.2, 2.0);
const ALIGNING_WIDE: Ask = Ask::new(1.1, 2.0);
/// The target ratios of whole solves, against torchdiffeq and against the same quadrature.
const SOLVING: Ask = Ask::new(5.0, 20.0);
const SOLVING_NESTED: Ask = Ask::new(2.0, 4.0);
/// The target ratios of batches from a file.
const STREAMING: Ask = Ask::new(2.0, 5.0);
/// Rows of that file, and of a batch.
const FILE_ROWS: usize = 2_000_000;
const BATCH: usize = 256;
/// The target share of the machine's rate, in per cent.
const RATE: Ask = Ask::new(85.0, 95.0);
/// The width whose training is compared with the machine's rate.
const WIDEST: usize = 1024;

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut comparison = Comparison::new(arguments)?;
    machine::keep_busy(arguments.beside);
    let mut failed = 0;
    for &kind in &arguments.rows {
        // keeps earlier measurements
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

/// Jobs in which careful PyTorch has no less arithmetic than naive PyTorch.
const NO_CARE: [Way; 3] = [Way::Ours, Way::CarefulEager, Way::CarefulCompiled];
/// Jobs with nothing to compile.
const NOT_COMPILED: [Way; 3] = [Way::Ours, Way::NaiveEager, Way::CarefulEager];

struct Comparison<'a> {
    /// The selected sides, in the order of [`Way::ALL`].
    sides: Vec<Side>,
    arguments: &'a Arguments,
    table: Table,
    notes: Vec<String>,
    /// The largest share of the machine that other processes used in a counted turn.
    disturbed: f64,
}

impl<'a> Comparison<'a> {
    fn new(arguments: &'a Arguments) -> Result<Self> {
        let alone = arguments.common.python.is_none();
        let asked = |way: &Way| match way {
            Way::Ours => true,
            way => !(alone || arguments.careful && way.is_naive()),
        };
        let mut sides: Vec<Side> = (Way::ALL.into_iter().filter(asked))
            .map(|way| Side::start(way, &arguments.common))
            .collect::<Result<_>>()?;
        // this program, and one of PyTorch
        let about: Vec<String> = (sides.iter_mut().take(2))
            .map(Side::about)
            .collect::<Result<_>>()?;
        let about = about.join("; ");
        let table = Table::new(&[
            "job",
            "size",
            "ours (ms)",
            "naive eager (ms)",
            "naive compiled (ms)",
            "careful eager (ms)",
            "careful compiled (ms)",
            "best naive / ours",
            "best careful / ours",
            "asked of the careful",
            "verdict",
        ]);
        let notes = vec![format!(
            "Milliseconds: median over rounds of a step in the mean of a turn. Ratios: of the faster PyTorch \
             of each round, median over rounds (least to greatest). Careful PyTorch shares times in groups and \
             looks modulations of a frozen flow up in a table, as ours does; where that changes nothing there \
             is no naive one. {about}; {}.",
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
            // their results are compared with f64, or are not numbers
            Kind::Likelihood | Kind::Nested | Kind::Stream if self.arguments.check => Ok(()),
            Kind::Likelihood => self.likelihood(false),
            Kind::Nested => self.likelihood(true),
            Kind::Stream => self.stream(),
            kind => self.plain(Rows::of(kind).expect("those above have ways of their own")),
        }
    }

    /// Rows that all sides run the same way; a row whose sides differ is refused, and the others are measured.
    fn plain(&mut self, Rows { rows, note }: Rows) -> Result<()> {
        let mut refused = Vec::new();
        for row in rows {
            if !row.size.contains(&self.arguments.size) {
                continue;
            }
            if let Err(why) = self.row(&row) {
                eprintln!("    refused: {why:#}");
                refused.push(format!("{}, {}: {why:#}", row.job, row.size));
            }
        }
        self.notes.push(note.to_owned());
        ensure!(refused.is_empty(), "{}", refused.join("; "));
        Ok(())
    }

    fn row(
        &mut self,
        Row {
            job,
            size,
            task,
            ask,
            long,
        }: &Row,
    ) -> Result<()> {
        let how = self.set_up(job, size, &NO_CARE, task.clone())?;
        let difference = shown::check(&mut self.among(&NO_CARE))?;
        if self.arguments.check {
            match difference {
                Some(difference) => eprintln!("    differs by {difference:.1e}"),
                None => eprintln!("    nobody to compare with"),
            }
        } else {
            let rounds = match long {
                false => self.rounds(&NO_CARE, false)?,
                true => self.solves(&NO_CARE)?,
            };
            self.report(job, size, *ask, &rounds);
        }
        let mut said: Vec<String> = (how.into_iter().skip(1))
            .map(|(way, how)| format!("{}: {how}", way.name()))
            .collect();
        said.extend(difference.map(|difference| {
            format!("what comes out with the same weights at the same points differs by {difference:.1e} of its size")
        }));
        if !said.is_empty() {
            self.notes
                .push(format!("{job}, {size}: {}.", said.join("; ")));
        }
        Ok(())
    }

    fn train(&mut self) -> Result<()> {
        self.notes.push(
            "Training steps: ours clips the gradient and averages the weights besides, as the pipeline does."
                .to_owned(),
        );
        self.agree(Step::Training)?;
        if self.arguments.check {
            return Ok(());
        }
        for size in self.steps() {
            self.set_up(
                "training step",
                size,
                &Way::ALL,
                Task::train(size, self.arguments.precision),
            )?;
            let wide = size.width == WIDEST;
            let rounds = self.rounds(&Way::ALL, wide)?;
            let ask = if wide { TRAINING_WIDE } else { TRAINING };
            self.report("training step", &size.to_string(), ask, &rounds);
            if wide {
                self.share_of_rate(size, &rounds);
            }
        }
        Ok(())
    }

    /// Records that all sides compute the same.
    fn agree(&mut self, step: Step) -> Result<()> {
        eprintln!("{step:?}: whether all ways have the same loss and gradient");
        let [_, peers @ ..] = &mut self.sides[..] else {
            return Ok(());
        };
        if !peers.is_empty() {
            self.notes.push(agreement::check(step, peers)?);
        }
        Ok(())
    }

    /// The share of the best rate of matrix products, of either side, that the necessary arithmetic of this
    /// program's training step reaches.
    fn share_of_rate(&mut self, size: Size, rounds: &[Round]) {
        let operations = size.necessary_operations();
        let rate = |side: usize| Spread::of(rounds.iter().map(|r| r.rates[side] / 1e9));
        let share = Spread::of(rounds.iter().map(|r| {
            let best = r.rates.iter().fold(0.0, |a: f64, &b| a.max(b));
            100.0 * operations / r.seconds[&Way::Ours] / best
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
        self.agree(Step::Alignment)?;
        if self.arguments.check {
            return Ok(());
        }
        for size in self.steps() {
            self.set_up(
                "alignment step",
                size,
                &Way::ALL,
                Task::align(size, self.arguments.precision),
            )?;
            let rounds = self.rounds(&Way::ALL, false)?;
            let wide = size.width == WIDEST;
            let ask = if wide { ALIGNING_WIDE } else { ALIGNING };
            self.report("alignment step", &size.to_string(), ask, &rounds);
        }
        Ok(())
    }

    fn likelihood(&mut self, nested: bool) -> Result<()> {
        let prepared = likelihood::prepare(&mut self.three(NO_CARE)?, nested)?;
        let rounds = self.solves(&NO_CARE)?;
        let size = Size {
            batch: likelihood::POINTS,
            ..likelihood::NETWORK
        };
        let (job, ask) = match nested {
            false => ("NLL solve to 1e-3 nats", SOLVING),
            true => (
                "NLL solve to 1e-3 nats, the same quadrature",
                SOLVING_NESTED,
            ),
        };
        self.report(job, &size.to_string(), ask, &rounds);
        let note = prepared.describe(&mut self.three(NO_CARE)?)?;
        self.notes.push(note);
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
        let how = self.set_up(job, &size, &NOT_COMPILED, task)?;
        let rounds = self.rounds(&NOT_COMPILED, false)?;
        self.report(job, &size, STREAMING, &rounds);
        let mut note = format!(
            "HDF5: a contiguous file in the page cache, {} MiB of memory for rows; ours normalises them \
             besides.",
            MEMORY >> 20
        );
        for (way, how) in how.into_iter().skip(1) {
            let _ = write!(note, " PyTorch, {}: {how}.", way.name());
        }
        self.notes.push(note);
        Ok(())
    }

    /// The selected sizes of training and alignment steps.
    fn steps(&self) -> Vec<Size> {
        if self.arguments.paper {
            return self.sizes(Size::PAPER);
        }
        self.sizes(Size::ALL)
    }

    /// The selected ones of `sizes`.
    fn sizes(&self, sizes: impl IntoIterator<Item = Size>) -> Vec<Size> {
        let asked = |size: &Size| size.to_string().contains(&self.arguments.size);
        sizes.into_iter().filter(asked).collect()
    }

    /// The sides that run a job in those ways.
    fn among(&mut self, ways: &[Way]) -> Vec<&mut Side> {
        let asked = |side: &&mut Side| ways.contains(&side.way);
        self.sides.iter_mut().filter(asked).collect()
    }

    fn three(&mut self, ways: [Way; 3]) -> Result<[&mut Side; 3]> {
        let sides = self.among(&ways).try_into().ok();
        sides.context("it needs PyTorch beside ours; `--python` names a Python with it")
    }

    /// Sets up the task on those sides, this program first; returns how each runs it.
    fn set_up(
        &mut self,
        job: &str,
        size: impl Display,
        ways: &[Way],
        task: Task,
    ) -> Result<Vec<(Way, String)>> {
        eprintln!("{job}, {size}");
        let sides = self.among(ways).into_iter();
        sides
            .map(|side| Ok((side.way, side.prepare(task.clone())?)))
            .collect()
    }

    fn rounds(&mut self, ways: &[Way], products: bool) -> Result<Vec<Round>> {
        self.follow(
            ways,
            &Plan {
                count: self.arguments.rounds,
                seconds: Some(self.arguments.turn),
                products,
                disturbed: self.arguments.beside > 0,
            },
        )
    }

    /// Rounds of a slow job that was already run.
    fn solves(&mut self, ways: &[Way]) -> Result<Vec<Round>> {
        self.follow(
            ways,
            &Plan {
                count: self.arguments.solves,
                seconds: None,
                products: false,
                disturbed: self.arguments.beside > 0,
            },
        )
    }

    fn follow(&mut self, ways: &[Way], plan: &Plan) -> Result<Vec<Round>> {
        let rounds = rounds(&mut self.among(ways), plan)?;
        let others = rounds.iter().map(|round| round.others);
        self.disturbed = others.fold(self.disturbed, f64::max);
        Ok(rounds)
    }

    fn report(&mut self, job: &str, size: &str, ask: Ask, rounds: &[Round]) {
        let median = |way: Way| {
            let seconds = rounds.iter().filter_map(|round| round.seconds.get(&way));
            let median = Spread::of_any(seconds.map(|s| 1e3 * s))?.median;
            let digits = if median < 1.0 { 3 } else { 1 };
            Some(format!("{median:.digits$}"))
        };
        let ratio = |ways: fn(Way) -> bool| {
            Spread::of_any(rounds.iter().filter_map(|round| round.ratio(ways)))
        };
        let cell = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let [ours, naive, compiled, careful, careful_compiled] = Way::ALL.map(|w| cell(median(w)));
        let claimed = ratio(Way::is_careful);
        self.table.row([
            job.to_owned(),
            size.to_owned(),
            ours,
            naive,
            compiled,
            careful,
            careful_compiled,
            cell(ratio(Way::is_naive).map(|r| r.to_string())),
            cell(claimed.map(|r| r.to_string())),
            ask.to_string(),
            cell(claimed.map(|r| ask.verdict(r).to_owned())),
        ]);
    }

    fn text(&self) -> String {
        let mut text = self.table.render();
        for note in &self.notes {
            let _ = write!(text, "\n{note}\n");
        }
        match self.arguments.beside {
            0 => text + "\n" + &machine::disturbance(self.disturbed),
            busy => text + &format!("\nBeside {busy} threads that were busy all the time.\n"),
        }
    }
}
