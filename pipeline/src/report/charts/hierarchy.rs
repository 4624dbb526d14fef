//! `hierarchy.svg`: the flow as a hierarchical VAE, its negative ELBO by the number of levels.

use super::figure::Figure;
use super::palette::{BLUE, GREY, ORANGE};
use super::panel::{Panel, canvas};
use super::scale::{Scale, range, widened};
use super::tables::{Table, parquet};
use crate::store::{RunStages, Stage};
use anyhow::Result;
use latent_align_stages::figures::estimate_nll as names;

/// The size of the panel.
const SIZE: (f64, f64) = (430.0, 200.0);

/// The figure of `run`; none if no levels were configured.
///
/// # Errors
/// The table is damaged.
pub fn draw(run: &RunStages) -> Result<Option<Figure>> {
    let table = parquet(names::HIERARCHY_TABLE);
    let Some(file) = run.file(Stage::EstimateNll, &table) else {
        return Ok(None);
    };
    let table = Table::read(&file)?;
    let elbos = table.pairs(names::LEVELS, names::MEAN_ELBO)?;
    let constants = [
        ("likelihood-weighted bound", ORANGE, names::BOUND_BESIDE),
        ("NLL by the ODE", GREY, names::NLL_BESIDE),
    ];
    let mut lines = vec![("negative ELBO", BLUE, elbos)];
    for (name, colour, column) in constants {
        lines.push((name, colour, table.pairs(names::LEVELS, column)?));
    }
    let all = || lines.iter().flat_map(|line| &line.2);
    let (levels, values): (Vec<f64>, Vec<f64>) = all().copied().unzip();
    let (Some(x), Some(y)) = (range(&levels, 0.0, 1.0), range(&values, 0.0, 1.0)) else {
        return Ok(None);
    };
    let (mut svg, area) = canvas(SIZE, 1);
    let mut panel = Panel::linear(area, x, widened(y, 0.06));
    let pixels = (area.x + 12.0, area.x + area.width - 12.0);
    panel.x = Scale::logarithmic(x, pixels);
    panel.rules(&mut svg);
    for (name, colour, points) in &lines {
        panel.curve(&mut svg, name, colour, points);
    }
    let (_, colour, elbos) = &lines[0];
    panel.dots(&mut svg, elbos, 5.0, &format!(r#"stroke="{colour}""#));
    let entries: Vec<(&str, &str)> = lines.iter().map(|line| (line.0, line.1)).collect();
    panel.legend(&mut svg, &entries);
    let title = "The flow as a hierarchical VAE";
    panel.finish(&mut svg, title, "levels", "nats per test feature");
    let caption = "With more levels, the negative ELBO decreases to the likelihood-weighted bound \
            of the same velocity. The remaining difference to the ODE's NLL exists because the \
            density of the ODE is not that of the diffusion.";
    Ok(Some(Figure::of(svg, caption)))
}
