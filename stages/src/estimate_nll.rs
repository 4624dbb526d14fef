//! Stage 3: likelihoods under the flow, and whether the alignment loss is a surrogate for them.

use crate::alignment::{Weighting, alignment_loss_per_point};
use crate::context::{Context, Summary, Table};
use crate::error::{Error, Result};
use crate::features::read_dataset_f32;
use crate::flows::{Flow, held_out_points};
use crate::likelihood::{
    Agreement, Interval, agreement, mean, negative_log_likelihood, standard_error,
};
use crate::problems::Problems;
use crate::tensors::{from_f32, spread};
use crate::training::Streams;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Estimate likelihoods under the flow and compare them with the alignment loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "EstimateNll")]
pub struct Config {
    /// The file of another experiment, relative to this one: its autoencoder's held-out latents are
    /// one more region, such as what aligned latents are compared with.
    pub unaligned: Option<PathBuf>,
    /// Points a region (held-out features, encoder latents).
    pub points: usize,
    /// (t, noise) draws of the alignment loss, shared by all points.
    pub draws: usize,
    /// Absolute and relative tolerance of the ODE solver (Dormand-Prince).
    pub tolerance: f64,
    /// Bootstrap resamples behind each interval.
    pub bootstrap: usize,
    /// Cells along each side of the grid in two dimensions; 0 for no grid.
    pub grid_cells: usize,
    /// The grid covers the range of the held-out features and this share more on each side.
    pub grid_margin: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            unaligned: None,
            points: 500,
            draws: 256,
            tolerance: 1e-5,
            bootstrap: 1000,
            grid_cells: 50,
            grid_margin: 0.2,
        }
    }
}

impl Config {
    /// The files of the experiments whose artifacts it may read; none where it reads none.
    pub fn experiments_mut(&mut self) -> Vec<&mut Option<PathBuf>> {
        vec![&mut self.unaligned]
    }

    /// Notes every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        problems.require(self.points >= 8, "points", self.points, "at least 8");
        problems.require(
            self.draws >= 2 && self.draws.is_multiple_of(2),
            "draws",
            self.draws,
            "an even number, at least 2",
        );
        problems.require(
            (1e-7..=1e-1).contains(&self.tolerance),
            "tolerance",
            self.tolerance,
            "a number in [1e-7, 0.1] (the network computes in f32), such as 1e-5",
        );
        problems.require(
            self.bootstrap >= 100,
            "bootstrap",
            self.bootstrap,
            "at least 100",
        );
        problems.require(
            self.grid_cells != 1 && self.grid_cells <= 1000,
            "grid_cells",
            self.grid_cells,
            "0, or 2 to 1000",
        );
        problems.require(
            self.grid_margin >= 0.0 && self.grid_margin.is_finite(),
            "grid_margin",
            self.grid_margin,
            "zero or a positive number",
        );
    }
}

/// Estimates likelihoods under the flow in the directory `flow`, of its held-out features and of the
/// latents in the directories `autoencoder` and `unaligned`, and fills the directory of `context`:
/// `points.parquet` (one row a point) and `agreement.parquet` (how the alignment loss follows the
/// NLL in each region).
pub fn run(
    config: &Config,
    flow: &Path,
    autoencoder: Option<&Path>,
    unaligned: Option<&Path>,
    context: &Context,
) -> Result<Summary> {
    let flow_dir = flow;
    let flow = Flow::load(flow_dir, &context.device)?;
    let autoencoders = [
        ("encoder latents", autoencoder),
        ("unaligned latents", unaligned),
    ];
    let regions = regions(config, flow_dir, autoencoders, flow.normaliser.output_width)?;
    let total = regions.iter().map(Region::count).sum::<usize>() as u64;
    let mut done = 0;
    let mut measured = Vec::new();
    for region in regions {
        let count = region.count();
        let progress = |share: f64| {
            let now = done + (share * count as f64).round() as u64;
            context
                .monitor
                .progress("likelihoods", now, total, region.name);
            context.check_cancelled()
        };
        measured.push(measure(region.clone(), &flow, config, context, progress)?);
        done += count as u64;
    }
    context.monitor.table("points", &points_table(&measured))?;
    context
        .monitor
        .table("agreement", &agreement_table(&measured))?;
    Ok(summarise(&measured, &flow, context))
}

/// A set of points whose figures stand apart from the others'.
#[derive(Clone)]
struct Region {
    name: &'static str,
    points: Vec<f32>, // [n, d]
    width: usize,
    /// Points that belong together, such as the tokens of one image.
    group: usize,
}

