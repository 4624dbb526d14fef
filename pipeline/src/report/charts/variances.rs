//! `variances.svg`: the variance of each dimension of latents and features.

use super::figure::Figure;
use super::palette::{BLUE, GREY};
use super::panel::{Panel, canvas};
use super::scale::widened;
use super::tables::{Table, parquet};
use crate::store::{RunStages, Stage};
use anyhow::{Result, bail};
use latent_align_stages::figures::train_autoencoder as names;

/// The size of the panel.
const SIZE: (f64, f64) = (430.0, 180.0);
/// Dimensions are marked by dots if there are at most this many.
const FEW: usize = 128;
const LATENTS: &str = "latents";
const FEATURES: &str = "features";

/// The figure of `run`; none without latents.
///
/// # Errors
/// The table is damaged.
pub fn draw(run: &RunStages) -> Result<Option<Figure>> {
    let table = parquet(names::VARIANCES);
    let mut stages = [Stage::Transport, Stage::TrainAutoencoder].into_iter();
    let Some(file) = stages.find_map(|stage| run.file(stage, &table)) else {
        return Ok(None);
    };
    let table = Table::read(&file)?;
    let latents = table.pairs(names::DIMENSION, names::LATENT_VARIANCE)?;
    let features = match table.has(names::FEATURE_VARIANCE) {
        true => table.pairs(names::DIMENSION, names::FEATURE_VARIANCE)?,
        false => Vec::new(),
    };
    let all = || latents.iter().chain(&features);
    let highest = all().map(|p| p.1).filter(|v| v.is_finite());
    let highest = highest.fold(0.0, f64::max);
    if latents.is_empty() || highest <= 0.0 {
        bail!("{}: no variance is positive", file.display());
    }
    let last = all().map(|p| p.0).fold(0.0, f64::max);
    let (mut svg, area) = canvas(SIZE, 1);
    let x = widened((0.0, last.max(1.0)), 0.02);
    let mut panel = Panel::linear(area, x, (0.0, 1.06 * highest));
    panel.x = panel.x.of_whole();
    panel.rules(&mut svg);
    let mut entries = Vec::new();
    for (name, colour, points) in [(FEATURES, GREY, &features), (LATENTS, BLUE, &latents)] {
        if points.is_empty() {
            continue;
        }
        panel.curve(&mut svg, name, colour, points);
        if points.len() <= FEW {
            panel.dots(&mut svg, points, 5.0, &format!(r#"stroke="{colour}""#));
        }
        entries.insert(0, (name, colour));
    }
    panel.legend(&mut svg, &entries);
    panel.finish(
        &mut svg,
        "Variance of each dimension",
        "dimension",
        "variance",
    );
    let caption = "A dimension in which latents vary much less than features is narrow; one that does \
             not vary carries no information.";
    Ok(Some(Figure::of(svg, caption)))
}
