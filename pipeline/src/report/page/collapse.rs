//! Diagnostics of alignment and collapse, each figure with an explanation.

use super::headline::{Evidence, Likelihoods};
use super::parts::{Cell, Part, Table};
use crate::report::view::RunView;
use crate::tables::{brief, with_spread};
use latent_align_stages::figures::train_autoencoder as names;

const MEANING: &str = "The alignment loss has no entropy term: latents that contract onto the \
    modes of the target have a small loss and a small NLL, but are not a sample of it. These \
    figures show the difference.";

/// The diagnostics as a table; empty without latents.
pub fn diagnostics(found: &RunView) -> Vec<Part> {
    let figure = |name: &str| found.of_latents(name);
    let evidence = Evidence::of(found);
    let mut table = Table::new(
        "Collapse diagnostics",
        &["diagnostic", "latents", "a fresh sample", "interpretation"],
    );
    let mut add = |name: &str, value: f64, told: String, fresh: String, says: String| {
        table.rows.push(vec![
            Cell::text(name),
            Cell::shown(value, told),
            Cell::text(fresh),
            Cell::text(says),
        ]);
    };
    if let Some(likelihoods) = Likelihoods::of(found) {
        let (gap, error) = likelihoods.gap();
        let says = match likelihoods.words() {
            "likelier than" if evidence.has_fallen() => {
                "likelier than the features by more than two standard errors, after a contraction: mode-seeking"
            }
            "likelier than" => {
                "likelier than the features by more than two standard errors, without \
                 contraction: they fill less of the target"
            }
            "less likely than" => "less likely than the features by more than two standard errors",
            _ => "within two standard errors of the features",
        };
        let told = with_spread(gap, error);
        add(
            "NLL gap to the features (nats)",
            gap,
            told,
            "0".into(),
            says.into(),
        );
    }
    if let Some(covered) = figure(names::COVERAGE) {
        let says = match covered {
            c if c >= 0.9 => "hardly any part of the target is left empty",
            c if c >= 0.5 => "parts of the target are left empty",
            _ => "most of the target is left empty",
        };
        let told = format!("{:.0} %", 100.0 * covered);
        add(
            "coverage of the features",
            covered,
            told,
            "97 %".into(),
            says.into(),
        );
    }
    let floor = (evidence.floor).map_or("50 %".to_owned(), |floor| {
        format!("50 %; samples of the flow {:.1} %", 100.0 * floor)
    });
    let apart = evidence.told_apart();
    for (name, tests, apart) in [
        (
            "accuracy of a classifier, tokens",
            evidence.tokens,
            apart[0],
        ),
        (
            "accuracy of a classifier, whole rows",
            evidence.whole,
            apart[1],
        ),
    ] {
        let Some(tests) = tests else { continue };
        let says = match apart {
            true => format!(
                "distinguished from {:.0} features (p-values: energy test {}, kernel test {})",
                tests.points,
                brief(tests.p_values[0]),
                brief(tests.p_values[1])
            ),
            false if evidence.can_tell() => {
                format!(
                    "no test distinguishes them from {:.0} features",
                    tests.points
                )
            }
            false => "too few points to decide".into(),
        };
        let (accuracy, error) = tests.accuracy.unwrap_or((f64::NAN, f64::NAN));
        let told = match tests.accuracy {
            Some(_) => format!("{} %", with_spread(100.0 * accuracy, 100.0 * error)),
            None => "too few rows".into(),
        };
        add(name, accuracy, told, floor.clone(), says);
    }
    if let (Some(own), Some(target)) = (figure(names::RANK), figure(names::FEATURES_RANK)) {
        let says = format!(
            "{:.0} % of the directions that the features use",
            100.0 * own / target
        );
        let fresh = format!("{target:.1}");
        add("effective rank", own, format!("{own:.1}"), fresh, says);
    }
    if let Some(mean) = figure(names::VARIANCE) {
        let ends = [names::LEAST_VARIANCE, names::MOST_VARIANCE].map(figure);
        let says = match ends {
            [Some(least), Some(most)] => {
                format!("from {} to {} over dimensions", brief(least), brief(most))
            }
            _ => String::new(),
        };
        add(
            "variance, mean over dimensions",
            mean,
            brief(mean),
            "see below".into(),
            says,
        );
    }
    let modes = [names::EMPTIEST_MODE, names::FULLEST_MODE].map(figure);
    if let [Some(least), Some(most)] = modes {
        let says = format!(
            "the fullest mode of the mixture holds {} times its mass",
            rough(most)
        );
        let told = format!("{least:.2}");
        add(
            "emptiest mode, share over its mass",
            least,
            told,
            "about 1".into(),
            says,
        );
    }
    let meaning = Part::Paragraph(MEANING.into());
    table
        .part()
        .map_or(Vec::new(), |table| vec![meaning, table])
}

/// A ratio with two digits.
fn rough(value: f64) -> String {
    match value {
        v if v >= 10.0 => format!("{v:.0}"),
        v => format!("{v:.1}"),
    }
}