impl Region {
    fn count(&self) -> usize {
        self.points.len() / self.width
    }
}

/// A region and what was found there.
struct Measured {
    region: Region,
    nll: Vec<f64>,
    analytic: Option<Vec<f64>>,
    alignment: Vec<f64>,
    agreement: Agreement,
    against_analytic: Option<Agreement>,
    evaluations: u64,
}

/// The point sets: held-out features, latents of each autoencoder, and a grid in two dimensions.
fn regions(
    config: &Config,
    flow: &Path,
    autoencoders: [(&'static str, Option<&Path>); 2],
    width: usize,
) -> Result<Vec<Region>> {
    let region = |name, points, group| Region {
        name,
        points,
        width,
        group,
    };
    let features = held_out_points(flow)?;
    let mut regions = Vec::new();
    if let Some(features) = &features {
        regions.push(region(
            "held-out features",
            spread(features, width, config.points),
            1,
        ));
    }
    for (name, directory) in autoencoders {
        let Some(directory) = directory else { continue };
        let path = directory.join("latents.h5");
        let (shape, latents) = read_dataset_f32(&path, "held_out_latents")?;
        let [_, tokens, found] = shape[..] else {
            return Err(Error::file(
                &path,
                format!("`held_out_latents` is {shape:?}, expected [N, T, d]"),
            ));
        };
        if found != width {
            return Err(Error::input(format!(
                "{}: found latents of width {found}, expected {width}, the width of the flow's points",
                path.display()
            )));
        }
        // whole rows of data, so that tokens stay together
        let rows = (config.points / tokens).max(2);
        let latents = spread(&latents, tokens * width, rows);
        regions.push(region(name, latents, tokens));
    }
    if let Some(features) = features.filter(|_| width == 2 && config.grid_cells > 0) {
        regions.push(region("grid", grid(&features, config), 1));
    }
    if regions.is_empty() {
        return Err(Error::input(format!(
            "{}: found no held-out features with this flow (it was imported) and no autoencoder, \
             expected at least one of them; add a train_autoencoder section",
            flow.display()
        )));
    }
    Ok(regions)
}

/// A square grid over the range of `features` [n, 2] and a margin.
fn grid(features: &[f32], config: &Config) -> Vec<f32> {
    let range = |axis: usize| {
        let values = features.iter().skip(axis).step_by(2);
        let (low, high) = values.fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), &x| {
            (l.min(x), h.max(x))
        });
        let margin = config.grid_margin as f32 * (high - low);
        (low - margin, high + margin)
    };
    let line = |(low, high): (f32, f32), i: usize| {
        low + (high - low) * i as f32 / (config.grid_cells - 1) as f32
    };
    let (x, y) = (range(0), range(1));
    (0..config.grid_cells)
        .flat_map(|row| {
            (0..config.grid_cells).flat_map(move |column| [line(x, column), line(y, row)])
        })
        .collect()
}

fn measure(
    region: Region,
    flow: &Flow,
    config: &Config,
    context: &Context,
    progress: impl FnMut(f64) -> Result<()>,
) -> Result<Measured> {
    let streams = Streams::of_stage("estimate-nll", context.seed);
    let points = from_f32(
        region.points.clone(),
        [region.count(), region.width],
        &context.device,
    );
    let alignment = alignment_loss_per_point(
        &flow.network,
        points.clone(),
        Weighting::Uniform,
        config.draws,
        streams,
        || context.check_cancelled(),
    )?;
    let likelihoods = negative_log_likelihood(&flow.network, points, config.tolerance, progress)?;
    let analytic = flow.analytic_nll(&region.points);
    let group = region.group;
    let agree = |x: &[f64], y: &[f64]| agreement(x, y, group, config.bootstrap, streams);
    Ok(Measured {
        agreement: agree(&alignment, &likelihoods.nll),
        against_analytic: analytic
            .as_ref()
            .map(|analytic| agree(analytic, &likelihoods.nll)),
        nll: likelihoods.nll,
        evaluations: likelihoods.evaluations,
        analytic,
        alignment,
        region,
    })
}

