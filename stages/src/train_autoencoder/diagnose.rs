//! What tells alignment from collapse.

use super::thinned::{Thinned, thin};
use super::{Prior, streams};
use crate::alignment::{TwoSample, coverage, energy_test, spectrum};
use crate::context::{Context, Summary, Table};
use crate::error::Result;
use crate::tensors::spread;
use crate::training::Streams;

/// Latents and features compared by variance and coverage.
const COMPARED: usize = 2000;
/// Latents and features compared by the energy test.
const TESTED: usize = 1000;
/// The table of each dimension's variance.
const VARIANCES: &str = "variances";
/// Relabellings behind its p-value.
const PERMUTATIONS: usize = 199;

/// The diagnostics of `latents` [n, d], `tokens` of them a row of data, against the held-out features of
/// the flow; warnings where they look like collapse. Where they are draws, how near their `means` are to
/// the features besides. An imported flow has no features to compare with: then only what the latents
/// say alone.
pub fn diagnose(
    latents: &[f32],
    means: Option<&[f32]>,
    tokens: usize,
    prior: &Prior,
    summary: &mut Summary,
    context: &Context,
) -> Result<()> {
    let width = prior.flow.normaliser.output_width;
    let at_most = (prior.features.as_deref()).map_or(usize::MAX, |f| f.len() / width);
    let some = |count: usize| thin(latents, tokens, width, at_most.min(count), streams(context));
    let compared = some(COMPARED).latents;
    let own = spectrum(&compared, width);
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
    // Equal numbers, so that coverage has one reference.
    let of_target = spread(features, width, compared.len() / width);
    let target = spectrum(&of_target, width);
    table.float("feature_variance", target.variance.clone());
    context.monitor.table(VARIANCES, &table)?;
    let covered = coverage(&compared, &of_target, width);
    summary.add("effective rank of features", target.effective_rank);
    summary.add("coverage of features", covered);
    modes(latents, prior, summary);
    let found = distance(&some(TESTED), features, width, streams(context));
    summary.add("energy distance to features", found.energy_distance);
    summary.add("energy distance of a fresh sample", found.of_fresh_sample);
    summary.add(
        "energy distance over that of a fresh sample",
        found.energy_distance / found.of_fresh_sample,
    );
    summary.add("p-value, same distribution", found.p_value);

    if let Some(means) = means {
        of_means(means, tokens, features, width, streams(context), summary);
    }

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

/// The energy test of `latents` against as many of the `features` [m, d].
fn distance(latents: &Thinned, features: &[f32], width: usize, streams: Streams) -> TwoSample {
    let Thinned { latents, group } = latents;
    let features = spread(features, width, latents.len() / width);
    energy_test(latents, &features, width, *group, PERMUTATIONS, streams)
}

/// What the same figures are of the `means` of posteriors with noise: draws spread wider.
fn of_means(
    means: &[f32],
    tokens: usize,
    features: &[f32],
    width: usize,
    streams: Streams,
    summary: &mut Summary,
) {
    let some = |count: usize| {
        let at_most = count.min(features.len() / width);
        thin(means, tokens, width, at_most, streams)
    };
    let compared = some(COMPARED).latents;
    let of_target = spread(features, width, compared.len() / width);
    let covered = coverage(&compared, &of_target, width);
    summary.add("coverage of features by posterior means", covered);
    let found = distance(&some(TESTED), features, width, streams);
    summary.add(
        "energy distance of posterior means over that of a fresh sample",
        found.energy_distance / found.of_fresh_sample,
    );
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Width of a token.
    const WIDTH: usize = 16;
    /// Repetitions of a test.
    const TESTS: u64 = 200;

    /// Rows of data, and the most latents that are tested: as a run has them in full length.
    fn sizes() -> (usize, usize) {
        let full = std::env::var_os("LATENT_ALIGN_FULL").is_some();
        if full { (2000, TESTED) } else { (480, 240) }
    }

    /// How many of the tests at 5 % reject latents of `tokens` a row that follow N(0, I) but for the
    /// last token, moved by `shift`.
    fn rejected(tokens: usize, shift: f32) -> u64 {
        let (rows, at_most) = sizes();
        let tests = (0..TESTS).filter(|&seed| {
            let row = tokens * WIDTH;
            let mut latents = Streams::new(seed).normal("latents", 0, rows * row);
            for row in latents.chunks_mut(row) {
                row[(tokens - 1) * WIDTH..]
                    .iter_mut()
                    .for_each(|x| *x += shift);
            }
            let features = Streams::new(seed).normal("features", 0, 2 * rows * WIDTH);
            let latents = thin(&latents, tokens, WIDTH, at_most, Streams::new(seed));
            distance(&latents, &features, WIDTH, Streams::new(seed)).p_value <= 0.05
        });
        tests.count() as u64
    }

    /// Red where thinning leaves the last token out.
    #[test]
    fn one_token_of_several_moved_by_half_a_standard_deviation_is_found_out() {
        for tokens in [2, 4] {
            let found = rejected(tokens, 0.5);
            assert!(found >= TESTS * 95 / 100, "{tokens}: {found} of {TESTS}");
        }
    }

    /// Red where the p-value is not one, such as with relabellings of another size.
    #[test]
    fn a_fresh_sample_is_rejected_as_often_as_the_level_says() {
        for tokens in [1, 2, 4] {
            let found = rejected(tokens, 0.0);
            assert!(
                (TESTS * 2 / 100..=TESTS * 9 / 100).contains(&found),
                "{tokens}: {found} of {TESTS}"
            );
        }
    }
}
