//! `timings.svg`: how long each stage took.

use super::figure::Figure;
use super::palette::{BLUE, INK};
use super::panel::GAP;
use super::svg::{Anchor, Font, Rect, Svg, tipped};
use crate::store::{Manifest, RunStages, Stage};
use crate::tables::{bytes, duration};
use anyhow::Result;
use latent_align_stages::figures::PEAK_MEMORY;

/// Pixels from one bar to the next, and the height of a bar.
const PITCH: f64 = 30.0;
const BAR: f64 = 16.0;
/// Pixels left of the bars, and the length of the longest bar.
const NAMES: f64 = 125.0;
const LONGEST: f64 = 260.0;
/// Pixels for the text behind a bar.
const AFTER: f64 = 95.0;

/// The figure of `run`; none if it has no finished stage. A stage with a damaged manifest is left out;
/// the report lists it elsewhere.
///
/// # Errors
/// None so far.
pub fn draw(run: &RunStages) -> Result<Option<Figure>> {
    let folders = Stage::ALL.into_iter().filter_map(|stage| run.folder(stage));
    let stages: Vec<Manifest> = folders
        .filter_map(|folder| Manifest::read(&folder).ok())
        .collect();
    let longest = stages.iter().map(|s| s.seconds).fold(0.0, f64::max);
    if longest <= 0.0 {
        return Ok(None);
    }
    let height = GAP + stages.len() as f64 * PITCH;
    let mut svg = Svg::new(NAMES + LONGEST + AFTER, height);
    for (i, stage) in stages.iter().enumerate() {
        let top = GAP / 2.0 + i as f64 * PITCH;
        let bar = Rect {
            x: NAMES,
            y: top + (PITCH - BAR) / 2.0,
            width: (LONGEST * stage.seconds / longest).max(1.0),
            height: BAR,
        };
        let took = duration(stage.seconds);
        let memory = stage.figures.0.iter().find(|f| f.0 == PEAK_MEMORY);
        let memory = memory.map_or(String::new(), |(_, mib)| {
            format!(", peak memory {}", bytes((mib * 1024.0 * 1024.0) as u64))
        });
        let tip = tipped(&format!("{}: {took}{memory}", stage.stage));
        svg.rect(bar, &format!(r#"{tip}fill="{BLUE}" rx="2""#));
        let middle = top + PITCH / 2.0 + 4.0;
        let name = Font::plain(Anchor::End);
        svg.text(NAMES - 10.0, middle, stage.stage.name(), name);
        let after = Font {
            colour: INK,
            ..Font::plain(Anchor::Start)
        };
        svg.text(bar.x + bar.width + 8.0, middle, &took, after);
    }
    Ok(Some(Figure::of(svg, "")))
}
