//! Scores rows of features or of points: NLLs and alignment losses.

use super::conditions::{Condition, OfRows};
use super::lineage::Lineage;
use super::rows;
use super::scoring::{Scores, Scoring, ScoringConfig};
use super::work::{Keep, Work};
use crate::alignment::{Draws, RULES, Weighting};
use crate::context::{Monitor, Summary, Table};
use crate::data::{Dataset, Patches, SourceConfig};
use crate::error::{Error, Result};
use crate::figures::{INTERVAL, ITS_ERROR, estimate_nll as names, filled};
use crate::numerics::{mean, standard_error};
use crate::persist::Partial;
use crate::priors::{Batch, Cut, MOST_INTERVALS, Nll, NllKind, Noise, Noising, PointShape};
use burn::tensor::Device;
use std::path::Path;

/// Points scored at once.
const POINTS: usize = 512;
/// Maximum number of table rows in memory.
const TABLE_ROWS: usize = 1 << 16;
/// Number of weightings.
const W: usize = Weighting::ALL.len();

/// The space of the input rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// The space of the target features: the flow's normalisation is applied.
    Features,
    /// The flow's own space, which is that of latents.
    Points,
}

/// Scores all rows of a dataset.
pub struct Score {
    scoring: Scoring,
    dataset: Dataset,
    space: Space,
    condition: Option<OfRows>,
    /// Points per row.
    group: usize,
    /// Adds the training noise of the flow to features.
    noising: Option<Noising>,
}

/// The stored results of a point.
#[derive(Debug, Clone, Copy, Default)]
struct Record {
    nll: f64,
    /// NaN without probes.
    error: f64,
    settled: bool,
    is_exact: bool,
    /// Number of divergence evaluations, averaged over the points scored together.
    evaluations: f64,
    /// NaN if unknown.
    analytic: f64,
    /// Per weighting, NaN for a flow without a velocity: loss, its error, loss of the exact velocity.
    losses: [[f64; 3]; W],
    /// Per weighting, the value by each rule.
    rules: [[f64; RULES]; W],
}

/// Numbers per record.
const NUMBERS: usize = 6 + W * (3 + RULES);

impl Record {
    fn numbers(&self) -> [f64; NUMBERS] {
        let first = [
            self.nll,
            self.error,
            f64::from(u8::from(self.settled)),
            f64::from(u8::from(self.is_exact)),
            self.evaluations,
            self.analytic,
        ];
        let mut numbers = (first.into_iter())
            .chain(self.losses.into_iter().flatten())
            .chain(self.rules.into_iter().flatten());
        std::array::from_fn(|_| numbers.next().expect("as many as there are"))
    }

    fn of(bytes: &[u8]) -> Self {
        let mut numbers = (bytes.chunks_exact(size_of::<f64>()))
            .map(|eight| f64::from_ne_bytes(eight.try_into().expect("eight bytes")));
        let mut next = || numbers.next().expect("as many as there are");
        Self {
            nll: next(),
            error: next(),
            settled: next() > 0.0,
            is_exact: next() > 0.0,
            evaluations: next(),
            analytic: next(),
            losses: std::array::from_fn(|_| std::array::from_fn(|_| next())),
            rules: std::array::from_fn(|_| std::array::from_fn(|_| next())),
        }
    }
}

impl Score {
    /// Scores the rows of `source`, given in `space`, under the flow in the directory `dir`; draws use
    /// `seed`.
    ///
    /// # Errors
    /// As [`Scoring::new`] and [`Dataset::open`]; input errors for rows or conditions of another shape.
    pub fn open(
        dir: &Path,
        source: &SourceConfig,
        space: Space,
        condition: Option<&Condition>,
        config: &ScoringConfig,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let scoring = Scoring::new(config, dir, seed, device, false)?;
        let dataset = source.open()?;
        let flow = scoring.flow();
        let shape = flow.prior.shape();
        let group = match (space, flow.layout.cut) {
            (Space::Points, _) => points_of_a_row(&dataset, shape, shape.width, space)?,
            (_, Cut::None) => points_of_a_row(&dataset, shape, flow.normaliser.input_width, space)?,
            (_, Cut::Split) => {
                let whole = PointShape {
                    tokens: 1,
                    width: shape.elements(),
                };
                points_of_a_row(&dataset, whole, flow.normaliser.input_width, space)?
            }
            (_, Cut::Patches(patches)) => {
                require_images(&dataset, patches)?;
                1
            }
        };
        let condition = (condition.map(|c| OfRows::read(c, flow.prior.condition()))).transpose()?;
        if let Some(condition) = &condition {
            condition.require_count(dataset.items())?;
            if group > 1 {
                return Err(Error::input(format!(
                    "{}: found {group} points per row, expected one: a condition applies to a whole row",
                    dataset.describe()
                )));
            }
        }
        Ok(Self {
            noising: (space == Space::Features)
                .then(|| scoring.flow().noising())
                .flatten(),
            scoring,
            dataset,
            space,
            condition,
            group,
        })
    }

