//! The negative ELBO of the flow as a hierarchical VAE with increasing numbers of levels.

use super::config::Config;
use super::measure::{Instruments, Measured};
use super::tables::first;
use crate::alignment::Weighting;
use crate::context::{Context, Summary, Table};
use crate::error::Result;
use crate::figures::{error_beside, estimate_nll as names, filled, in_region};
use crate::likelihood::Hierarchy;
use crate::numerics::{mean, standard_error};

/// Writes `hierarchy.parquet` and adds a figure for each of `config.levels`, for test features; nothing if no
/// levels are configured or the flow has no velocity.
///
/// # Errors
/// As [`Hierarchy::negative_elbos`].
pub fn measure(
    config: &Config,
    instruments: &Instruments,
    measured: &[Measured],
    summary: &mut Summary,
    context: &Context,
) -> Result<()> {
    let (Some(features), Some(velocity)) = (
        first(measured, &names::FEATURES),
        instruments.flow().prior.velocity(),
    ) else {
        return Ok(());
    };
    if config.levels.is_empty() {
        return Ok(());
    }
    let points = instruments.points(&features.region.points).rows();
    let nll = &features.likelihoods.values;
    let group = features.region.group;
    let of = |values: &[f64]| [mean(values), standard_error(values, group)];
    let (total, mut rows) = (config.levels.len() as u64, Vec::new());
    for (i, &levels) in config.levels.iter().enumerate() {
        let what = format!("{levels} levels");
        (context.monitor).progress("hierarchy", i as u64, total, &what);
        let hierarchy = Hierarchy::new(levels, config.truncation);
        let streams = instruments.options().streams;
        let check = || context.check_cancelled();
        let elbos = hierarchy.negative_elbos(velocity, &points, streams, check)?;
        let over: Vec<f64> = elbos
            .iter()
            .zip(nll)
            .map(|(elbo, nll)| elbo - nll)
            .collect();
        for (name, [value, error]) in [(names::ELBO, of(&elbos)), (names::OVER_ODE, of(&over))] {
            let name = in_region(features.region.name, &filled(name, &[&levels]));
            summary.add(error_beside(&name), error);
            summary.add(name, value);
        }
        rows.push([of(&elbos), of(&over)]);
    }
    (context.monitor).progress("hierarchy", total, total, "");

    let column = |of: &dyn Fn(&[[f64; 2]; 2]) -> f64| rows.iter().map(of).collect::<Vec<_>>();
    let constant = |value: f64| vec![value; rows.len()];
    let bound = &features.losses[Weighting::Likelihood.index()].values;
    let mut table = Table::default();
    let levels = config.levels.iter().map(|&levels| levels as i64);
    table
        .int(names::LEVELS, levels.collect())
        .float(names::MEAN_ELBO, column(&|row| row[0][0]))
        .float(names::MEAN_ELBO_ERROR, column(&|row| row[0][1]))
        .float(names::MEAN_OVER_ODE, column(&|row| row[1][0]))
        .float(names::MEAN_OVER_ODE_ERROR, column(&|row| row[1][1]))
        .float(names::BOUND_BESIDE, constant(mean(bound)))
        .float(names::NLL_BESIDE, constant(mean(nll)));
    context.monitor.table(names::HIERARCHY_TABLE, &table)
}
