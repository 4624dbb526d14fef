//! `principal-plane.svg`: latents and features in the plane of the features' first two principal
//! components.

use super::figure::Figure;
use super::palette::{BLUE, GREY};
use super::panel::{Panel, canvas};
use super::point_sets::PointSets;
use super::regions::thinned;
use super::scale::{range, widened};
use super::svg::series;
use crate::store::RunStages;
use anyhow::{Result, bail};
use latent_align_stages::comparison::PrincipalPlane;

/// The width of a panel, and approximately its height.
const SIDE: f64 = 340.0;
/// The largest number of points drawn per set.
const AT_MOST: usize = 1500;
/// The share of the points cut at each end of an axis.
const CUT: f64 = 0.002;

/// The figure of `run`; none if there are no features to compare the latents with, or only one
/// dimension.
///
/// # Errors
/// A file is damaged.
pub fn draw(run: &RunStages) -> Result<Option<Figure>> {
    let Some(sets) = PointSets::of(run)? else {
        return Ok(None);
    };
    if sets.width < 2 || sets.features.len() < 2 * sets.width {
        return Ok(None);
    }
    let plane = PrincipalPlane::of(&sets.features, sets.width)?;
    let features = plane.project(&sets.features);
    let latents = plane.project(&sets.latents);
    let axis = |of: fn(&(f64, f64)) -> f64| {
        let ranges = [&features, &latents].map(|points| {
            let values: Vec<f64> = points.iter().map(of).collect();
            range(&values, CUT, 1.0 - CUT)
        });
        let (a, b) = (ranges[0]?, ranges[1]?);
        Some(widened((a.0.min(b.0), a.1.max(b.1)), 0.05))
    };
    let (Some(x), Some(y)) = (axis(|p| p.0), axis(|p| p.1)) else {
        bail!("no point is finite");
    };
    let height = SIDE * ((y.1 - y.0) / (x.1 - x.0)).clamp(0.6, 1.2);
    let features = thinned(&features, AT_MOST);
    let latents = thinned(&latents, AT_MOST);
    let grey = (sets.features_name, GREY, "0.75", &features);
    let blue = (sets.latents_name, BLUE, "0.6", &latents);
    let labels = [0, 1].map(|i| {
        let (name, share) = (["first", "second"][i], 100.0 * plane.shares[i]);
        format!("{name} principal component ({share:.0} % of the variance)")
    });
    let panels = [
        ("features alone", vec![grey]),
        ("latents over features", vec![grey, blue]),
    ];
    let panels = panels.map(|(title, sets)| {
        let (mut svg, area) = canvas((SIDE, height), 1);
        let panel = Panel::linear(area, x, y);
        panel.rules(&mut svg);
        for (name, colour, opacity, points) in &sets {
            let style = format!(r#"stroke="{colour}" stroke-opacity="{opacity}""#);
            panel.dots(&mut svg, points, 3.2, &(series(name) + &style));
        }
        let entries: Vec<(&str, &str)> = sets.iter().rev().map(|s| (s.0, s.1)).collect();
        panel.legend(&mut svg, &entries);
        panel.finish(&mut svg, title, &labels[0], &labels[1]);
        svg
    });
    Ok(Some(Figure {
        panels: panels.into(),
        columns: 2,
        caption: format!(
            "The plane through the first two principal components of the features, in the flow's \
             space; {} features and {} latents are drawn. If the latents follow the target, blue \
             covers grey and does not extend beyond it.",
            features.len(),
            latents.len()
        ),
    }))
}