    /// The lineage recorded in the dataset.
    pub fn lineage(&self) -> Lineage {
        Lineage::of(&self.dataset)
    }

    /// The dataset with its shape and file.
    pub fn describe(&self) -> String {
        self.dataset.describe()
    }

    /// Total number of points of the flow.
    pub fn points(&self) -> usize {
        self.dataset.items() * self.group
    }

    /// Whether the flow takes conditions and none is given.
    pub fn lacks_condition(&self) -> bool {
        self.condition.is_none() && self.scoring.flow().prior.condition().is_some()
    }

    /// The figures of all points of `partial`, named as those of a region of `estimate-nll`.
    ///
    /// # Errors
    /// File errors.
    pub fn figures(&self, partial: &mut Partial) -> Result<Summary> {
        let mut sums = Sums::default();
        each_record(partial, |records| {
            sums.add(records, self.group);
            Ok(())
        })?;
        let mut summary = sums.figures(self.to_features());
        let flow = self.scoring.flow();
        let nll = match sums.is_exact {
            true => names::NLL_IN_CLOSED_FORM,
            false => names::NLL,
        };
        if let (Some(bits), Some(nll)) = (flow.bits(), summary.get(nll)) {
            summary.add(names::BITS, bits.of(nll));
        }
        if let (Some(_), Some(Noise::Gaussian { sigma })) = (&self.noising, flow.layout.noise) {
            summary.add(names::NOISE, sigma);
        }
        Ok(summary)
    }

    /// Converts `rows`, starting at row `first`, to points of the flow.
    ///
    /// # Errors
    /// An input error if the flow expects integer levels and features are not.
    fn points_of(&self, first: usize, rows: &[f32]) -> Result<Vec<f32>> {
        let flow = self.scoring.flow();
        if self.space == Space::Points {
            return Ok(rows.to_vec());
        }
        let mut points = flow.points_of(rows);
        let Some(noising) = &self.noising else {
            return Ok(points);
        };
        let width = self.dataset.item_width();
        let fraction = rows.iter().position(|v| v.fract() != 0.0);
        if let (Some(Noise::Uniform), Some(at)) = (flow.layout.noise, fraction) {
            return Err(Error::input(format!(
                "{}: found {} in row {}, expected integer levels, as in the flow's training with \
                 `noise: {{kind: uniform}}`",
                self.dataset.describe(),
                rows[at],
                first + at / width
            )));
        }
        let range = flow.layout.range.map(|range| range.map(|v| v as f32));
        let outside =
            range.and_then(|[least, most]| rows.iter().position(|v| !(least..=most).contains(v)));
        if let (Some(Noise::Uniform), Some([least, most]), Some(at)) =
            (flow.layout.noise, range, outside)
        {
            return Err(Error::input(format!(
                "{}: found {} in row {}, expected levels from {least} to {most}, as in the flow's training",
                self.dataset.describe(),
                rows[at],
                first + at / width
            )));
        }
        let of_row = self.group * flow.prior.shape().elements();
        for (number, points) in points.chunks_mut(of_row).enumerate() {
            let row = (first + number) as u64;
            let mut rng = self.scoring.options().streams.at("noise of features", row);
            noising.add(points, &mut rng);
        }
        Ok(points)
    }

    /// Calls `work` with the table of all points of `partial`, in chunks; the columns are those of
    /// `points.parquet`.
    ///
    /// # Errors
    /// Errors of `work`; file errors.
    pub fn tables(
        &self,
        partial: &mut Partial,
        mut work: impl FnMut(&Table) -> Result<()>,
    ) -> Result<()> {
        let to_features = self.to_features();
        let (mut kept, mut first) = (Vec::new(), 0);
        let mut flush = |kept: &mut Vec<Record>, first: &mut usize| {
            let table = table(kept, *first, self.group, to_features);
            *first += kept.len();
            kept.clear();
            work(&table)
        };
        each_record(partial, |records| {
            kept.extend_from_slice(records);
            match kept.len() >= TABLE_ROWS {
                true => flush(&mut kept, &mut first),
                false => Ok(()),
            }
        })?;
        match kept.is_empty() {
            true => Ok(()),
            false => flush(&mut kept, &mut first),
        }
    }

    /// Converts NLLs of points into NLLs of features, if the normalisation is invertible.
    fn to_features(&self) -> Option<f64> {
        self.scoring.flow().log_abs_det().map(|log_det| -log_det)
    }
}

