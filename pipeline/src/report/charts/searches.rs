//! `best-so-far.svg`: the best score of a search by its calls.

use super::figure::Figure;
use super::palette::{BLUE, GREY};
use super::panel::{Panel, canvas};
use super::regions::thinned;
use super::scale::{range, widened};
use super::tables::{Table, parquet};
use crate::store::{RunStages, Stage};
use anyhow::Result;
use latent_align_stages::figures::optimise_latents as names;

/// The size of the panel.
const SIZE: (f64, f64) = (460.0, 260.0);
/// The largest number of evaluations drawn.
const AT_MOST: usize = 3000;
/// The percentiles of all scores that the axis covers; it always covers the best so far.
const SHOWN: (f64, f64) = (0.02, 0.98);

/// The figure of `run`; none without a search, or if nothing was feasible.
///
/// # Errors
/// The table is damaged.
pub fn draw(run: &RunStages) -> Result<Option<Figure>> {
    let Some(file) = run.file(Stage::OptimiseLatents, &parquet(names::TABLE)) else {
        return Ok(None);
    };
    let table = Table::read(&file)?;
    let best = best_so_far(&table)?;
    let mut scores = table.pairs(names::CALLS_SO_FAR, names::SCORE)?;
    scores.retain(|(calls, score)| *calls > 0.0 && score.is_finite());
    let values: Vec<f64> = scores.iter().map(|point| point.1).collect();
    let (Some(last), Some((low, high))) = (best.last(), range(&values, SHOWN.0, SHOWN.1)) else {
        return Ok(None);
    };
    let ends = best.iter().map(|point| point.1);
    let (low, high) = ends.fold((low, high), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let (mut svg, area) = canvas(SIZE, 1);
    let panel = Panel::linear(area, (0.0, last.0.max(1.0)), widened((low, high), 0.05));
    panel.rules(&mut svg);
    let style = format!(r#"stroke="{GREY}" stroke-opacity="0.7""#);
    panel.dots(&mut svg, &thinned(&scores, AT_MOST), 3.0, &style);
    panel.curve(&mut svg, "best so far", BLUE, &staircase(&best));
    panel.legend(&mut svg, &[("best so far", BLUE), ("an evaluation", GREY)]);
    panel.finish(
        &mut svg,
        "best score so far",
        "calls of the objective",
        "score",
    );
    let caption = "The value at 0 calls is the best of the initial points.";
    Ok(Some(Figure::of(svg, caption)))
}

/// The best score after each number of calls, from the first feasible one on.
///
/// # Errors
/// The table lacks a column.
pub fn best_so_far(table: &Table) -> Result<Vec<(f64, f64)>> {
    let mut best: Vec<(f64, f64)> = Vec::new();
    for point in table.pairs(names::CALLS_SO_FAR, names::BEST_SO_FAR)? {
        if best.last().is_some_and(|last| last.0 == point.0) {
            best.pop();
        }
        if point.1.is_finite() {
            best.push(point);
        }
    }
    Ok(best)
}

/// The corners of a step function through `points`.
pub fn staircase(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut corners: Vec<(f64, f64)> = points.first().copied().into_iter().collect();
    for pair in points.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        if before.1 != after.1 {
            corners.extend([(after.0, before.1), after]);
        }
    }
    corners.extend(points.last().copied());
    corners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_holds_up_to_the_next_and_to_the_end() {
        let points = [(0.0, 5.0), (1.0, 5.0), (2.0, 3.0), (3.0, 3.0)];
        let corners = [(0.0, 5.0), (2.0, 5.0), (2.0, 3.0), (3.0, 3.0)];
        assert_eq!(staircase(&points), corners);
        assert_eq!(staircase(&[]), []);
    }
}
