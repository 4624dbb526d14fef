//! Export of a run as TensorBoard event files, one directory per stage.

use super::event::{EventFile, Summary};
use super::{Artifact, Files, Source};
use crate::config::flatten;
use crate::report::Table;
use crate::store::METRICS;
use anyhow::{Context as _, Result};
use latent_align_stages::Error;
use latent_align_stages::figures::curves::STEP;
use std::path::Path;

/// A fixed name, so that a second export replaces the first one.
const FILE: &str = "events.out.tfevents.latent-align";

/// The event files of `source`, as `STAGE/events.out.tfevents.latent-align`.
///
/// # Errors
/// An error for a file that differs from its manifest, or cannot be read.
pub fn tensorboard(source: &Source) -> Result<Files> {
    let mut files = Files::default();
    for artifact in &source.artifacts {
        files.add(
            Path::new(artifact.stage().name()).join(FILE),
            events(artifact)?,
        );
    }
    Ok(files)
}

/// The events of a stage. Learning curves have steps but no times, so every event has the time at
/// which the stage finished.
fn events(artifact: &Artifact) -> Result<Vec<u8>> {
    let manifest = &artifact.manifest;
    let finished = manifest.finished.seconds().unwrap_or(0) as f64;
    let started = manifest.started.seconds().unwrap_or(0) as f64;
    let mut file = EventFile::new(finished);
    let yaml = serde_yaml::to_string(&manifest.config).context("the configuration")?;
    let about = Summary::default()
        .hyperparameters(&flatten(&manifest.config), started)
        .text("configuration", &format!("```yaml\n{yaml}```"));
    file.add(0, &about);
    let last = match artifact.output(METRICS)? {
        Some(metrics) => learning_curves(&metrics, &mut file)?,
        None => 0,
    };
    let mut end = Summary::default();
    for (name, value) in &manifest.figures.0 {
        end = end.scalar(&format!("figures/{name}"), *value);
    }
    for name in artifact.outputs("png") {
        if let Some(path) = artifact.output(name)? {
            end = image(end, &path)?;
        }
    }
    file.add(last, &end.session_end(finished));
    Ok(file.into_bytes())
}

/// Adds an event for each row of `metrics`; returns the last step.
fn learning_curves(metrics: &Path, file: &mut EventFile) -> Result<u64> {
    let table = Table::read(metrics)?;
    let steps = table.numbers(STEP)?;
    let mut curves = Vec::new();
    for name in table.names().filter(|name| *name != STEP) {
        curves.push((name, table.numbers_or_none(name)?));
    }
    for (row, &step) in steps.iter().enumerate() {
        let mut summary = Summary::default();
        for (name, values) in &curves {
            if let Some(value) = values[row] {
                summary = summary.scalar(name, value);
            }
        }
        file.add(step as u64, &summary);
    }
    Ok(steps.last().map_or(0, |&step| step as u64))
}

fn image(summary: Summary, path: &Path) -> Result<Summary> {
    let png = std::fs::read(path).map_err(|e| Error::file(path, e))?;
    let reader = png::Decoder::new(std::io::Cursor::new(&png)).read_info();
    let reader = reader.map_err(|e| Error::file(path, e))?;
    let info = reader.info();
    let tag = path.file_stem().unwrap_or_default().to_string_lossy();
    let channels = info.color_type.samples() as u64;
    Ok(summary.image(&tag, [info.width, info.height], channels, &png))
}
