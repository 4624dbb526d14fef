//! A prior on disk, as read by later stages and by the Python package.
//!
//! | file | contents |
//! |---|---|
//! | `flow.safetensors` | the averaged weights with PyTorch's names and layouts; the header holds the kind of prior and its configuration, the shape of a point, how features are cut into tokens and, for a flow, the convention of time |
//! | `normalisation.safetensors` | `mean` `[D]` and `matrix` [D, d] in f64: a feature x, or each of its patches, becomes (x - mean) matrix |
//! | `target.json` | the analytic density of the features, if there is one |
//! | `held_out.h5`, `test.h5`, `train.h5` | features of these parts as points: see [`super::KeptPoints`] |
//!
//! An imported flow has the first two only.

use super::logit::OfLogits;
use super::normalisation::{load_normaliser, save_normaliser};
use super::{ConditionKind, ExactMixture, Layout, ModelConfig, Placement, PointShape, Prior};
use crate::data::Normaliser;
use crate::error::{Error, Result};
use crate::persist::{must_hold, read_header};
use crate::problems::Problems;
use crate::targets::{GaussianMixture, Target};
use burn::tensor::{DType, Device};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// The format of `flow.safetensors`; readers refuse newer ones.
const FORMAT: &str = "latent-align flow 1";
/// How to obtain a readable file.
const REMEDY: &str = "pretrain the flow again";
/// The convention of a velocity network's weights.
const CONVENTION: &str =
    "t = 0 noise, t = 1 data; x_t = (1 - t) noise + t data; velocity = data - noise";

/// A fitted prior and the normalisation of its points.
pub struct Flow {
    pub prior: Box<dyn Prior>,
    /// From features to tokens of width d, or to a whole point that is cut into tokens.
    pub normaliser: Normaliser,
    /// How features are laid out as points.
    pub layout: Layout,
    /// The analytic density of the features before normalisation, if known; of single tokens.
    pub target: Option<Target>,
}

/// The header of `flow.safetensors`.
#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    convention: Option<String>,
    /// d.
    dimensions: usize,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    tokens: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    condition: Option<ConditionKind>,
    #[serde(default, skip_serializing_if = "Layout::is_plain")]
    layout: Layout,
    /// The kind and its configuration.
    #[serde(flatten)]
    model: serde_json::Map<String, serde_json::Value>,
}

fn one() -> usize {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference
fn is_one(tokens: &usize) -> bool {
    *tokens == 1
}

/// A stored prior without its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    pub model: ModelConfig,
    pub shape: PointShape,
    /// What points are conditioned on.
    pub condition: Option<ConditionKind>,
    pub layout: Layout,
}

/// Reads the prior in `dir` without its weights.
///
/// # Errors
/// File errors; an input error if the header is not that of a prior, or is larger than the file.
pub fn stored(dir: &Path) -> Result<Stored> {
    let path = dir.join("flow.safetensors");
    let mut header: Header = read_header(&path, FORMAT, REMEDY)?;
    // files written before there were kinds
    let kind = (header.model.entry("kind")).or_insert_with(|| "flow_matching".into());
    let kind = kind.clone();
    let model: ModelConfig = serde_json::from_value(header.model.into()).map_err(|error| {
        Error::input(format!(
            "{}: its header names a prior of kind {kind}, unknown to this version ({error}); {REMEDY}",
            path.display()
        ))
    })?;
    let shape = PointShape {
        tokens: header.tokens,
        width: header.dimensions,
    };
    let mut problems = Problems::new();
    problems.require(shape.elements() > 0, "dimensions", 0, "at least 1");
    model.kind().check(&mut problems);
    problems.in_file(&path)?;
    let parameters = model.kind().parameters(shape, header.condition);
    must_hold(&path, parameters, REMEDY)?;
    Ok(Stored {
        model,
        shape,
        condition: header.condition,
        layout: header.layout,
    })
}

