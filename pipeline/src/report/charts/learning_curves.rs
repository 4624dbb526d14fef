//! `learning-curves.svg`: training metrics, a panel for each.

use super::figure::Figure;
use super::palette::{BLUE, ORANGE};
use super::panel::{GAP, Panel, canvas};
use super::regions::thinned;
use super::scale::{Scale, percentile, range, widened};
use super::svg::{Anchor, Font, Svg, Trace, series};
use super::tables::Table;
use crate::store::{METRICS, RunStages, Stage};
use anyhow::Result;
use latent_align_stages::figures::curves;

/// The size of a panel.
const SIZE: (f64, f64) = (300.0, 200.0);
/// The largest number of panels per row.
const COLUMNS: usize = 3;
/// The largest number of points drawn per curve.
const AT_MOST: usize = 1500;
/// Curves of at most this many points are marked by dots.
const FEW: usize = 30;
/// The ratio of the largest to the smallest value from which the axis is logarithmic.
const WIDE: f64 = 20.0;

/// Step and value.
type Curve = Vec<(f64, f64)>;

/// A metric of a stage.
struct Metric {
    stage: &'static str,
    name: String,
    training: Curve,
    held_out: Curve,
}

/// The figure of `run`; none if nothing was trained.
///
/// # Errors
/// A table is damaged.
pub fn draw(run: &RunStages) -> Result<Option<Figure>> {
    let mut metrics = Vec::new();
    for stage in Stage::ALL {
        if let Some(file) = run.file(stage, METRICS) {
            metrics.extend(metrics_of(stage.name(), &Table::read(&file)?)?);
        }
    }
    if metrics.is_empty() {
        return Ok(None);
    }
    let caption = "Axes are logarithmic if values span more than a factor of 20.";
    Ok(Some(Figure {
        panels: metrics.iter().map(Metric::draw).collect(),
        columns: COLUMNS,
        caption: caption.to_owned(),
    }))
}

/// The metrics of a stage: columns of training data with those of held-out data.
fn metrics_of(stage: &'static str, table: &Table) -> Result<Vec<Metric>> {
    let mut metrics: Vec<Metric> = Vec::new();
    for column in table.names() {
        if [curves::STEP, curves::LEARNING_RATE].contains(&column) {
            continue;
        }
        let mut curve = table.pairs(curves::STEP, column)?;
        curve.retain(|p| p.1.is_finite());
        if curve.iter().all(|p| p.1 == 0.0) {
            continue; // a term that this experiment does not have
        }
        let curve = thinned(&curve, AT_MOST);
        let held_out = column.strip_prefix(curves::HELD_OUT);
        let name = held_out
            .or(column.strip_prefix(curves::TRAINING))
            .unwrap_or(column);
        let name = name.replace('_', " ");
        let at = metrics.iter().position(|m| m.name == name);
        let at = at.unwrap_or_else(|| {
            metrics.push(Metric {
                stage,
                name,
                training: Vec::new(),
                held_out: Vec::new(),
            });
            metrics.len() - 1
        });
        if held_out.is_some() {
            metrics[at].held_out = curve;
        } else {
            metrics[at].training = curve;
        }
    }
    Ok(metrics)
}

impl Metric {
    fn draw(&self) -> Svg {
        let (mut drawn, area) = canvas(SIZE, 1);
        drawn.height += GAP / 2.0;
        let svg = &mut drawn;
        let curves = [
            ("training", &self.training, BLUE, "1.2"),
            ("held-out", &self.held_out, ORANGE, "2"),
        ];
        let all = || curves.iter().flat_map(|c| c.1.iter().copied());
        let values: Vec<f64> = all().map(|p| p.1).collect();
        let last = all().map(|p| p.0).fold(1.0, f64::max);
        let (logarithmic, low, high) = axis(&values);
        let mut panel = Panel::linear(area, (0.0, last), (low, high));
        if logarithmic {
            panel.y = Scale::logarithmic((low, high), (area.y + area.height, area.y));
        }
        panel.rules(svg);
        let mut x = area.x;
        for (label, curve, colour, width) in curves.into_iter().filter(|c| !c.1.is_empty()) {
            let mut line = Trace::default();
            line.line(curve.iter().map(|p| panel.place(*p)));
            let style = format!(
                r#"fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round""#
            );
            svg.trace(&line, &(series(label) + &style));
            if curve.len() <= FEW {
                let dots = format!(r#"stroke="{colour}""#);
                panel.dots(svg, curve, 4.0, &dots);
            }
            let mut key = Trace::default();
            key.line([(x, area.y - 13.0), (x + 16.0, area.y - 13.0)]);
            svg.trace(&key, &format!(r#"stroke="{colour}" stroke-width="2""#));
            svg.text(x + 21.0, area.y - 9.0, label, Font::plain(Anchor::Start));
            x += 90.0;
        }
        let title = format!("{}: {}", self.stage, self.name);
        panel.finish(svg, &title, "training step", &self.name);
        drawn
    }
}

/// Whether the axis of `values` is logarithmic, and its ends.
fn axis(values: &[f64]) -> (bool, f64, f64) {
    let (low, high) = range(values, 0.0, 1.0).unwrap_or((0.0, 1.0));
    let least = percentile(values, 0.0).unwrap_or(0.0);
    if least > 0.0 && high > WIDE * least {
        let (low, high) = widened((least.ln(), high.ln()), 0.04);
        return (true, low.exp(), high.exp());
    }
    let (low, high) = widened((low, high), 0.04);
    (false, low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_is_logarithmic_where_values_differ_in_size() {
        assert!(axis(&[0.01, 1.0]).0);
        assert!(!axis(&[1.0, 2.0]).0);
        assert!(!axis(&[0.0, 100.0]).0);
        assert!(!axis(&[-1.0, 100.0]).0);
    }
}
