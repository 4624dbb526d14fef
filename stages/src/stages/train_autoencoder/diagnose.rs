//! Diagnostics that tell alignment from collapse.

use super::config::Config;
use super::contracted::{Variances, warning};
use super::prior::Prior;
use super::thinned::{Thinned, thin};
use crate::comparison::{PERMUTATIONS, coverage, power, spectrum};
use crate::context::{Context, Summary, Table};
use crate::data::Part;
use crate::error::Result;
use crate::figures::{energy_test, of_rows, train_autoencoder as names, two_samples};
use crate::numerics::mean;
use crate::priors::KeptPoints;
use crate::random::Streams;
use crate::stages::two_samples::{Compared, TESTED, whole_rows};
use crate::tensors::spread;

/// Number of latents and features compared by variance and coverage.
const COMPARED: usize = 2000;
/// Data for deciding whether latents have contracted or were never spread.
#[derive(Clone, Copy)]
pub struct Spread<'a> {
    /// Latents before training [m, d].
    pub initial: &'a [f32],
    /// The share of the data's variance explained by reconstructions; None for free points.
    pub explained: Option<f64>,
    pub config: &'a Config,
}

/// Latents to diagnose.
pub struct Diagnosed<'a> {
    /// Row-major [n, d].
    pub values: &'a [f32],
    /// If they are draws, the means of their posteriors [n, d].
    pub means: Option<&'a [f32]>,
    /// Number of consecutive latents per row of data.
    pub tokens: usize,
    /// Their part; None for free points.
    pub part: Option<Part>,
    /// The part of the features for comparison.
    pub against: Part,
    /// Whether their figures are the ones shown first, with warnings and a table.
    pub shown: bool,
    /// Context of the training; None for latents changed after training.
    pub spread: Option<Spread<'a>>,
}

/// Diagnostics of latents compared with features of the flow that it was not trained on, with warnings for
/// signs of collapse. If latents are draws, their means are compared with the features as well. An
/// imported flow has no features: then only statistics of the latents are reported. Figures are named by
/// their part.
///
/// # Errors
/// A file error if a table cannot be written.
pub fn diagnose(
    diagnosed: &Diagnosed,
    prior: &Prior,
    summary: &mut Summary,
    context: &Context,
) -> Result<()> {
    let width = prior.flow.prior.shape().width;
    let &Diagnosed {
        values: latents,
        means,
        tokens,
        part,
        against,
        shown,
        spread,
    } = diagnosed;
    // names of figures of latents alone, and of comparisons
    let own_name = |name: &str| match part {
        Some(part) => of_rows(part.word(), name),
        None => name.to_owned(),
    };
    let name = |name: &str| of_rows(against.word(), name);
    // free points are one set, whatever they are compared with
    let tells_own = part.is_some() || shown;
    let kept = prior.features(against);
    let at_most = kept.map_or(usize::MAX, |kept| kept.items.len());
    let some = |count: usize| thin(latents, tokens, width, at_most.min(count), context.streams);
    let compared = some(COMPARED).latents;
    let own = spectrum(&compared, width);
    let mean_variance = own.variance.iter().sum::<f64>() / width as f64;
    if tells_own {
        let least = own.variance.iter().copied().fold(f64::INFINITY, f64::min);
        let most = own.variance.iter().copied().fold(0.0, f64::max);
        summary.add(own_name(names::VARIANCE), mean_variance);
        summary.add(own_name(names::LEAST_VARIANCE), least);
        summary.add(own_name(names::MOST_VARIANCE), most);
        summary.add(own_name(names::RANK), own.effective_rank);
    }
    let mut table = Table::default();
    table.int(names::DIMENSION, (0..width as i64).collect());
    table.float(names::LATENT_VARIANCE, own.variance.clone());
    let Some(kept) = kept else {
        if shown {
            context.monitor.warn(
                "the flow was imported and has no features: coverage and energy distance are not reported",
            );
            context.monitor.table(names::VARIANCES, &table)?;
        }
        return Ok(());
    };
    // Equal numbers, so that coverage has one reference.
    let of_target = some_features(kept, compared.len() / width);
    let target = spectrum(&of_target, width);
    table.float(names::FEATURE_VARIANCE, target.variance.clone());
    if shown {
        context.monitor.table(names::VARIANCES, &table)?;
    }
    let covered = coverage(&compared, &of_target, width);
    summary.add(name(names::FEATURES_RANK), target.effective_rank);
    summary.add(name(names::COVERAGE), covered);
    if tells_own {
        modes(latents, prior, own_name, summary);
    }
    let alone = alone(some(TESTED), kept, two_samples::LATENTS);
    let whole = whole_rows(latents, tokens, kept, prior.sequences(), context.streams);
    two_sample_tests(&alone, whole.as_ref(), shown, name, summary, context)?;
    let points = alone.points.len() / width;
    let power = power(&kept.points.values, width, points, context.streams);
    summary.add(name(energy_test::POWER), power);
    if let Some(means) = means {
        of_means(means, tokens, kept, name, context.streams, summary);
    }
    if let Some(spread) = spread {
        let means = [mean_variance, mean(&target.variance)];
        contraction(&spread, means, width, summary, context);
    }
    if shown && covered < 0.5 {
        context.monitor.warn(&format!(
            "the latents cover {:.0} % of the features (about 97 % for a fresh sample): they \
             leave parts of the target empty",
            100.0 * covered
        ));
    }
    Ok(())
}

