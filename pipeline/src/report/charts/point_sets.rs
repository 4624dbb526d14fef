//! The target and the latents of a run, both as points of the flow.

use crate::store::{RunStages, Stage};
use anyhow::{Result, bail};
use latent_align_hdf5::{has_dataset, read_dataset_f32};
use latent_align_stages::figures::estimate_nll::{
    FREE_POINTS, HELD_OUT_FEATURES, HELD_OUT_LATENTS, TEST_FEATURES, TEST_LATENTS,
};
use std::path::Path;

/// The largest number of points used per set; more would not change a figure.
const AT_MOST: usize = 20_000;

/// Features and latents of test data, or of held-out data without a test part.
pub struct PointSets {
    /// Which part the features are from.
    pub features_name: &'static str,
    /// Which part the latents are from.
    pub latents_name: &'static str,
    /// Dimensions of a point.
    pub width: usize,
    /// Row-major [n, width].
    pub features: Vec<f32>,
    /// Row-major [m, width].
    pub latents: Vec<f32>,
}

impl PointSets {
    /// Reads those of `run`; none if it has no latents, or a flow that was imported without
    /// features.
    ///
    /// # Errors
    /// A file is damaged, or features and latents differ in width.
    pub fn of(run: &RunStages) -> Result<Option<Self>> {
        let features = [
            (TEST_FEATURES, "test.h5"),
            (HELD_OUT_FEATURES, "held_out.h5"),
        ];
        let features = (features.into_iter())
            .find_map(|(name, file)| Some((name, run.file(Stage::PretrainFlow, file)?)));
        let latents = [Stage::Transport, Stage::TrainAutoencoder]
            .into_iter()
            .find_map(|stage| run.file(stage, "latents.h5"));
        let Some(((features_name, features), latents)) = features.zip(latents) else {
            return Ok(None);
        };
        if !has_dataset(&features, "points")? {
            return Ok(None);
        }
        let (width, features) = read(&features, "points")?;
        let sets = [
            (TEST_LATENTS, "test_latents"),
            (FREE_POINTS, "points"),
            (HELD_OUT_LATENTS, "held_out_latents"),
        ];
        let mut found = None;
        for (name, dataset) in sets {
            if found.is_none() && has_dataset(&latents, dataset)? {
                found = Some((name, dataset));
            }
        }
        let Some((latents_name, dataset)) = found else {
            return Ok(None);
        };
        let (own, latents) = read(&latents, dataset)?;
        if own != width || width == 0 {
            bail!("features have {width} dimensions and latents {own}");
        }
        if features.is_empty() || latents.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            features_name,
            latents_name,
            width,
            features,
            latents,
        }))
    }

    /// The finite values of one dimension of `rows`.
    pub fn dimension(&self, rows: &[f32], dimension: usize) -> Vec<f64> {
        let column = rows.iter().skip(dimension).step_by(self.width);
        column
            .map(|v| f64::from(*v))
            .filter(|v| v.is_finite())
            .collect()
    }
}

/// The last axis of a dataset and its values, rows evenly thinned.
fn read(file: &Path, name: &str) -> Result<(usize, Vec<f32>)> {
    let (shape, values) = read_dataset_f32(file, name)?;
    let width = shape.last().copied().unwrap_or(0);
    let rows = values.len() / width.max(1);
    if rows <= AT_MOST {
        return Ok((width, values));
    }
    let chosen = (0..AT_MOST).map(|i| i * rows / AT_MOST);
    let thinned = chosen.flat_map(|row| values[row * width..(row + 1) * width].to_vec());
    Ok((width, thinned.collect()))
}
