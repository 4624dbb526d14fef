//! Diagnostics of alignment and collapse, each figure with an explanation.

use super::headline::{Evidence, Likelihoods, Tests};
use super::parts::{Cell, Part, Table};
use crate::report::view::RunView;
use crate::tables::{brief, with_spread};
use latent_align_stages::figures::train_autoencoder as names;

const MEANING: &str = "The alignment loss has no entropy term: latents that contract onto the \
    modes of the target have a small loss and a small NLL, but are not a sample of it. These \
    figures show the difference.";

/// The diagnostics as a table; empty without latents.
pub fn diagnostics(found: &RunView) -> Vec<Part> {
    let evidence = Evidence::of(found);
    let rows = [
        gap(found, &evidence),
        coverage(found),
        accuracy(&evidence, evidence.tokens, 0),
        accuracy(&evidence, evidence.whole, 1),
        rank(found),
        variance(found),
        modes(found),
    ];
    let mut table = Table::new(
        "Collapse diagnostics",
        &["diagnostic", "latents", "a fresh sample", "interpretation"],
    );
    table.rows.extend(rows.into_iter().flatten());
    let meaning = Part::Paragraph(MEANING.into());
    table
        .part()
        .map_or(Vec::new(), |table| vec![meaning, table])
}

/// A row: the diagnostic, its `value` as `told`, that of a fresh sample, and what it says.
fn row(
    name: &str,
    (value, told): (f64, String),
    fresh: impl Into<String>,
    says: impl Into<String>,
) -> Option<Vec<Cell>> {
    Some(vec![
        Cell::text(name),
        Cell::shown(value, told),
        Cell::text(fresh.into()),
        Cell::text(says.into()),
    ])
}

fn gap(found: &RunView, evidence: &Evidence) -> Option<Vec<Cell>> {
    let likelihoods = Likelihoods::of(found)?;
    let (gap, error) = likelihoods.gap();
    let says = match likelihoods.words() {
        "likelier than" if evidence.has_fallen() => {
            "likelier than the features by more than two standard errors, after a contraction: mode-seeking"
        }
        "likelier than" => {
            "likelier than the features by more than two standard errors, without contraction: \
             they fill less of the target"
        }
        "less likely than" => "less likely than the features by more than two standard errors",
        _ => "within two standard errors of the features",
    };
    let name = "NLL gap to the features (nats)";
    row(name, (gap, with_spread(gap, error)), "0", says)
}

fn coverage(found: &RunView) -> Option<Vec<Cell>> {
    let covered = found.of_latents(names::COVERAGE)?;
    let says = match covered {
        c if c >= 0.9 => "hardly any part of the target is left empty",
        c if c >= 0.5 => "parts of the target are left empty",
        _ => "most of the target is left empty",
    };
    let told = format!("{:.0} %", 100.0 * covered);
    row("coverage of the features", (covered, told), "97 %", says)
}

/// The accuracy of a classifier between latents and features: of tokens (0) or whole rows (1), by `tests`.
fn accuracy(evidence: &Evidence, tests: Option<Tests>, of: usize) -> Option<Vec<Cell>> {
    let tests = tests?;
    let points = tests.points;
    let says = match evidence.told_apart()[of] {
        true => format!(
            "distinguished from {points:.0} features (p-values: energy test {}, kernel test {})",
            brief(tests.p_values[0]),
            brief(tests.p_values[1])
        ),
        false if evidence.can_tell() => {
            format!("no test distinguishes them from {points:.0} features")
        }
        false => "too few points to decide".into(),
    };
    let shown = match tests.accuracy {
        Some((accuracy, error)) => {
            let told = with_spread(100.0 * accuracy, 100.0 * error);
            (accuracy, format!("{told} %"))
        }
        None => (f64::NAN, "too few rows".to_owned()),
    };
    let floor = (evidence.floor).map_or("50 %".to_owned(), |floor| {
        format!("50 %; samples of the flow {:.1} %", 100.0 * floor)
    });
    let name = ["tokens", "whole rows"][of];
    row(
        &format!("accuracy of a classifier, {name}"),
        shown,
        floor,
        says,
    )
}

fn rank(found: &RunView) -> Option<Vec<Cell>> {
    let own = found.of_latents(names::RANK)?;
    let target = found.of_latents(names::FEATURES_RANK)?;
    let says = format!(
        "{:.0} % of the directions that the features use",
        100.0 * own / target
    );
    let told = format!("{own:.1}");
    row("effective rank", (own, told), format!("{target:.1}"), says)
}

fn variance(found: &RunView) -> Option<Vec<Cell>> {
    let mean = found.of_latents(names::VARIANCE)?;
    let ends = [names::LEAST_VARIANCE, names::MOST_VARIANCE].map(|name| found.of_latents(name));
    let says = match ends {
        [Some(least), Some(most)] => {
            format!("from {} to {} over dimensions", brief(least), brief(most))
        }
        _ => String::new(),
    };
    let name = "variance, mean over dimensions";
    row(name, (mean, brief(mean)), "see below", says)
}

fn modes(found: &RunView) -> Option<Vec<Cell>> {
    let least = found.of_latents(names::EMPTIEST_MODE)?;
    let most = found.of_latents(names::FULLEST_MODE)?;
    let says = format!(
        "the fullest mode of the mixture holds {} times its mass",
        rough(most)
    );
    let name = "emptiest mode, share over its mass";
    row(name, (least, format!("{least:.2}")), "about 1", says)
}

/// A ratio with two digits.
fn rough(value: f64) -> String {
    match value {
        v if v >= 10.0 => format!("{v:.0}"),
        v => format!("{v:.1}"),
    }
}
