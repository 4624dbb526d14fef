//! Checks of a sweep: figures of its variants against bounds.

use super::file::{Check, is_within};
use super::results::Trials;
use crate::tables::{markdown, shown};
use latent_align_stages::figures::INTERVAL;

/// The result of the checks of a sweep.
pub struct Checked {
    /// A Markdown table with one row per check.
    pub table: String,
    /// The claims that do not hold.
    pub missed: Vec<String>,
}

/// Compares the figures of `trials` with the bounds of `checks`.
pub fn compare(checks: &[Check], trials: &Trials) -> Checked {
    let header = ["claim", "measured", "required", ""].map(str::to_owned);
    let mut rows = vec![header.to_vec()];
    let mut missed = Vec::new();
    for check in checks {
        let value = value(check, trials);
        let word = match value {
            None => "MISSING",
            Some(_) if check.at_least.is_none() && check.at_most.is_none() => "shown",
            Some(value) if holds(check, value) => "pass",
            Some(_) => "MISS",
        };
        if word.starts_with("MISS") {
            missed.push(check.claim.clone());
        }
        rows.push(vec![
            check.claim.clone(),
            measured(check, value, trials),
            required(check),
            word.to_owned(),
        ]);
    }
    Checked {
        table: markdown(&rows),
        missed,
    }
}

/// The figure, minus the other figure if given.
fn value(check: &Check, trials: &Trials) -> Option<f64> {
    let figure = trials.seeds(&check.variant, &check.figure).mean()?;
    match &check.minus {
        None => Some(figure),
        Some(other) => Some(figure - trials.seeds(&check.variant, other).mean()?),
    }
}

/// Whether the mean over all seeds of the variant is within bounds; NaN never is.
fn holds(check: &Check, value: f64) -> bool {
    is_within(value, check.at_least, check.at_most)
}

fn measured(check: &Check, value: Option<f64>, trials: &Trials) -> String {
    let Some(value) = value else {
        return match trials.seeds(&check.variant, &check.figure).lacking() {
            Some(some) => format!("a number in {some} seeds"),
            None => format!("no figure `{}`", check.figure),
        };
    };
    let text = shown(&check.figure, value);
    let [low, high] = INTERVAL.map(|end| {
        let figure = format!("{}{end}", check.figure);
        trials.seeds(&check.variant, &figure).mean()
    });
    match (&check.minus, low, high) {
        (None, Some(low), Some(high)) => format!("{text} [{low:.4}, {high:.4}]"),
        _ => text,
    }
}

fn required(check: &Check) -> String {
    match (check.at_least, check.at_most) {
        (None, None) => String::new(),
        (Some(least), None) => format!(">= {least}"),
        (None, Some(most)) => format!("<= {most}"),
        (Some(least), Some(most)) if least == -most => format!("+- {most}"),
        (Some(least), Some(most)) => format!("{least} to {most}"),
    }
}
