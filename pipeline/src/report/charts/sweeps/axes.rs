//! `objective.svg`: the objective of the sweep against each of its axes.

use crate::report::charts::figure::Figure;
use crate::report::charts::palette::{BLUE, GREY, ORANGE};
use crate::report::charts::panel::{Panel, canvas};
use crate::report::charts::scale::{Scale, range, widened};
use crate::report::charts::svg::{Anchor, Font, Svg, Trace};
use crate::sweep::{Direction, TrialRow, Trials, told};
use crate::tables::{number, short_name};
use serde_json::Value;

/// The size of a panel.
const SIZE: (f64, f64) = (400.0, 230.0);
/// The ratio of the largest to the smallest value from which an axis is logarithmic.
const WIDE: f64 = 20.0;
/// The distance of 0 left of the other values on a logarithmic axis, as a share of their width.
const ASIDE: f64 = 0.12;
/// The largest number of categories on an axis.
const CATEGORIES: usize = 24;
/// The largest number of characters of a category's name.
const LETTERS: usize = 26;

/// A trial with its place on an axis and its figure.
struct Placed<'a> {
    row: &'a TrialRow,
    at: f64,
    figure: f64,
}

/// The figure of `trials`; none if less than two trials have the objective.
pub fn draw(trials: &Trials) -> Option<Figure> {
    let (aim, direction) = trials.aim();
    let valued: Vec<(&TrialRow, f64)> = (trials.rows.iter())
        .filter_map(|row| Some((row, row.figure(aim)?)))
        .collect();
    if valued.len() < 2 {
        return None;
    }
    let figures: Vec<f64> = valued.iter().map(|v| v.1).collect();
    let y = widened(range(&figures, 0.0, 1.0)?, 0.06);
    let mut panels = Vec::new();
    // keys that only some variants of a list set are no axes of it
    let set_by_all = |name: &String| {
        let mut rows = valued.iter();
        rows.all(|(row, _)| row.trial.settings.get(name).is_some())
    };
    let axes = trials.record.axes.iter().enumerate();
    for (i, name) in axes.filter(|(_, name)| set_by_all(name)) {
        let value = |row: &TrialRow| row.values[i].clone();
        panels.extend(panel(trials, &valued, name, value, y));
    }
    if trials.record.axes.len() != 1 || panels.is_empty() {
        let value = |row: &TrialRow| Some(Value::String(row.trial.variant.clone()));
        panels.extend(panel(trials, &valued, "variant", value, y));
    }
    let best = match direction {
        Direction::Minimise => "smaller",
        Direction::Maximise => "greater",
    };
    let better = match &trials.record.objective {
        Some(_) => format!(" The {best} the better."),
        None => " The sweep names no objective.".to_owned(),
    };
    let hollow = match trials.record.constraints.is_empty() {
        true => "",
        false => " Hollow: trials excluded by a constraint.",
    };
    let caption = format!(
        "{}: one dot per trial; the line joins the means over all other axes.{better}{hollow}",
        short_name(aim)
    );
    (!panels.is_empty()).then_some(Figure {
        panels,
        columns: 2,
        caption,
    })
}

