//! Stage 3: likelihoods under the flow, and whether the alignment loss is a surrogate for them.

#[cfg(test)]
mod calibration;
mod config;
mod fall;
mod levels;
mod measure;
mod regions;
mod self_check;
mod tables;
mod witnessed;

use super::witness::{self, WITNESS};
use super::{AUTOENCODER, FLOW, Made, Preparation, Prepared, Read, Sections, TRANSPORT};
use super::{Stage, StageConfig, Upstream, pretrain_flow, train_autoencoder};
use crate::alignment::RULES;
use crate::context::{Context, Monitor, Summary};
use crate::devices::Numbers;
use crate::error::Result;
use crate::figures::{estimate_nll as names, filled};
use crate::likelihood::{THRESHOLDS, Verdict};
use crate::priors::{MOST_INTERVALS, NllKind, Offers};
use crate::problems::Problems;
pub use config::Config;
use fall::Fall;
use measure::{Instruments, Measured};
use regions::{Region, Sources};
use self_check::self_check;
use std::path::{Path, PathBuf};

/// Role of the autoencoder used for comparison.
const UNALIGNED: &str = "unaligned";

impl StageConfig for Config {
    fn stage(&self) -> Stage {
        Stage::EstimateNll
    }

    fn check(&self, problems: &mut Problems) {
        self.check_values(problems);
    }

    /// A hierarchy needs a velocity.
    fn check_with(&self, sections: &Sections, problems: &mut Problems) {
        let Some(flow) = sections.get::<pretrain_flow::Config>() else {
            return;
        };
        problems.require(
            self.levels.is_empty() || flow.offers() >= Offers::Velocity,
            "estimate_nll.levels",
            format!(
                "{:?}, with `pretrain_flow.model: {{kind: {}}}`",
                self.levels,
                flow.model.name()
            ),
            "none, or a prior with a velocity, such as `model: {kind: flow_matching}`",
        );
    }

    fn reads(&self) -> Vec<Read> {
        let own = [
            Read::own(FLOW, Stage::PretrainFlow),
            Read::optional(AUTOENCODER, Stage::TrainAutoencoder),
            Read::optional(TRANSPORT, Stage::Transport),
        ];
        let unaligned = self.unaligned.clone().map(|experiment| {
            Read::own(UNALIGNED, Stage::TrainAutoencoder).of("unaligned", Some(experiment))
        });
        let witness = (self.witness.clone()).map(|file| witness::read(file, "witness"));
        own.into_iter().chain(unaligned).chain(witness).collect()
    }

    /// Latents of two experiments must have the same width to be compared.
    fn check_read(
        &self,
        read: &Read,
        own: &Sections,
        other: &Sections,
    ) -> std::result::Result<(), String> {
        if read.role != UNALIGNED {
            return Ok(());
        }
        let width = |sections: &Sections| {
            let autoencoder = sections.get::<train_autoencoder::Config>();
            autoencoder.map(|stage| stage.latent.width)
        };
        match (width(own), width(other)) {
            (Some(own), Some(other)) if own != other => Err(format!(
                "has latents of width {other}, expected {own} as train_autoencoder.latent.width says here; \
                 give both one width (--set does not reach the other file)"
            )),
            _ => Ok(()),
        }
    }

    fn check_made(&self, read: &Read, made: &[Made]) -> std::result::Result<(), String> {
        match read.role {
            WITNESS => witness::check(made),
            _ => Ok(()),
        }
    }

    fn numbers(&self) -> Option<Numbers> {
        Some(self.precision.numbers("precision"))
    }

    fn experiments(&mut self) -> Vec<&mut Option<PathBuf>> {
        vec![&mut self.unaligned, &mut self.witness]
    }

    fn prepare(&self, upstream: &Upstream, _: u64, _: &dyn Monitor) -> Result<Preparation> {
        if self.witness.is_some() && witness::elements(upstream, "estimate_nll.witness")?.is_none()
        {
            return Ok(Preparation::Wait);
        }
        Ok(Preparation::Ready(Box::new(self.clone())))
    }
}

impl Prepared for Config {
    fn run(self: Box<Self>, upstream: &Upstream, context: &Context) -> Result<Summary> {
        let sources = Sources {
            flow: upstream.dir(FLOW)?,
            autoencoder: upstream.dir_if_any(AUTOENCODER),
            transport: upstream.dir_if_any(TRANSPORT),
            unaligned: upstream.dir_if_any(UNALIGNED),
        };
        run(&self, &sources, witness::dir(upstream), context)
    }
}

