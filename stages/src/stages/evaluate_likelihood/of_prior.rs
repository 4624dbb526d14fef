//! The likelihood of features under a prior fitted to them.

use super::config::{By, Config, velocity};
use super::found::{Found, Kind, Space};
use crate::alignment::Draws;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::priors::{Flow, KeptPoints, NllKind, Noise};
use std::path::Path;
use std::time::Instant;

/// The likelihood of the test features stored with the `flow` in the directory `dir`.
///
/// # Errors
/// File errors; an input error for a flow without features, or with a normalisation that is not invertible; a
/// numerical error if an NLL is not finite; [`Error::Cancelled`].
pub fn found(config: &Config, flow: &Flow, dir: &Path, context: &Context) -> Result<Found> {
    let Some((part, kept)) = KeptPoints::shown(dir)? else {
        return Err(Error::input(format!(
            "{}: found an imported flow, which has no stored features, expected one that was pretrained here",
            dir.display()
        )));
    };
    let shape = flow.prior.shape();
    let Some(log_det) = flow.log_abs_det() else {
        return Err(Error::input(
            "pretrain_flow.normalisation: found a projection, which is not invertible, expected \
             none: only projected points have a density, not the data",
        ));
    };
    // points of the prior per item of the data
    let group = kept.tokens / shape.tokens;
    let chosen = kept.some(config.rows.saturating_mul(kept.tokens));
    let points = chosen.points(shape, flow.prior.condition(), &context.device);
    let total = points.count() as u64;
    let mut progress = |share: f64| {
        let done = (share * total as f64).round() as u64;
        context.monitor.progress("likelihood", done, total, "");
        context.check_cancelled()
    };
    let started = Instant::now();
    let (kind, values, shared_error) = match config.by {
        By::Nll => {
            let options = config.nll(context.streams);
            let found = flow.prior.nll(&points, &options, &mut progress)?;
            let kind = match found.kind {
                NllKind::Exact => Kind::Exact,
                NllKind::Ode => Kind::Ode,
            };
            (kind, found.values, 0.0)
        }
        By::Bound => {
            let field = velocity(flow.prior.as_ref())?;
            let (count, elements) = (config.draws, shape.elements());
            let draws = Draws::new(config.weighted(), count, elements, context.streams);
            let found = draws.estimate(field, points.rows(), || context.check_cancelled())?;
            (Kind::Bound, found.values, group as f64 * found.mean_error)
        }
    };
    let seconds = started.elapsed().as_secs_f64();
    let values = (values.chunks_exact(group))
        .map(|points| points.iter().sum::<f64>() - group as f64 * log_det)
        .collect();
    let dimensions = group * shape.elements();
    Ok(Found {
        part,
        space: match flow.layout.noise {
            Some(Noise::Uniform) => Space::Dequantised,
            _ => Space::Density,
        },
        kind,
        values,
        shared_error,
        dimensions,
        latents: dimensions,
        parameters: flow.prior.parameters(),
        seconds,
        weighted: None,
    })
}
