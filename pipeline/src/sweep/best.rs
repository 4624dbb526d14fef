//! Which variant is the best: by the objective, among those that meet the constraints.

use super::file::{Constraint, Objective};
use super::table::Table;
use crate::report::{number, short_name};

/// A sentence on the best variant; none without one.
pub fn best(objective: &Objective, constraints: &[Constraint], table: &Table) -> Option<String> {
    let variants = table.variants();
    let values = variants.map(|v| (v, table.mean(v, &objective.figure)));
    let measured: Vec<(&str, f64)> = values
        .filter_map(|(v, value)| Some((v, value.filter(|x| !x.is_nan())?)))
        .collect();
    let meets = |variant: &str| {
        constraints
            .iter()
            .all(|c| c.is_met_by(table.mean(variant, &c.figure)))
    };
    let (meeting, others): (Vec<_>, Vec<_>) = measured.into_iter().partition(|v| meets(v.0));
    let best = (meeting.iter()).min_by(|a, b| objective.direction.order(a.1, b.1));
    let Some((variant, value)) = best else {
        return (!others.is_empty()).then(|| {
            format!(
                "best: none; none of {} variants meets the constraints",
                others.len()
            )
        });
    };
    let left_out = match others.len() {
        0 => String::new(),
        some => format!("; {some} left out, which do not meet the constraints"),
    };
    let figure = short_name(&objective.figure);
    Some(format!(
        "best: {variant}, {figure} {}{left_out}",
        number(*value)
    ))
}
