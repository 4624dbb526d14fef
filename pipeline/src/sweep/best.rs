//! The best variant, in a sentence.

use super::choosing::test_figure;
use super::file::Objective;
use super::results::Trials;
use crate::tables::{number, short_name};

/// A sentence on the best variant; none if no variant has the objective.
pub fn best(objective: &Objective, trials: &Trials) -> Option<String> {
    let race = trials.race(objective);
    let mut parts = Vec::new();
    match (race.best, race.unmet) {
        (Some((variant, value)), unmet) => {
            let figure = short_name(&objective.figure);
            let shown = test_figure(&objective.figure).and_then(|shown| {
                let value = trials.seeds(variant, &shown).mean()?;
                Some(format!(" ({} {})", short_name(&shown), number(value)))
            });
            parts.push(format!(
                "best: {variant}, {figure} {}{}",
                number(value),
                shown.unwrap_or_default()
            ));
            parts.push(race.lead.told());
            if unmet > 0 {
                parts.push(format!(
                    "{unmet} excluded, which do not meet the constraints"
                ));
            }
        }
        (None, 0) => parts.push("best: none".into()),
        (None, unmet) => {
            parts.push(format!(
                "best: none; none of {unmet} variants meets the constraints"
            ));
        }
    }
    if !race.out.is_empty() {
        parts.push(format!("excluded: {}", race.told_out()));
    }
    let is_empty = race.best.is_none() && race.unmet == 0 && race.out.is_empty();
    (!is_empty).then(|| parts.join("; "))
}