fn points_table(measured: &[Measured]) -> Table {
    let column = |values: &dyn Fn(&Measured) -> Vec<f64>| -> Vec<f64> {
        measured.iter().flat_map(values).collect()
    };
    let missing = |m: &Measured| vec![f64::NAN; m.nll.len()];
    let mut table = Table::default();
    table.text(
        "region",
        (measured.iter())
            .flat_map(|m| vec![m.region.name.to_owned(); m.nll.len()])
            .collect(),
    );
    table.int(
        "point",
        (measured.iter())
            .flat_map(|m| 0..m.nll.len() as i64)
            .collect(),
    );
    table.int(
        "group",
        (measured.iter())
            .flat_map(|m| (0..m.nll.len()).map(|point| (point / m.region.group) as i64))
            .collect(),
    );
    table.float("nll_ode", column(&|m| m.nll.clone()));
    table.float(
        "nll_analytic",
        column(&|m| m.analytic.clone().unwrap_or_else(|| missing(m))),
    );
    table.float("alignment_loss", column(&|m| m.alignment.clone()));
    for axis in 0..measured[0].region.width {
        let coordinate = |m: &Measured| {
            let values = m.region.points.iter().skip(axis).step_by(m.region.width);
            values.map(|&x| f64::from(x)).collect()
        };
        table.float(format!("y{axis}"), column(&coordinate));
    }
    table
}

/// One figure of an agreement, as a row of a table.
struct Row {
    region: &'static str,
    pair: &'static str,
    figure: &'static str,
    interval: Interval,
}

fn agreement_table(measured: &[Measured]) -> Table {
    let mut rows = Vec::new();
    for m in measured {
        let compared = [
            (
                "alignment loss (uniform) against ODE NLL",
                Some(m.agreement),
            ),
            ("analytic NLL against ODE NLL", m.against_analytic),
        ];
        for (pair, found) in compared {
            let Some(found) = found else { continue };
            for (figure, interval) in [
                ("Pearson", found.pearson),
                ("Spearman", found.spearman),
                ("slope", found.slope),
            ] {
                rows.push(Row {
                    region: m.region.name,
                    pair,
                    figure,
                    interval,
                });
            }
        }
    }
    let text = |f: fn(&Row) -> &str| rows.iter().map(|row| f(row).to_owned()).collect();
    let float = |f: fn(&Interval) -> f64| rows.iter().map(|row| f(&row.interval)).collect();
    let mut table = Table::default();
    table.text("region", text(|row| row.region));
    table.text("pair", text(|row| row.pair));
    table.text("figure", text(|row| row.figure));
    table.float("value", float(|interval| interval.value));
    table.float("low", float(|interval| interval.low));
    table.float("high", float(|interval| interval.high));
    table
}

/// The figures of each region. NLLs are in nats, of points of the flow.
fn summarise(measured: &[Measured], flow: &Flow, context: &Context) -> Summary {
    let mut summary = Summary::default();
    for m in measured {
        let name = m.region.name;
        summary.add(format!("{name}: points"), m.nll.len() as f64);
        summary.add(format!("{name}: mean NLL (nats)"), mean(&m.nll));
        summary.add(
            format!("{name}: its standard error"),
            standard_error(&m.nll, m.region.group),
        );
        if let Some(analytic) = &m.analytic {
            summary.add(format!("{name}: mean analytic NLL (nats)"), mean(analytic));
        }
        if let Some(found) = &m.against_analytic {
            summary.add(
                format!("{name}: Pearson, ODE and analytic NLL"),
                found.pearson.value,
            );
        }
        summary.add(
            format!("{name}: mean alignment loss (sum over dimensions)"),
            mean(&m.alignment),
        );
        for (figure, interval) in [
            ("Pearson", m.agreement.pearson),
            ("Spearman", m.agreement.spearman),
        ] {
            let what = format!("{name}: {figure}, alignment loss and NLL");
            summary.add(&what, interval.value);
            summary.add(format!("{what}, 2.5 %"), interval.low);
            summary.add(format!("{what}, 97.5 %"), interval.high);
        }
    }
    if let Some(log_det) = flow.normaliser.log_abs_det() {
        summary.add("add for NLL in feature space (nats)", -log_det);
    }
    let evaluations = measured.iter().map(|m| m.evaluations).sum::<u64>();
    summary.add("velocity and divergence evaluations", evaluations as f64);
    let mean_of = |name: &str| {
        let m = measured.iter().find(|m| m.region.name == name)?;
        Some((mean(&m.nll), standard_error(&m.nll, m.region.group)))
    };
    if let (Some((features, error_f)), Some((latents, error_l))) =
        (mean_of("held-out features"), mean_of("encoder latents"))
    {
        let gap = latents - features;
        summary.add("NLL gap, encoder latents over features (nats)", gap);
        if gap < -2.0 * error_f.hypot(error_l) {
            context.monitor.warn(
                "the latents are likelier than held-out features, a sign of collapse onto modes, which \
                 the alignment loss does not prevent; lower train_autoencoder.regulariser.weight",
            );
        }
    }
    summary
}