/// Estimates likelihoods under the flow of `sources`, of its test features, of the autoencoder's latents (after the
/// transport, if any) and of those of `unaligned`, beside the `witness` in another directory. Fills the directory
/// of `context`: `points.parquet` (one row per point) and `agreement.parquet` (agreement of the alignment loss with
/// the NLL, by weighting and region).
///
/// # Errors
/// File errors; an input error for latents of another shape than a point of the flow; a numerical error if a loss
/// or an NLL is not finite; [`crate::Error::Cancelled`].
fn run(
    config: &Config,
    sources: &Sources,
    witness: Option<&Path>,
    context: &Context,
) -> Result<Summary> {
    let flow = sources.flow;
    let instruments = Instruments::new(config, flow, witness, context)?;
    let shape = instruments.flow().prior.shape();
    let streams = context.streams;
    let regions = regions::regions(config, sources, shape, streams)?;
    let mut checks = Summary::default();
    self_check(
        &instruments,
        flow,
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
        .table(names::POINTS_TABLE, &tables::points_table(&measured))?;
    context
        .monitor
        .table(names::AGREEMENT_TABLE, &tables::agreement_table(&measured))?;
    levels::measure(config, &instruments, &measured, &mut checks, context)?;
    let fall = Fall::of(&measured, sources, config, &instruments, context)?;
    let mut summary = summarise(&measured, &instruments, fall, config, context);
    summary.figures.extend(checks.figures);
    Ok(summary)
}

/// Adds the figures, and warns about problems.
fn summarise(
    measured: &[Measured],
    instruments: &Instruments,
    fall: Option<Fall>,
    config: &Config,
    context: &Context,
) -> Summary {
    let mut summary = Summary::default();
    tables::figures(measured, &mut summary);
    if let Some(log_det) = instruments.flow().log_abs_det() {
        summary.add(names::TO_FEATURE_SPACE, -log_det);
    }
    note_solver(measured, &mut summary, context);
    if let Some(draws) = instruments.draws() {
        summary.add(names::DRAWS, draws as f64);
        summary.add(names::RULES, RULES as f64);
    }
    if let Some((gap, error)) = tables::gap(measured)
        && gap < -2.0 * error
    {
        context.monitor.warn(&fall::warning(fall));
    }
    if let Some(fall) = fall {
        fall.note(&mut summary);
    }
    if config.witness.is_some() {
        note_witness(measured, context);
    }
    note_failing(measured, context);
    summary
}

/// Figures of the ODE's solver, and warnings of regions where it did not converge.
fn note_solver(measured: &[Measured], summary: &mut Summary, context: &Context) {
    let likelihoods = || measured.iter().map(|m| &m.likelihoods);
    let unsettled = |m: &Measured| m.likelihoods.unsettled();
    if likelihoods().any(|l| l.kind == NllKind::Ode) {
        let evaluations: u64 = likelihoods().map(|l| l.evaluations).sum();
        let points: usize = likelihoods().map(|l| l.values.len()).sum();
        let a_point = evaluations as f64 / points.max(1) as f64;
        let all = measured.iter().map(unsettled).sum::<usize>() as f64;
        summary.add(names::EVALUATIONS, a_point);
        summary.add(filled(names::UNSETTLED, &[&MOST_INTERVALS]), all);
    }
    for m in measured.iter().filter(|m| unsettled(m) > 0) {
        context.monitor.warn(&format!(
            "{}: {} of {} ODE NLLs did not converge within estimate_nll.tolerance: their \
             quadrature stopped at {MOST_INTERVALS} intervals (`nll_ode_settled` in \
             points.parquet is 0); the velocity is not smooth there, or f32 is too coarse for the \
             tolerance: loosen it, or set estimate_nll.precision to f64",
            m.region.name,
            unsettled(m),
            m.region.count()
        ));
    }
}

/// Warns about losses that are no surrogates, in the regions shown first.
fn note_failing(measured: &[Measured], context: &Context) {
    let shown = [&names::FEATURES[..], &names::LATENTS[..]]
        .map(|names| tables::first(measured, names).map(|m| m.region.name));
    for m in measured
        .iter()
        .filter(|m| shown.contains(&Some(m.region.name)))
    {
        let failing: Vec<&str> = (m.compared.iter())
            .filter(|c| c.is_trained && c.reference == m.reference())
            .filter(|c| c.verdict == Verdict::Fails)
            .map(|c| c.surrogate.as_str())
            .collect();
        if !failing.is_empty() {
            context.monitor.warn(&format!(
                "{}: no surrogate for the {}: {} ({THRESHOLDS})",
                m.region.name,
                m.reference(),
                failing.join(", ")
            ));
        }
    }
}

/// Rank correlations of two likelihoods that may be at least this high do not indicate a difference.
const ALIKE: f64 = 0.95;

/// Warns about regions that the witness cannot score, and if flow and witness disagree on features, whose density
/// both model.
fn note_witness(measured: &[Measured], context: &Context) {
    let without: Vec<&str> = (measured.iter())
        .filter(|m| m.witness.is_none())
        .map(|m| m.region.name)
        .collect();
    if !without.is_empty() {
        context.monitor.warn(&format!(
            "the witness scores whole rows with more tokens than the points grouped together in: \
             {}; use a witness of single tokens (`pretrain_flow.rows: tokens` there) to score \
             those too",
            without.join(", ")
        ));
    }
    let Some(features) = tables::first(measured, &names::FEATURES) else {
        return;
    };
    let own = features.own();
    // a wide interval, due to few points, is inconclusive
    if let Some(found) = features.compared(own, names::WITNESS)
        && found.verdict == Verdict::Fails
        && found.agreement.spearman.high < ALIKE
    {
        let [low, high] = [found.agreement.spearman.low, found.agreement.spearman.high];
        context.monitor.warn(&format!(
            "{}: the {own} and the witness rank features differently (Spearman {:.2} [{low:.2}, \
             {high:.2}]): at least one of them is not the density of the features; the one with \
             the lower NLL is closer; train the other longer or make it larger",
            features.region.name, found.agreement.spearman.value
        ));
    }
}