/// Calls `work` with the records of whole rows, in chunks.
fn each_record(partial: &mut Partial, mut work: impl FnMut(&[Record]) -> Result<()>) -> Result<()> {
    let one = NUMBERS * size_of::<f64>();
    partial.each(|bytes| {
        let records: Vec<Record> = bytes.chunks_exact(one).map(Record::of).collect();
        work(&records)
    })
}

impl Work for Score {
    fn task(&self) -> &'static str {
        "rows"
    }

    fn total(&self) -> usize {
        self.dataset.items()
    }

    fn row_bytes(&self) -> usize {
        self.group * NUMBERS * size_of::<f64>()
    }

    fn compute(&self, from: usize, monitor: &dyn Monitor, keep: Keep) -> Result<()> {
        let step = (POINTS / self.group).max(1);
        let total = self.total() as u64;
        rows::each(&self.dataset, from, step, None, |first, rows| {
            let count = rows.len() / self.dataset.item_width();
            let values = self.points_of(first, rows)?;
            let conditions = self.condition.as_ref().map(|c| c.of(first..first + count));
            let batch = Batch {
                values,
                conditions: conditions.transpose()?,
            };
            let scores = self.scoring.score(&batch, &mut |share| {
                let done = first as u64 + (share * count as f64) as u64;
                monitor.progress(self.task(), done, total, "");
                match monitor.cancelled() {
                    true => Err(Error::Cancelled),
                    false => Ok(()),
                }
            });
            let scores = scores.map_err(|error| match error {
                Error::Numerical(why) => Error::Numerical(format!(
                    "{}: rows {first} to {}: {why}",
                    self.dataset.describe(),
                    first + count - 1
                )),
                other => other,
            })?;
            let numbers: Vec<f64> = records(&scores).flat_map(|r| r.numbers()).collect();
            keep(bytemuck::cast_slice(&numbers))
        })
    }
}

/// One record per point.
fn records(scores: &Scores) -> impl Iterator<Item = Record> {
    let Nll {
        values,
        errors,
        kind,
        evaluations,
        settled,
    } = &scores.likelihoods;
    (0..values.len()).map(move |point| {
        let loss = |w: usize| {
            let exact = scores.exact_losses.as_ref();
            let exact = exact.map_or(f64::NAN, |e| e[w].values[point]);
            let own = scores.losses.get(w);
            own.map_or([f64::NAN; 3], |l| [l.values[point], l.errors[point], exact])
        };
        let rule = |w: usize, rule: usize| {
            let own = scores.losses.get(w);
            own.map_or(f64::NAN, |l| l.rules[rule][point])
        };
        Record {
            nll: values[point],
            error: errors.get(point).copied().unwrap_or(f64::NAN),
            settled: settled[point],
            is_exact: *kind == NllKind::Exact,
            evaluations: *evaluations as f64 / values.len() as f64,
            analytic: (scores.analytic.as_ref()).map_or(f64::NAN, |analytic| analytic[point]),
            losses: std::array::from_fn(loss),
            rules: std::array::from_fn(|w| std::array::from_fn(|r| rule(w, r))),
        }
    })
}

/// The table of `records`, starting at point `first`; each row of the file has `group` points.
fn table(records: &[Record], first: usize, group: usize, to_features: Option<f64>) -> Table {
    let column = |of: &dyn Fn(&Record) -> f64| records.iter().map(of).collect::<Vec<f64>>();
    let points = first..first + records.len();
    let mut table = Table::default();
    table.int(names::POINT, points.clone().map(|p| p as i64).collect());
    table.int(names::GROUP, points.map(|p| (p / group) as i64).collect());
    let is_exact = records[0].is_exact;
    match is_exact {
        true => table.float(names::NLL_EXACT, column(&|r| r.nll)),
        false => table.float(names::NLL_ODE, column(&|r| r.nll)).int(
            names::NLL_ODE_SETTLED,
            records.iter().map(|r| i64::from(r.settled)).collect(),
        ),
    };
    if !records[0].error.is_nan() {
        table.float(names::NLL_ODE_ERROR, column(&|r| r.error));
    }
    if let Some(shift) = to_features {
        table.float(names::NLL_FEATURE_SPACE, column(&|r| r.nll + shift));
    }
    table.float(names::NLL_ANALYTIC, column(&|r| r.analytic));
    for (w, weighting) in Weighting::ALL.into_iter().enumerate() {
        if records[0].losses[w][0].is_nan() {
            continue;
        }
        for (name, number) in [
            (names::LOSS, 0),
            (names::LOSS_ERROR, 1),
            (names::LOSS_EXACT_VELOCITY, 2),
        ] {
            let name = filled(name, &[&weighting]);
            table.float(name, column(&|r| r.losses[w][number]));
        }
    }
    table
}

