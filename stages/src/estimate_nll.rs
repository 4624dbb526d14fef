//! Stage 3: likelihoods under the flow, and whether the alignment loss is a surrogate for them.

#[cfg(test)]
mod calibration;
mod fall;
mod measure;
mod regions;
mod self_check;
mod tables;

use crate::alignment::{FEWEST_DRAWS, RULES, TRUNCATION, check_truncation};
use crate::context::{Context, Summary};
use crate::error::Result;
use crate::flows::Flow;
use crate::likelihood::{Divergence, MOST_INTERVALS, Precision, THRESHOLDS, Verdict};
use crate::problems::Problems;
use crate::random::Streams;
pub use fall::FALLS;
use fall::Fall;
use measure::{Instruments, Measured};
pub use regions::{FEATURES, LATENTS};
use regions::{Region, Sources};
use schemars::JsonSchema;
use self_check::self_check;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Estimate likelihoods under the flow and compare them with the alignment loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "EstimateNll")]
pub struct Config {
    /// The file of another experiment, relative to this one: its autoencoder's test latents are
    /// one more region, such as what aligned latents are compared with.
    pub unaligned: Option<PathBuf>,
    /// Points a region (test features, latents of each part), whole items of them.
    pub points: usize,
    /// Points of the uniform box around the features; 0 for no box.
    pub box_points: usize,
    /// Cells along each side of the grid in two dimensions; 0 for no grid.
    pub grid_cells: usize,
    /// Box and grid cover the range of the test features and this share more on each side.
    pub grid_margin: f64,
    /// (t, noise) draws of the alignment loss under each weighting, shared by all points: 8 independent
    /// rules whose spread tells what chance the draws leave.
    pub draws: usize,
    /// The largest ratio R = t / (1 - t) in the likelihood weighting: a few times the inverse of the
    /// smallest scale of the features.
    pub truncation: f64,
    /// The tolerance of an NLL in nats: how far its integral may still move when its nodes are doubled.
    pub tolerance: f64,
    /// How the divergence of the velocity is evaluated.
    pub divergence: Divergence,
    /// The precision of likelihoods and losses.
    pub precision: Precision,
    /// Points a region at which the gradients of loss and NLL are compared; 0 for none.
    pub gradient_points: usize,
    /// Points of each region on which the engine checks itself: solves again with every step halved, and compares
    /// the divergence with autodiff, central differences and Hutchinson's estimate; 0 for none.
    pub check_points: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            unaligned: None,
            points: 500,
            box_points: 200,
            grid_cells: 50,
            grid_margin: 0.2,
            draws: 512,
            truncation: TRUNCATION,
            tolerance: 1e-5,
            divergence: Divergence::Exact,
            precision: Precision::F32,
            gradient_points: 32,
            check_points: 32,
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
            (FEWEST_DRAWS..=1 << 20).contains(&self.draws),
            "draws",
            self.draws,
            "192 to 1048576: 8 independent rules of 8 times with 3 draws each, or more",
        );
        check_truncation(problems, self.truncation);
        problems.section("divergence", |p| self.divergence.check(p));
        let (least, why) = match self.precision {
            Precision::F32 => (
                1e-7,
                "[1e-7, 0.1] such as 1e-5 (less needs `precision: f64`)",
            ),
            Precision::F64 => (1e-12, "[1e-12, 0.1] such as 1e-8"),
        };
        problems.require(
            (least..=1e-1).contains(&self.tolerance),
            "tolerance",
            self.tolerance,
            &format!("a number in {why}"),
        );
        problems.require(
            self.box_points == 0 || self.box_points >= 8,
            "box_points",
            self.box_points,
            "0, or at least 8",
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

/// Estimates likelihoods under the flow in the directory `flow`, of its test features, of the
/// latents in the directory `autoencoder` and of those in `unaligned`, and fills the directory of
/// `context`: `points.parquet` (one row a point) and `agreement.parquet` (how the alignment loss under
/// each weighting follows the NLL in each region).
pub fn run(
    config: &Config,
    flow: &Path,
    autoencoder: Option<&Path>,
    unaligned: Option<&Path>,
    context: &Context,
) -> Result<Summary> {
    let sources = Sources {
        flow,
        autoencoder,
        unaligned,
    };
    let flow = Flow::load(flow, &context.device.clone().autodiff())?;
    let instruments = Instruments::new(config, flow, context);
    let width = instruments.flow().normaliser.output_width;
    let streams = Streams::of_stage("estimate-nll", context.seed);
    let regions = regions::regions(config, &sources, width, streams)?;
    let mut checks = Summary::default();
    self_check(
        &instruments,
        &regions,
        config.check_points,
        &mut checks,
        context,
    )?;

    let total = regions.iter().map(Region::count).sum::<usize>() as u64;
    let (mut done, mut measured) = (0, Vec::new());
    for region in regions {
        let (count, name) = (region.count(), region.name);
        let progress = |share: f64| {
            let now = done + (share * count as f64).round() as u64;
            context.monitor.progress("likelihoods", now, total, name);
            context.check_cancelled()
        };
        measured.push(instruments.measure(region, progress)?);
        done += count as u64;
        context.monitor.progress("likelihoods", done, total, name);
    }
    context
        .monitor
        .table("points", &tables::points_table(&measured))?;
    context
        .monitor
        .table("agreement", &tables::agreement_table(&measured))?;
    let fall = Fall::of(&measured, &sources, config, &instruments, context)?;
    let mut summary = summarise(&measured, &instruments, fall, context);
    summary.figures.extend(checks.figures);
    Ok(summary)
}

/// The figures, and a warning where they mean trouble.
fn summarise(
    measured: &[Measured],
    instruments: &Instruments,
    fall: Option<Fall>,
    context: &Context,
) -> Summary {
    let mut summary = Summary::default();
    tables::figures(measured, &mut summary);
    if let Some(log_det) = instruments.flow().normaliser.log_abs_det() {
        summary.add("add for NLL in feature space (nats)", -log_det);
    }
    let likelihoods = || measured.iter().map(|m| &m.likelihoods);
    let evaluations: u64 = likelihoods().map(|l| l.evaluations).sum();
    let points: usize = likelihoods().map(|l| l.nll.len()).sum();
    summary.add(
        "divergence evaluations a point",
        evaluations as f64 / points.max(1) as f64,
    );
    let unsettled = |m: &Measured| m.likelihoods.unsettled();
    summary.add(
        format!("points whose quadrature stopped at {MOST_INTERVALS} intervals"),
        measured.iter().map(unsettled).sum::<usize>() as f64,
    );
    for m in measured.iter().filter(|m| unsettled(m) > 0) {
        context.monitor.warn(&format!(
            "{}: {} of {} ODE NLLs did not settle within estimate_nll.tolerance: their quadrature stopped \
             at {MOST_INTERVALS} intervals (`nll_ode_settled` in points.parquet is 0); the velocity is far \
             from smooth there, or precision f32 is too coarse for the tolerance: loosen it, or set \
             estimate_nll.precision to f64",
            m.region.name,
            unsettled(m),
            m.region.count()
        ));
    }
    summary.add("draws behind a point's loss", instruments.draws() as f64);
    summary.add("independent rules among them", RULES as f64);
    if let Some((gap, error)) = tables::gap(measured)
        && gap < -2.0 * error
    {
        context.monitor.warn(&fall::warning(fall));
    }
    if let Some(fall) = fall {
        fall.note(&mut summary);
    }
    let shown = [&FEATURES[..], &LATENTS[..]]
        .map(|names| tables::first(measured, names).map(|m| m.region.name));
    for m in measured {
        let failing: Vec<&str> = (m.compared.iter())
            .filter(|c| c.is_trained && c.reference == m.reference())
            .filter(|c| c.verdict == Verdict::Fails)
            .map(|c| c.surrogate.as_str())
            .collect();
        if !failing.is_empty() && shown.contains(&Some(m.region.name)) {
            context.monitor.warn(&format!(
                "{}: no surrogate for the {}: {} ({THRESHOLDS})",
                m.region.name,
                m.reference(),
                failing.join(", ")
            ));
        }
    }
    summary
}
