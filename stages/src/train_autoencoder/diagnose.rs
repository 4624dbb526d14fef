//! What tells alignment from collapse.

use super::{Prior, streams};
use crate::alignment::{coverage, energy_test, spectrum};
use crate::context::{Context, Summary, Table};
use crate::error::Result;
use crate::tensors::spread;

/// Latents and features compared by variance and coverage.
const COMPARED: usize = 2000;
/// Latents and features compared by the energy test.
const TESTED: usize = 1000;
/// The table of each dimension's variance.
const VARIANCES: &str = "variances";
/// Relabellings behind its p-value.
const PERMUTATIONS: usize = 199;

/// The diagnostics of `latents` [n, d], `tokens` of them a row of data, against the held-out features of the flow; warnings where they
/// look like collapse. An imported flow has no features to compare with: then only what the latents
/// say alone.
pub fn diagnose(
    latents: &[f32],
    tokens: usize,
    prior: &Prior,
    summary: &mut Summary,
    context: &Context,
) -> Result<()> {
    let width = prior.flow.normaliser.output_width;
    let rows = |values: &[f32]| values.len() / width;
    let all = latents;
    // Equal numbers, so that coverage has one reference.
    let compared = (prior.features.as_deref())
        .map_or(COMPARED, rows)
        .min(rows(latents))
        .min(COMPARED);
    // whole rows of data, so that every token counts alike
    let mut latents = spread(latents, tokens * width, compared.div_ceil(tokens));
    latents.truncate(compared * width);
    let own = spectrum(&latents, width);
    let mean_variance = own.variance.iter().sum::<f64>() / width as f64;
    let least = own.variance.iter().copied().fold(f64::INFINITY, f64::min);
    let most = own.variance.iter().copied().fold(0.0, f64::max);
    summary.add("latent variance, mean over dimensions", mean_variance);
    summary.add("latent variance, smallest dimension", least);
    summary.add("latent variance, largest dimension", most);
    summary.add("effective rank of latents", own.effective_rank);
    let mut table = Table::default();
    table.int("dimension", (0..width as i64).collect());
    table.float("latent_variance", own.variance.clone());
    let Some(features) = prior.features.as_deref() else {
        context.monitor.warn(
            "the flow was imported and has no held-out features: coverage and energy distance are not \
             reported",
        );
        return context.monitor.table(VARIANCES, &table);
    };
    let features = spread(features, width, compared);
    let target = spectrum(&features, width);
    table.float("feature_variance", target.variance.clone());
    context.monitor.table(VARIANCES, &table)?;
    let covered = coverage(&latents, &features, width);
    summary.add("effective rank of features", target.effective_rank);
    summary.add("coverage of features", covered);
    modes(all, prior, summary);

    let tested = compared.min(TESTED);
    let of = |rows: &[f32]| spread(rows, width, tested);
    let found = energy_test(
        &of(&latents),
        &of(&features),
        width,
        PERMUTATIONS,
        streams(context),
    );
    summary.add("energy distance to features", found.energy_distance);
    summary.add("energy distance of a fresh sample", found.of_fresh_sample);
    summary.add(
        "energy distance over that of a fresh sample",
        found.energy_distance / found.of_fresh_sample,
    );
    summary.add("p-value, same distribution", found.p_value);

    let target_variance = target.variance.iter().sum::<f64>() / width as f64;
    if mean_variance < 0.5 * target_variance {
        context.monitor.warn(&format!(
            "the latents' variance is {:.0} % of the features': they have contracted onto modes",
            100.0 * mean_variance / target_variance
        ));
    }
    if covered < 0.5 {
        context.monitor.warn(&format!(
            "the latents cover {:.0} % of the held-out features (about 97 % for a fresh sample): they \
             leave parts of the target empty",
            100.0 * covered
        ));
    }
    Ok(())
}

/// Where the target is a mixture: the share of latents nearest to each mode over the mode's mass, the
/// smallest and the largest.
fn modes(latents: &[f32], prior: &Prior, summary: &mut Summary) {
    let Some(mixture) = prior.flow.mixture() else {
        return;
    };
    let Some(density) = mixture.density() else {
        return;
    };
    let rows = latents.chunks(mixture.width());
    let count = rows.len() as f64;
    let mut mass = vec![0.0; mixture.weights.len()];
    for row in rows {
        let wide: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
        mass[density.likeliest(&wide)] += 1.0 / count;
    }
    let ratios = mass.iter().zip(&mixture.weights).map(|(m, w)| m / w);
    let (least, most) = ratios.fold((f64::INFINITY, 0.0f64), |(l, m), r| (l.min(r), m.max(r)));
    summary.add("latents in a mode over its mass, smallest", least);
    summary.add("latents in a mode over its mass, largest", most);
}