/// The panel of an axis, whose `value` each trial has; none for a constant, or for too many categories.
fn panel(
    trials: &Trials,
    valued: &[(&TrialRow, f64)],
    name: &str,
    value: impl Fn(&TrialRow) -> Option<Value>,
    y: (f64, f64),
) -> Option<Svg> {
    let values: Vec<Option<Value>> = valued.iter().map(|v| value(v.0)).collect();
    let axis = Axis::of(&values)?;
    let placed: Vec<Placed> = (valued.iter().zip(&axis.places))
        .map(|((row, figure), at)| Placed {
            row,
            at: *at,
            figure: *figure,
        })
        .collect();
    let (mut svg, area) = canvas(SIZE, 0);
    svg.height += axis.room();
    let panel = Panel {
        x: axis.scale((area.x, area.x + area.width))?,
        ..Panel::linear(area, (0.0, 1.0), y)
    };
    if axis.is_numeric() {
        panel.rules(&mut svg);
    }
    means(&mut svg, &panel, &placed, axis.is_numeric());
    for Placed { row, at, figure } in &placed {
        let tip = format!(
            "{}: {} {}, {}",
            row.trial.run,
            name.rsplit('.').next().unwrap_or(name),
            told(value(row).as_ref()),
            number(*figure)
        );
        let style = match trials.counts(row) {
            true => format!(r#"fill="{BLUE}" fill-opacity="0.8""#),
            false => format!(r#"fill="none" stroke="{GREY}" stroke-width="1.5""#),
        };
        svg.mark(panel.place((*at, *figure)), 4.0, &tip, &style);
    }
    panel.frame(&mut svg, name);
    axis.label(&mut svg, &panel, name);
    let label = trials.aim().0;
    let label = label.split_once(": ").map_or(label, |l| l.1);
    panel.y_axis(&mut svg, short_name(label));
    Some(svg)
}

/// Where the trials are on the horizontal axis.
struct Axis {
    /// Of each trial.
    places: Vec<f64>,
    /// The categories at 0, 1, 2 and so on; none if values are numbers.
    categories: Vec<String>,
    /// The place of the number 0 on a logarithmic axis.
    zero: Option<f64>,
}

impl Axis {
    /// The axis of `values`; none for a constant, or for too many categories.
    fn of(values: &[Option<Value>]) -> Option<Self> {
        let numbers: Option<Vec<f64>> = values.iter().map(|v| v.as_ref()?.as_f64()).collect();
        let axis = match numbers {
            Some(numbers) => {
                let zero = zero_of(&numbers);
                let moved = |at: f64| zero.filter(|_| at == 0.0).unwrap_or(at);
                Self {
                    places: numbers.into_iter().map(moved).collect(),
                    categories: Vec::new(),
                    zero,
                }
            }
            None => Self::of_categories(values),
        };
        let varies = axis.places.iter().any(|at| *at != axis.places[0]);
        (varies && axis.categories.len() <= CATEGORIES).then_some(axis)
    }

    fn of_categories(values: &[Option<Value>]) -> Self {
        let mut categories: Vec<String> = Vec::new();
        let places = values.iter().map(|value| {
            let text = told(value.as_ref());
            let at = categories.iter().position(|c| *c == text);
            let at = at.unwrap_or_else(|| {
                categories.push(text);
                categories.len() - 1
            });
            at as f64
        });
        Self {
            places: places.collect(),
            categories,
            zero: None,
        }
    }

    fn is_numeric(&self) -> bool {
        self.categories.is_empty()
    }

    /// The room below, for slanted names of categories.
    fn room(&self) -> f64 {
        let letters = self.categories.iter().map(|c| c.chars().count());
        letters.max().unwrap_or(0).min(LETTERS) as f64 * 3.6
    }

    fn scale(&self, ends: (f64, f64)) -> Option<Scale> {
        if !self.is_numeric() {
            return Some(Scale::linear(
                (-0.5, self.categories.len() as f64 - 0.5),
                ends,
            ));
        }
        let (low, high) = range(&self.places, 0.0, 1.0)?;
        let least = self.places.iter().copied().fold(f64::INFINITY, f64::min);
        Some(if least > 0.0 && high > WIDE * low {
            let (low, high) = widened((low.ln(), high.ln()), 0.06);
            Scale::logarithmic((low.exp(), high.exp()), ends)
        } else {
            Scale::linear(widened((low, high), 0.06), ends)
        })
    }

    /// Draws the numbers or categories below the panel.
    fn label(&self, svg: &mut Svg, panel: &Panel, name: &str) {
        let bottom = panel.area.y + panel.area.height;
        if self.is_numeric() {
            panel.x_axis(svg, name);
        }
        if let Some(zero) = self.zero {
            let at = panel.x.place(zero);
            svg.text(at, bottom + 17.0, "0", Font::muted(Anchor::Middle));
        }
        for (i, category) in self.categories.iter().enumerate() {
            let at = panel.x.place(i as f64);
            let name: String = match category.chars().count() > LETTERS {
                true => category.chars().take(LETTERS - 1).chain(['…']).collect(),
                false => category.clone(),
            };
            svg.slanted_text(at, bottom + 14.0, &name, Font::muted(Anchor::End));
        }
    }
}

/// The position of 0 on a logarithmic axis of `values`: left of the smallest other value. None without a 0,
/// or if the axis is linear.
fn zero_of(values: &[f64]) -> Option<f64> {
    let others = values.iter().copied().filter(|v| *v != 0.0);
    let least = others.clone().fold(f64::INFINITY, f64::min);
    let most = others.fold(0.0, f64::max);
    let is_wide = least > 0.0 && most > WIDE * least;
    let has_zero = values.contains(&0.0);
    (is_wide && has_zero).then(|| least * (least / most).powf(ASIDE))
}

/// Draws the mean of the figure at each place: joined if places are numbers, else as dashes.
fn means(svg: &mut Svg, panel: &Panel, placed: &[Placed], joined: bool) {
    let mut places: Vec<f64> = placed.iter().map(|p| p.at).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    let mean = |at: f64| {
        let here: Vec<f64> = (placed.iter().filter(|p| p.at == at))
            .map(|p| p.figure)
            .collect();
        here.iter().sum::<f64>() / here.len() as f64
    };
    let mut line = Trace::default();
    if joined {
        line.line(places.iter().map(|at| panel.place((*at, mean(*at)))));
    } else {
        for at in places {
            let (x, y) = panel.place((at, mean(at)));
            line.line([(x - 14.0, y), (x + 14.0, y)]);
        }
    }
    svg.trace(
        &line,
        &format!(r#"fill="none" stroke="{ORANGE}" stroke-width="1.8""#),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_has_a_place_on_a_logarithmic_axis_and_none_is_needed_on_a_linear_one() {
        let zero = zero_of(&[0.0, 1e-6, 1e-2]).unwrap();
        assert!(zero > 1e-7 && zero < 1e-6, "{zero}");
        assert_eq!(zero_of(&[1e-6, 1e-2]), None);
        assert_eq!(zero_of(&[0.0, 1.0, 2.0]), None);
        assert_eq!(zero_of(&[-1.0, 0.0, 100.0]), None);
    }
}