/// Sums over points, and over row means.
#[derive(Debug, Default)]
struct Sums {
    points: usize,
    /// The mean NLL of each row.
    rows: Vec<f64>,
    is_exact: bool,
    /// Sums of squared errors, NaN without errors.
    errors: f64,
    unsettled: usize,
    evaluations: f64,
    /// Sum over finite values, and the number of others.
    analytic: f64,
    outside: usize,
    /// Sums over points by each rule.
    rules: [[f64; RULES]; W],
}

impl Sums {
    fn add(&mut self, records: &[Record], group: usize) {
        for row in records.chunks_exact(group) {
            let nlls: Vec<f64> = row.iter().map(|r| r.nll).collect();
            self.rows.push(mean(&nlls));
        }
        self.points += records.len();
        for record in records {
            self.is_exact = record.is_exact;
            self.errors += record.error * record.error;
            self.unsettled += usize::from(!record.settled);
            self.evaluations += record.evaluations;
            match record.analytic.is_finite() {
                true => self.analytic += record.analytic,
                false => self.outside += 1,
            }
            for (sums, said) in self.rules.iter_mut().zip(&record.rules) {
                for (sum, said) in sums.iter_mut().zip(said) {
                    *sum += said;
                }
            }
        }
    }

    fn figures(&self, to_features: Option<f64>) -> Summary {
        let mut summary = Summary::default();
        let points = self.points as f64;
        summary.add(names::POINTS, points);
        let nll = match self.is_exact {
            true => names::NLL_IN_CLOSED_FORM,
            false => names::NLL,
        };
        summary.add(nll, mean(&self.rows));
        summary.add(ITS_ERROR, standard_error(&self.rows, 1));
        if !self.errors.is_nan() {
            summary.add(names::PROBE_ERROR, (self.errors / points).sqrt());
        }
        if let Some(shift) = to_features {
            summary.add(names::TO_FEATURE_SPACE, shift);
        }
        let inside = self.points - self.outside;
        if inside > 0 {
            summary.add(names::ANALYTIC_NLL, self.analytic / inside as f64);
            if self.outside > 0 {
                summary.add(names::OUTSIDE, self.outside as f64);
            }
        }
        for (weighting, sums) in Weighting::ALL.into_iter().zip(&self.rules) {
            let rules = sums.map(|sum| sum / points);
            if rules[0].is_nan() {
                continue;
            }
            let label = match weighting {
                Weighting::Uniform => names::MEAN_UNIFORM_LOSS,
                Weighting::Likelihood => names::MEAN_BOUND,
            };
            let (value, half) = (mean(&rules), Draws::quantile() * standard_error(&rules, 1));
            summary.add(label, value);
            for (end, value) in INTERVAL.into_iter().zip([value - half, value + half]) {
                summary.add(format!("{label}{end}"), value);
            }
        }
        if !self.is_exact {
            summary.add(names::EVALUATIONS, self.evaluations / points);
            summary.add(
                filled(names::UNSETTLED, &[&MOST_INTERVALS]),
                self.unsettled as f64,
            );
        }
        summary
    }
}

/// Refuses a dataset without the images that `patches` are cut from.
fn require_images(dataset: &Dataset, Patches { image, .. }: Patches) -> Result<()> {
    let held = &dataset.shape()[1..];
    if image.can_be(held) {
        return Ok(());
    }
    let [channels, height, width] = [image.channels, image.height, image.width];
    Err(Error::input(format!(
        "{}: found rows of shape {held:?}, expected images [N, {channels}, {height}, {width}]; give images of the kind \
         that the flow was trained on, or latents with --latents",
        dataset.describe()
    )))
}

/// The number of points of `shape` per row of `dataset`, with tokens of `width` before normalisation.
fn points_of_a_row(
    dataset: &Dataset,
    shape: PointShape,
    width: usize,
    space: Space,
) -> Result<usize> {
    let held = &dataset.shape()[1..];
    let fits = match *held {
        [all] => all == width * shape.tokens,
        [tokens, each] => each == width && tokens.is_multiple_of(shape.tokens),
        _ => false,
    };
    if fits {
        return Ok(dataset.item_width() / width / shape.tokens);
    }
    let expected = match (space, shape.tokens) {
        (Space::Features, 1) => format!("features [N, {width}] or tokens [N, T, {width}]"),
        (Space::Features, tokens) => format!("sequences of features [N, {tokens}, {width}]"),
        (Space::Points, 1) => format!("points of the flow [N, {width}] or latents [N, T, {width}]"),
        (Space::Points, tokens) => format!("latents [N, T, {width}], T a multiple of {tokens}"),
    };
    let fix = match space {
        Space::Features => {
            "give features of the kind that the flow was trained on, or latents with --latents"
        }
        Space::Points => "encode the data with the run whose flow this is",
    };
    Err(Error::input(format!(
        "{}: found rows of shape {held:?}, expected {expected}; {fix}",
        dataset.describe()
    )))
}