/// Tests of `alone`, single latents, and `whole`, rows, against the features: all tests of those shown first, of
/// others the energy test and the classifier.
fn two_sample_tests(
    alone: &Compared,
    whole: Option<&Compared>,
    shown: bool,
    name: impl Fn(&str) -> String + Copy,
    summary: &mut Summary,
    context: &Context,
) -> Result<()> {
    if !shown {
        let found = alone.energy(PERMUTATIONS, context.streams);
        alone.add_energy(names::DISTANCE, &found, name, summary);
        for compared in [Some(alone), whole].into_iter().flatten() {
            let told = compared.classifier(context.streams)?;
            compared.add_accuracy(told.as_ref(), name, summary);
        }
        return Ok(());
    }
    let found = alone.battery(PERMUTATIONS, context.streams)?;
    alone.add_energy(names::DISTANCE, &found.energy, name, summary);
    alone.add_battery(&found, name, summary);
    if let Some(whole) = whole {
        let found = whole.battery(PERMUTATIONS, context.streams)?;
        whole.add_battery(&found, name, summary);
    }
    Ok(())
}

/// Warns of latents that have contracted or were never spread, by the mean variances of latents and features.
fn contraction(
    spread: &Spread,
    [latents, features]: [f64; 2],
    width: usize,
    summary: &mut Summary,
    context: &Context,
) {
    let variances = Variances {
        latents,
        before: mean(&spectrum(spread.initial, width).variance),
        features,
    };
    summary.add(names::VARIANCE_BEFORE, variances.before);
    if let Some(told) = warning(variances, spread.explained, spread.config) {
        context.monitor.warn(&told);
    }
}

/// `count` of the features, at most all of them [count, d], evenly spaced and in whole items except for
/// the last.
fn some_features(kept: &KeptPoints, count: usize) -> Vec<f32> {
    let items = count.div_ceil(kept.tokens);
    let mut features = spread(&kept.points.values, kept.tokens * kept.width, items);
    features.truncate(count * kept.width);
    features
}

/// `latents`, called `what` in figures, and equally many features, token by token.
pub fn alone(
    Thinned { latents, group }: Thinned,
    kept: &KeptPoints,
    what: &'static str,
) -> Compared {
    Compared {
        what,
        features: some_features(kept, latents.len() / kept.width),
        points: latents,
        width: kept.width,
        group,
    }
}

/// The same figures of posterior `means`: draws are more spread.
fn of_means(
    means: &[f32],
    tokens: usize,
    kept: &KeptPoints,
    name: impl Fn(&str) -> String,
    streams: Streams,
    summary: &mut Summary,
) {
    let width = kept.width;
    let some = |count: usize| {
        let at_most = count.min(kept.items.len());
        thin(means, tokens, width, at_most, streams)
    };
    let compared = some(COMPARED).latents;
    let of_target = some_features(kept, compared.len() / width);
    let covered = coverage(&compared, &of_target, width);
    summary.add(name(names::COVERAGE_OF_MEANS), covered);
    let found = alone(some(TESTED), kept, two_samples::LATENTS).energy(PERMUTATIONS, streams);
    summary.add(
        name(names::MEANS_DISTANCE_OVER_FRESH),
        found.energy_distance / found.of_fresh_sample,
    );
}

/// If the target is a mixture: the share of latents nearest to each mode divided by the mode's mass, the
/// smallest and the largest.
fn modes(latents: &[f32], prior: &Prior, name: impl Fn(&str) -> String, summary: &mut Summary) {
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
    summary.add(name(names::EMPTIEST_MODE), least);
    summary.add(name(names::FULLEST_MODE), most);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::priors::Batch;

    /// Width of a token.
    const WIDTH: usize = 16;
    /// Repetitions of a test.
    const TESTS: u64 = 200;

    /// Rows of data, and the maximum number of tested latents, as in a full-length run.
    fn sizes() -> (usize, usize) {
        let full = std::env::var_os("LATENT_ALIGN_FULL").is_some();
        if full { (2000, TESTED) } else { (480, 240) }
    }

    /// How many tests at 5 % reject latents with `tokens` tokens per row that follow N(0, I) except for
    /// the last token, shifted by `shift`.
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
            let features = KeptPoints {
                points: Batch {
                    values: Streams::new(seed).normal("features", 0, 2 * rows * WIDTH),
                    conditions: None,
                },
                width: WIDTH,
                items: (0..2 * rows as i64).collect(),
                tokens: 1,
            };
            let latents = thin(&latents, tokens, WIDTH, at_most, Streams::new(seed));
            alone(latents, &features, two_samples::LATENTS)
                .energy(PERMUTATIONS, Streams::new(seed))
                .p_value
                <= 0.05
        });
        tests.count() as u64
    }

    /// Fails if thinning omits the last token.
    #[test]
    fn one_token_of_several_moved_by_half_a_standard_deviation_is_found_out() {
        for tokens in [2, 4] {
            let found = rejected(tokens, 0.5);
            println!(
                "one of {tokens} tokens moved by half a standard deviation: {found} of {TESTS} rejected"
            );
            assert!(found >= TESTS * 95 / 100, "{tokens}: {found} of {TESTS}");
        }
    }

    /// Fails if the p-value is not calibrated, as with permutations of another size.
    #[test]
    fn a_fresh_sample_is_rejected_as_often_as_the_level_says() {
        for tokens in [1, 2, 4] {
            let found = rejected(tokens, 0.0);
            println!("a fresh sample of {tokens} tokens per row: {found} of {TESTS} rejected");
            assert!(
                (TESTS * 2 / 100..=TESTS * 9 / 100).contains(&found),
                "{tokens}: {found} of {TESTS}"
            );
        }
    }
}
