//! `heatmaps.svg`: alignment losses and NLLs over the plane, side by side, with features and latents.

use super::colour_bar::ColourBar;
use super::figure::Figure;
use super::panel::{Panel, canvas};
use super::pixels::{heat_map, levels};
use super::regions::{Regions, thinned};
use super::scale::{percentile, range, short};
use super::svg::series;
use crate::store::RunStages;
use anyhow::{Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use latent_align_stages::alignment::Weighting;
use latent_align_stages::figures::estimate_nll::{self as names, FEATURES, GRID, LATENTS};
use latent_align_stages::figures::filled;

/// The width of a panel, and approximately its height.
const SIDE: f64 = 230.0;
/// The share of the values that the colour scale covers.
const CLIP: f64 = 0.75;
/// At most this many points of a region are drawn.
const DOTS_AT_MOST: usize = 500;
/// The colour name, diameter and style of features.
const FEATURE_DOTS: (&str, f64, &str) = ("Pink", 1.5, r##"stroke="#ffa6c9" stroke-opacity="0.8""##);
/// The same for latents.
const LATENT_DOTS: (&str, f64, &str) = ("White", 2.0, r#"stroke="white""#);

/// A quantity over the grid.
struct Map {
    title: &'static str,
    unit: &'static str,
    values: Vec<f64>,
    in_nats: bool,
}

/// The figure of `run`; none for a flow that is not two-dimensional.
///
/// # Errors
/// The table is damaged, or does not hold a complete grid.
pub fn draw(run: &RunStages) -> Result<Option<Figure>> {
    let Some(regions) = Regions::of(run)? else {
        return Ok(None);
    };
    if !regions.is_plane() || !regions.names().contains(&GRID) {
        return Ok(None);
    }
    let grid = Grid::of(&regions.places(GRID)?)?;
    let maps = maps(&regions)?;
    let dots = dots(&regions)?;
    let nats: Vec<f64> = (maps.iter().filter(|m| m.in_nats))
        .flat_map(|m| m.values.iter().copied())
        .collect();
    let Some(shared) = range(&nats, 0.0, CLIP) else {
        bail!("no NLL of the grid is finite");
    };
    let caption = caption(&nats, shared, &dots);
    let height = SIDE * grid.aspect().clamp(0.5, 1.6);
    let mut panels = Vec::new();
    for map in &maps {
        let (mut svg, area) = canvas((SIDE, height), 0);
        svg.width += ColourBar::WIDTH;
        let panel = Panel::linear(area, grid.x, grid.y);
        let range = match range(&map.values, 0.0, CLIP) {
            None => bail!("no {} of the grid is finite", map.title),
            Some(_) if map.in_nats => shared,
            Some(own) => own,
        };
        let cells = format!(
            r#"data-side="{}" data-range="{:.5e} {:.5e}" data-levels="{}""#,
            grid.side,
            range.0,
            range.1,
            STANDARD.encode(levels(&map.values, range))
        );
        svg.image(area, &heat_map(&map.values, grid.side, range)?, &cells);
        for (region, (_, diameter, style), places) in &dots {
            let style = series(region) + style;
            panel.dots(&mut svg, places, *diameter, &style);
        }
        panel.finish(&mut svg, map.title, "y₀", "y₁");
        let clipped = map.values.iter().any(|v| *v > range.1);
        ColourBar { range, clipped }.draw(&mut svg, area, map.unit);
        panels.push(svg);
    }
    let columns = if panels.len() == 3 { 3 } else { 2 };
    Ok(Some(Figure {
        panels,
        columns,
        caption,
    }))
}

/// The dots of a region: its name, their style and their places.
type Dots = (
    &'static str,
    (&'static str, f64, &'static str),
    Vec<(f64, f64)>,
);

/// Points of features and of latents, as far as there are any.
fn dots(regions: &Regions) -> Result<Vec<Dots>> {
    let names = [
        (regions.first(&FEATURES), FEATURE_DOTS),
        (regions.first(&LATENTS), LATENT_DOTS),
    ];
    let there = names
        .into_iter()
        .filter_map(|(region, style)| Some((region?, style)));
    let dots = there.map(|(region, style)| {
        let places = thinned(&regions.places(region)?, DOTS_AT_MOST);
        Ok((region, style, places))
    });
    dots.collect()
}

/// What the colours of `nats` and the `dots` mean.
fn caption(nats: &[f64], shared: (f64, f64), dots: &[Dots]) -> String {
    let mut text = format!(
        "The NLL panels share one colour scale, which ends at {} nats, the {:.0}th percentile of \
         their values (the largest is {}); that of the loss ends at the same percentile of its own.",
        short(shared.1),
        100.0 * CLIP,
        short(percentile(nats, 1.0).unwrap_or(f64::NAN)),
    );
    for (region, (colour, ..), places) in dots {
        if !places.is_empty() {
            text.push_str(&format!(" {colour} dots: {} {region}.", places.len()));
        }
    }
    text
}

/// The maps to draw, from left to right.
fn maps(regions: &Regions) -> Result<Vec<Map>> {
    let losses = Weighting::ALL.map(|w| (w.surrogate(), filled(names::LOSS, &[&w]), w.in_nats()));
    let own = match regions.own_nll() {
        names::NLL_EXACT => (names::EXACT, names::NLL_EXACT.to_owned(), true),
        _ => (names::ODE, names::NLL_ODE.to_owned(), true),
    };
    let likelihoods = [own, (names::ANALYTIC, names::NLL_ANALYTIC.to_owned(), true)];
    let mut maps = Vec::new();
    for (title, column, in_nats) in losses.into_iter().chain(likelihoods) {
        if !regions.has(&column) {
            continue; // a prior without a velocity has no losses
        }
        let values = regions.numbers(GRID, &column)?;
        if column == names::NLL_ANALYTIC && values.iter().all(|v| v.is_nan()) {
            continue; // unknown
        }
        maps.push(Map {
            title,
            unit: if in_nats { "nats" } else { "" },
            values,
            in_nats,
        });
    }
    Ok(maps)
}

/// A square grid, row by row; cells are centred on its points.
#[derive(Debug, PartialEq)]
struct Grid {
    /// Points per side.
    side: usize,
    /// From edge to edge of the cells.
    x: (f64, f64),
    y: (f64, f64),
}

impl Grid {
    fn of(points: &[(f64, f64)]) -> Result<Self> {
        let side = points.len().isqrt();
        let whole = side >= 2
            && side * side == points.len()
            && (points.iter().enumerate())
                .all(|(i, p)| p.0 == points[i % side].0 && p.1 == points[i / side * side].1);
        if !whole {
            bail!(
                "the {} points of the grid are not a square, row by row",
                points.len()
            );
        }
        let edges = |first: f64, last: f64| {
            let half = (last - first) / (side - 1) as f64 / 2.0;
            (first - half, last + half)
        };
        let (first, last) = (points[0], points[points.len() - 1]);
        if first.0 >= last.0 || first.1 >= last.1 {
            bail!("the grid has no extent");
        }
        Ok(Self {
            side,
            x: edges(first.0, last.0),
            y: edges(first.1, last.1),
        })
    }

    /// Height over width.
    fn aspect(&self) -> f64 {
        (self.y.1 - self.y.0) / (self.x.1 - self.x.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_reaches_half_a_cell_beyond_its_points() {
        let points = [(0.0, 0.0), (2.0, 0.0), (0.0, 1.0), (2.0, 1.0)];
        let grid = Grid::of(&points).unwrap();
        assert_eq!((grid.side, grid.x, grid.y), (2, (-1.0, 3.0), (-0.5, 1.5)));
        assert_eq!(grid.aspect(), 0.5);
    }

    #[test]
    fn what_is_no_whole_grid_is_refused() {
        assert!(Grid::of(&[]).is_err());
        assert!(Grid::of(&[(0.0, 0.0); 4]).is_err());
        assert!(Grid::of(&[(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]).is_err());
        let columns_first = [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)];
        assert!(Grid::of(&columns_first).is_err());
    }
}
