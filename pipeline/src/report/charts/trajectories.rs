//! `trajectories.svg`: how free points in the plane move during alignment.

use super::figure::Figure;
use super::palette::{BLUE, GREY, ORANGE};
use super::panel::{Panel, canvas};
use super::regions::{Regions, thinned};
use super::scale::{range, widened};
use super::svg::{Trace, series};
use super::tables::{Table, axis, parquet};
use crate::store::{RunStages, Stage};
use anyhow::{Result, bail};
use latent_align_stages::figures::{estimate_nll, train_autoencoder as names};

/// The width of the panel, and approximately its height.
const SIDE: f64 = 440.0;
/// The largest number of path corners, and of features, drawn.
const CORNERS_AT_MOST: usize = 30_000;
const FEATURES_AT_MOST: usize = 3000;
const FEATURES: &str = "features";

/// The figure of `run`; none without free points in the plane.
///
/// # Errors
/// A table is damaged.
pub fn draw(run: &RunStages) -> Result<Option<Figure>> {
    let Some(file) = run.file(Stage::TrainAutoencoder, &parquet(names::TRAJECTORY)) else {
        return Ok(None);
    };
    let table = Table::read(&file)?;
    if !table.is_plane() {
        return Ok(None);
    }
    let all = paths(&table)?;
    if all.is_empty() {
        bail!("{} holds no points", file.display());
    }
    let longest = all.iter().map(Vec::len).max().unwrap_or(1);
    let shown: Vec<usize> = (0..all.len()).collect();
    let shown = thinned(&shown, (CORNERS_AT_MOST / longest).max(1));
    let features = match Regions::of(run)? {
        Some(regions) => match regions.first(&estimate_nll::FEATURES) {
            Some(region) => regions.places(region)?,
            None => Vec::new(),
        },
        None => Vec::new(),
    };
    let features = thinned(&features, FEATURES_AT_MOST);

    let everything = || all.iter().flatten().chain(&features);
    let axis = |of: fn(&(f64, f64)) -> f64| {
        let values: Vec<f64> = everything().map(of).collect();
        range(&values, 0.0, 1.0).map(|r| widened(r, 0.04))
    };
    let (Some(x), Some(y)) = (axis(|p| p.0), axis(|p| p.1)) else {
        bail!("{}: no point is finite", file.display());
    };
    let height = SIDE * ((y.1 - y.0) / (x.1 - x.0)).clamp(0.5, 1.6);
    let caption = format!(
        "{} free points, from their start to their position after {} training steps, in the space of the flow.",
        shown.len(),
        table.numbers(names::STEP)?.into_iter().fold(0.0, f64::max)
    );
    let (mut svg, area) = canvas((SIDE, height), 1);
    let panel = Panel::linear(area, x, y);
    panel.rules(&mut svg);
    panel.dots(
        &mut svg,
        &features,
        3.0,
        &(series(FEATURES) + &format!(r#"stroke="{GREY}" stroke-opacity="0.6""#)),
    );
    let mut lines = Trace::default();
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for path in shown.into_iter().map(|i| &all[i]) {
        lines.line(path.iter().map(|p| panel.place(*p)));
        starts.extend(path.first());
        ends.extend(path.last());
    }
    let thin = format!(r#"fill="none" stroke="{BLUE}" stroke-opacity="0.35" stroke-width="0.7""#);
    svg.trace(&lines, &thin);
    let dots = |name, colour| series(name) + &format!(r#"stroke="{colour}""#);
    panel.dots(&mut svg, &starts, 3.0, &dots("start", ORANGE));
    panel.dots(&mut svg, &ends, 3.6, &dots("end", BLUE));
    panel.finish(&mut svg, "Trajectories of free points", "y₀", "y₁");
    let entries = [("start", ORANGE), ("end", BLUE), (FEATURES, GREY)];
    let shown = if features.is_empty() { 2 } else { 3 };
    panel.legend(&mut svg, &entries[..shown]);
    Ok(Some(Figure::of(svg, caption)))
}

/// The path of each point by step, without values that are not finite.
fn paths(table: &Table) -> Result<Vec<Vec<(f64, f64)>>> {
    let mut rows: Vec<[f64; 4]> = Vec::new();
    let (points, steps) = (table.numbers(names::POINT)?, table.numbers(names::STEP)?);
    for ((point, step), (x, y)) in points
        .into_iter()
        .zip(steps)
        .zip(table.pairs(&axis(0), &axis(1))?)
    {
        rows.push([point, step, x, y]);
    }
    rows.retain(|row| row.iter().all(|v| v.is_finite()));
    rows.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    let of_point = rows.chunk_by(|a, b| a[0] == b[0]);
    Ok(of_point
        .map(|path| path.iter().map(|row| (row[2], row[3])).collect())
        .collect())
}
