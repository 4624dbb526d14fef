//! `marginals.svg`: histograms of the first dimensions of latents and of features.

use super::figure::Figure;
use super::histogram::{Histogram, bins_for};
use super::palette::{BLUE, GREY};
use super::panel::{GAP, LINE, Panel, canvas};
use super::point_sets::PointSets;
use super::scale::{range, short, widened};
use super::svg::{Anchor, Font, Svg, Trace, series};
use crate::store::RunStages;
use anyhow::Result;
use latent_align_stages::comparison::marginal_distance;

/// The size of a panel.
const SIZE: (f64, f64) = (300.0, 150.0);
/// The largest number of dimensions drawn.
const DIMENSIONS: usize = 6;
/// The share of the values cut at each end of an axis.
const CUT: f64 = 0.002;

/// The figure of `run`; none if there are no features to compare the latents with.
///
/// # Errors
/// A file is damaged.
pub fn draw(run: &RunStages) -> Result<Option<Figure>> {
    let Some(sets) = PointSets::of(run)? else {
        return Ok(None);
    };
    let shown = sets.width.min(DIMENSIONS);
    let panels: Vec<Svg> = (0..shown).filter_map(|i| panel(&sets, i)).collect();
    if panels.is_empty() {
        return Ok(None);
    }
    let which = match shown == sets.width {
        true => "Each dimension".to_owned(),
        false => format!("The first {shown} of {} dimensions", sets.width),
    };
    Ok(Some(Figure {
        panels,
        columns: 3,
        caption: format!(
            "{which} of the flow's space, as densities. The energy distance of the two samples is \
             given with that of a fresh sample of the features: if they are equal, the marginals \
             cannot be distinguished."
        ),
    }))
}

fn panel(sets: &PointSets, dimension: usize) -> Option<Svg> {
    let features = sets.dimension(&sets.features, dimension);
    let latents = sets.dimension(&sets.latents, dimension);
    if features.is_empty() || latents.is_empty() {
        return None;
    }
    let both = [&features, &latents].map(|values| range(values, CUT, 1.0 - CUT));
    let (a, b) = (both[0]?, both[1]?);
    let x = widened((a.0.min(b.0), a.1.max(b.1)), 0.03);
    let bins = bins_for(features.len().min(latents.len()));
    let [of_features, of_latents] = [&features, &latents].map(|v| Histogram::of(v, x, bins));
    let highest = of_features.highest().max(of_latents.highest());

    let (mut svg, area) = canvas(SIZE, 2);
    svg.height += GAP / 2.0;
    let panel = Panel::linear(area, x, (0.0, 1.06 * highest));
    panel.rules(&mut svg);
    for (histogram, name, style) in [
        (
            &of_features,
            sets.features_name,
            format!(r#"fill="{GREY}" fill-opacity="0.35" stroke="{GREY}""#),
        ),
        (
            &of_latents,
            sets.latents_name,
            format!(r#"fill="none" stroke="{BLUE}" stroke-width="1.8""#),
        ),
    ] {
        let mut outline = Trace::default();
        outline.line(histogram.outline().into_iter().map(|p| panel.place(p)));
        svg.trace(&outline, &(series(name) + &style));
    }
    let found = marginal_distance(&latents, &features);
    let told = format!(
        "energy distance {}, of a fresh sample {}",
        short(found.energy_distance),
        short(found.of_fresh_sample)
    );
    svg.text(
        area.x,
        area.y - LINE - 9.0,
        &told,
        Font::plain(Anchor::Start),
    );
    let entries = [(sets.latents_name, BLUE), (sets.features_name, GREY)];
    panel.legend(&mut svg, &entries);
    let name = format!("dimension {dimension}");
    panel.finish(&mut svg, &name, &name, "density");
    Some(svg)
}