impl Flow {
    /// Writes the prior into the directory `dir`; `model` is its configuration.
    ///
    /// # Errors
    /// File errors.
    pub fn save(&self, model: &ModelConfig, dir: &Path) -> Result<()> {
        let shape = self.prior.shape();
        let of_flow = matches!(model, ModelConfig::FlowMatching(_));
        let serde_json::Value::Object(model) =
            serde_json::to_value(model).expect("plain data serialises")
        else {
            unreachable!("an internally tagged enum")
        };
        let header = Header {
            format: FORMAT.to_owned(),
            convention: of_flow.then(|| CONVENTION.to_owned()),
            dimensions: shape.width,
            tokens: shape.tokens,
            condition: self.prior.condition(),
            layout: self.layout,
            model,
        };
        self.prior
            .save(&dir.join("flow.safetensors"), &json(&header))?;
        save_normaliser(&self.normaliser, &dir.join("normalisation.safetensors"))?;
        if let Some(target) = &self.target {
            let path = dir.join("target.json");
            fs::write(&path, json(target)).map_err(|e| Error::file(&path, e))?;
        }
        Ok(())
    }

    /// Reads the prior in the directory `dir` with frozen weights, on the device and in the precision of `place`.
    ///
    /// # Errors
    /// File errors; an input error if the files are not those of a prior.
    pub fn load(dir: &Path, place: &Placement) -> Result<Self> {
        let Stored {
            model,
            shape,
            condition,
            layout,
        } = stored(dir)?;
        let weights = dir.join("flow.safetensors");
        let target_path = dir.join("target.json");
        let target = match fs::read(&target_path) {
            Ok(bytes) => Some(
                serde_json::from_slice(&bytes).map_err(|error| Error::file(&target_path, error))?,
            ),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::file(&target_path, error)),
        };
        let normaliser = load_normaliser(&dir.join("normalisation.safetensors"))?;
        let mut problems = Problems::new();
        layout.check(shape, &normaliser, &mut problems);
        problems.in_file(&weights)?;
        Ok(Self {
            prior: OfLogits::wrapping(
                model.kind().load(&weights, shape, condition, place)?,
                layout.logit,
            ),
            normaliser,
            layout,
            target,
        })
    }
}

impl Flow {
    /// The exact velocity field, if the features follow a Gaussian mixture.
    pub fn exact_field(&self, dtype: DType, device: &Device) -> Option<ExactMixture> {
        Some(ExactMixture::new(&self.mixture()?, dtype, device))
    }

    /// The Gaussian mixture of single-feature points, if the features follow one.
    pub fn mixture(&self) -> Option<GaussianMixture> {
        exact_mixture(self.target.as_ref(), &self.normaliser, self.prior.shape())
    }

    /// The analytic NLL in nats of each of `points` [n, T d], points of one feature, if the features have a density
    /// that remains known after normalisation.
    pub fn analytic_nll(&self, points: &[f32]) -> Option<Vec<f64>> {
        let target = self.target.as_ref()?;
        if self.normalised_rows() != 1 {
            return None;
        }
        let wide = |row: &[f32]| -> Vec<f64> { row.iter().map(|&x| f64::from(x)).collect() };
        // Densities are prepared once: a mixture factorises its covariances, a curve computes its quadrature rule.
        if let Some(mixture) = self.mixture() {
            let density = mixture.density()?;
            let rows = points.chunks(self.normaliser.output_width);
            return Some(rows.map(|row| -density.log_density(&wide(row))).collect());
        }
        let density = target.density()?;
        let features = self.normaliser.inverse(points)?;
        let log_det = self.normaliser.log_abs_det()?;
        let rows = features.chunks(self.normaliser.input_width);
        Some(
            rows.map(|row| log_det - density.log_density(&wide(row)))
                .collect(),
        )
    }

    /// `log |det|` of the normalisation of a whole point, in nats; None if it is not invertible.
    pub fn log_abs_det(&self) -> Option<f64> {
        let of_row = self.normaliser.log_abs_det()?;
        Some(self.normalised_rows() as f64 * of_row)
    }
}

/// The Gaussian mixture of normalised single-feature points, if the features follow one.
pub(crate) fn exact_mixture(
    target: Option<&Target>,
    normaliser: &Normaliser,
    shape: PointShape,
) -> Option<GaussianMixture> {
    let mixture = target?.as_mixture()?;
    (shape.elements() == normaliser.output_width).then(|| mixture.affine(normaliser))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data serialises")
}
