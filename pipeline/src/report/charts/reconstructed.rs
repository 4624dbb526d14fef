//! `reconstructions.svg`: reconstructions of values of test data, for data other than images.

use super::figure::Figure;
use super::palette::BLUE;
use super::panel::{Panel, canvas};
use super::regions::thinned;
use super::scale::{range, widened};
use super::svg::series;
use crate::store::{RunStages, Stage};
use anyhow::{Result, bail};
use latent_align_hdf5::read_dataset_f32;

/// The side of the panel.
const SIDE: f64 = 300.0;
/// The largest number of values drawn.
const AT_MOST: usize = 2000;

/// The figure of `run`; none without reconstructions, or if the stage painted a picture of them.
///
/// # Errors
/// A file is damaged.
pub fn draw(run: &RunStages) -> Result<Option<Figure>> {
    let file = |name| run.file(Stage::TrainAutoencoder, name);
    let (Some(file), None) = (file("reconstructions.h5"), file("reconstructions.png")) else {
        return Ok(None);
    };
    let read = |name| -> Result<Vec<f64>> {
        let values = read_dataset_f32(&file, name)?.1;
        Ok(values.into_iter().map(f64::from).collect())
    };
    let (originals, found) = (read("originals")?, read("reconstructions")?);
    let both = [originals.as_slice(), &found].concat();
    let Some(span) = range(&both, 0.0, 1.0).map(|r| widened(r, 0.04)) else {
        bail!("{}: no value is finite", file.display());
    };
    let points: Vec<(f64, f64)> = originals.into_iter().zip(found).collect();
    let points = thinned(&points, AT_MOST);
    let (mut svg, area) = canvas((SIDE, SIDE), 0);
    let panel = Panel::linear(area, span, span);
    panel.rules(&mut svg);
    panel.identity(&mut svg);
    let style = format!(r#"stroke="{BLUE}" stroke-opacity="0.5""#);
    panel.dots(&mut svg, &points, 3.2, &(series("value") + &style));
    let title = "Data that was not trained on";
    panel.finish(&mut svg, title, "original", "reconstruction");
    let caption = "Every value of the first rows against its reconstruction; dashed: the identity.";
    Ok(Some(Figure::of(svg, caption)))
}
