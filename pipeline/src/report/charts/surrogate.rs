//! `surrogate.svg`: each surrogate of the NLL against the NLL, for each region.

use super::agreements::Agreements;
use super::figure::Figure;
use super::palette::{BAD, BLUE, FAIR, GOOD};
use super::panel::{GAP, LINE, Panel, canvas};
use super::regions::{Regions, thinned};
use super::scale::{range, widened};
use super::svg::{Anchor, Font, Svg, series};
use crate::store::RunStages;
use crate::tables::RegionVerdict;
use anyhow::Result;
use latent_align_stages::alignment::Weighting;
use latent_align_stages::figures::{estimate_nll as names, filled};

/// The size of a panel.
const SIZE: (f64, f64) = (370.0, 230.0);
/// The share of the values cut at each end of an axis.
const CUT: f64 = 0.005;
/// The largest number of points drawn in a panel.
const AT_MOST: usize = 2000;
/// The number of translucent layers in which dots are drawn, so that dense areas are darker.
const SHEETS: usize = 8;

/// The figure of `run`; none if no likelihoods were estimated.
///
/// # Errors
/// A table is missing or damaged.
pub fn draw(run: &RunStages) -> Result<Option<Figure>> {
    let Some(regions) = Regions::of(run)? else {
        return Ok(None);
    };
    let agreements = Agreements::of(run)?;
    let names: Vec<&str> = (regions.names().into_iter())
        .filter(|name| *name != names::GRID)
        .collect();
    // a prior without a velocity has no alignment loss
    let losses = Weighting::ALL.map(|weighting| filled(names::LOSS, &[&weighting]));
    if names.is_empty() || !losses.iter().all(|loss| regions.has(loss)) {
        return Ok(None);
    }
    let mut caption = "Axes span the 0.5th to the 99.5th percentile of the points; figures are \
        over all points, with 95 % intervals over points and draws. Dashed: the identity, where a \
        surrogate in nats equals the NLL. The slope is that of the NLL on the surrogate."
        .to_owned();
    if names.iter().any(|name| regions.count(name) > AT_MOST) {
        caption.push_str(&format!(" Of each region, {AT_MOST} points are drawn."));
    }
    let mut panels = Vec::new();
    for region in &names {
        for weighting in Weighting::ALL {
            panels.push(draw_panel(weighting, &regions, region, &agreements)?);
        }
    }
    Ok(Some(Figure {
        panels,
        columns: Weighting::ALL.len(),
        caption,
    }))
}

fn draw_panel(
    weighting: Weighting,
    regions: &Regions,
    region: &str,
    agreements: &Agreements,
) -> Result<Svg> {
    let (mut drawn, area) = canvas(SIZE, 2);
    drawn.height += GAP / 2.0;
    let svg = &mut drawn;
    let xs = regions.numbers(region, &filled(names::LOSS, &[&weighting]))?;
    let reference = agreements.reference(region);
    let column = match reference {
        names::ANALYTIC => names::NLL_ANALYTIC,
        _ => regions.own_nll(),
    };
    // a density may be zero somewhere
    let known: Vec<(f64, f64)> = (xs.into_iter().zip(regions.numbers(region, column)?))
        .filter(|(_, y)| y.is_finite())
        .collect();
    let (xs, ys): (Vec<f64>, Vec<f64>) = known.into_iter().unzip();
    let span =
        |values: &[f64]| range(values, CUT, 1.0 - CUT).map_or((0.0, 1.0), |r| widened(r, 0.03));
    let panel = Panel::linear(area, span(&xs), span(&ys));
    panel.rules(svg);
    let points: Vec<(f64, f64)> = xs.into_iter().zip(ys).collect();
    let points = thinned(&points, AT_MOST);
    for sheet in 0..SHEETS {
        let dots: Vec<_> = points.iter().skip(sheet).step_by(SHEETS).copied().collect();
        let style = series(region) + &format!(r#"stroke="{BLUE}" stroke-opacity="0.45""#);
        panel.dots(svg, &dots, 3.2, &style);
    }
    if weighting.in_nats() {
        panel.identity(svg);
    }
    let top = area.y;
    let title = format!("{region}: {}", weighting.surrogate());
    let figure = |name| agreements.figure(region, weighting.surrogate(), name);
    let correlations =
        [names::SPEARMAN, names::PEARSON].map(|name| format!("{name} {}", figure(name)));
    let plain = Font::plain(Anchor::Start);
    svg.text(area.x, top - LINE - 9.0, &correlations.join(", "), plain);
    let slope = format!("slope {}", figure(names::SLOPE));
    svg.text(area.x, top - 9.0, &slope, plain);
    if let Some(verdict) = agreements.verdict(region, weighting.surrogate()) {
        let colour = match verdict {
            RegionVerdict::Fails => BAD,
            RegionVerdict::RanksOnly => FAIR,
            RegionVerdict::Holds => GOOD,
        };
        let font = Font {
            bold: true,
            colour,
            ..Font::plain(Anchor::End)
        };
        let words = format!("verdict: {}", verdict.word());
        svg.text(area.x + area.width, top - 9.0, &words, font);
    }
    let unit = if weighting.in_nats() {
        "nats"
    } else {
        "no unit"
    };
    let x = format!("{} ({unit})", weighting.surrogate());
    panel.finish(svg, &title, &x, &format!("{reference} (nats)"));
    Ok(drawn)
}
