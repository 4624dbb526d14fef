//! Which variant is the best: by the objective, among those that meet the constraints.

use super::file::{Constraint, Objective};
use super::table::Table;
use crate::report::{number, short_name};

/// A sentence on the best variant; none without one.
pub fn best(objective: &Objective, constraints: &[Constraint], table: &Table) -> Option<String> {
    let mean = |variant: &str, figure: &str| table.mean(variant, figure);
    let (best, others) = best_of(table.variants(), objective, constraints, mean);
    let Some((variant, value)) = best else {
        return (others > 0)
            .then(|| format!("best: none; none of {others} variants meets the constraints"));
    };
    let left_out = match others {
        0 => String::new(),
        some => format!("; {some} left out, which do not meet the constraints"),
    };
    let figure = short_name(&objective.figure);
    let shown = test_figure(&objective.figure).and_then(|shown| {
        let value = table.mean(variant, &shown)?;
        Some(format!(" ({} {})", short_name(&shown), number(value)))
    });
    Some(format!(
        "best: {variant}, {figure} {}{}{left_out}",
        number(value),
        shown.unwrap_or_default()
    ))
}

/// The figure of test rows that stands beside one of held-out rows, `stage: held-out ...`: what is chosen by
/// one is shown by the other.
pub fn test_figure(figure: &str) -> Option<String> {
    let (stage, of_held_out) = figure.split_once(": held-out ")?;
    Some(format!("{stage}: test {of_held_out}"))
}

/// Why nothing may be chosen by `figure`; none where it may.
pub fn refuse_to_choose_by(figure: &str) -> Option<String> {
    let (stage, name) = figure.split_once(": ")?;
    if let Some(rest) = name.strip_prefix("test ") {
        return Some(format!(
            "a figure of held-out rows, such as `{stage}: held-out {rest}`: nothing is chosen by test rows, \
             whose figures are shown beside"
        ));
    }
    name.starts_with("NLL gap").then(|| {
        "a figure of held-out rows, such as `train-autoencoder: held-out coverage of features`: the gap is of \
         test rows, by which nothing is chosen"
            .to_owned()
    })
}

/// The best of `variants` that meet `constraints`, with its figure, and how many others have the figure and
/// do not meet them; `mean` is that of a figure over the seeds of a variant.
pub fn best_of<'a>(
    variants: impl Iterator<Item = &'a str>,
    objective: &Objective,
    constraints: &[Constraint],
    mean: impl Fn(&str, &str) -> Option<f64>,
) -> (Option<(&'a str, f64)>, usize) {
    let measured = variants.filter_map(|variant| {
        let value = mean(variant, &objective.figure).filter(|v| !v.is_nan());
        Some((variant, value?))
    });
    let meets = |variant: &str| {
        let mut constraints = constraints.iter();
        constraints.all(|c| c.is_met_by(mean(variant, &c.figure)))
    };
    let (meeting, others): (Vec<_>, Vec<_>) = measured.partition(|v| meets(v.0));
    let best = (meeting.into_iter()).min_by(|a, b| objective.direction.order(a.1, b.1));
    (best, others.len())
}
