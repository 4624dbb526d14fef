//! Likelihoods of features that the flow was not trained on.

use crate::context::{Context, Summary};
use crate::data::Part;
use crate::error::Result;
use crate::figures::{ITS_ERROR, error_beside, of_rows, pretrain_flow as names};
use crate::numerics::{mean, standard_error};
use crate::priors::{Batch, Flow, KeptPoints, Nll, NllKind, NllOptions, Noise};

/// Tolerance of the ODE solver for the final samples and likelihoods.
pub const TOLERANCE: f64 = 1e-4;

/// The NLLs in nats of some of the points `kept` of `part`.
fn likelihoods(
    flow: &Flow,
    (part, kept): (Part, &KeptPoints),
    count: usize,
    context: &Context,
) -> Result<Option<(Batch, Nll)>> {
    let shape = flow.prior.shape();
    let chosen = kept.some(count * shape.tokens);
    let count = chosen.values.len() / shape.elements();
    if count == 0 {
        return Ok(None);
    }
    let points = chosen.points(shape, flow.prior.condition(), &context.device);
    let task = format!("{} likelihood", part.word());
    let mut done = |share: f64| {
        let done = (share * count as f64).round() as u64;
        context.monitor.progress(&task, done, count as u64, "");
        context.check_cancelled()
    };
    let nll = (flow.prior).nll(&points, &NllOptions::exact(TOLERANCE), &mut done)?;
    Ok(Some((chosen, nll)))
}

/// The figures of the shown part, and whether its likelihoods are exact. They are in nats, of points.
///
/// # Errors
/// As [`crate::priors::Prior::nll`].
pub fn of_shown(
    flow: &Flow,
    (part, kept): (Part, &KeptPoints),
    count: usize,
    summary: &mut Summary,
    context: &Context,
) -> Result<bool> {
    let word = part.word();
    let Some((chosen, nll)) = likelihoods(flow, (part, kept), count, context)? else {
        return Ok(false);
    };
    let (kind, nll) = (nll.kind, nll.values);
    // points of an item that are scored separately
    let group = kept.tokens / flow.prior.shape().tokens;
    summary.add(of_rows(word, names::NLL), mean(&nll));
    summary.add(ITS_ERROR, standard_error(&nll, group));
    if let Some(analytic) = flow.analytic_nll(&chosen.values) {
        summary.add(names::ANALYTIC_NLL, mean(&analytic));
        // a density may be zero after rounding
        let over = nll
            .iter()
            .zip(&analytic)
            .map(|(nll, analytic)| nll - analytic);
        let over: Vec<f64> = over.filter(|over| over.is_finite()).collect();
        let together = if over.len() == nll.len() { group } else { 1 };
        let name = of_rows(word, names::NLL_OVER_ANALYTIC);
        summary.add(&*name, mean(&over));
        summary.add(error_beside(&name), standard_error(&over, together));
    }
    if let Some(log_det) = flow.log_abs_det() {
        summary.add(of_rows(word, names::FEATURES_NLL), mean(&nll) - log_det);
    }
    if let Some(bits) = flow.bits() {
        let name = of_rows(word, names::BITS);
        let error = bits.of_difference(standard_error(&nll, group));
        summary.add(&*name, bits.of(mean(&nll)));
        summary.add(error_beside(&name), error);
    }
    if let Some(Noise::Gaussian { sigma }) = flow.layout.noise {
        summary.add(names::NOISE, sigma);
    }
    Ok(kind == NllKind::Exact)
}

/// The NLL of held-out points, as a criterion for sweeps, if it costs one pass.
///
/// # Errors
/// As [`crate::priors::Prior::nll`].
pub fn of_held_out(
    flow: &Flow,
    kept: &KeptPoints,
    count: usize,
    summary: &mut Summary,
    context: &Context,
) -> Result<()> {
    let part = Part::HeldOut;
    let Some((_, nll)) = likelihoods(flow, (part, kept), count, context)? else {
        return Ok(());
    };
    let nll = mean(&nll.values);
    summary.add(of_rows(part.word(), names::NLL), nll);
    if let Some(bits) = flow.bits() {
        summary.add(of_rows(part.word(), names::BITS), bits.of(nll));
    }
    Ok(())
}
