//! A flow on disk: what every later stage and any Python script reads.
//!
//! | file | holds |
//! |---|---|
//! | `flow.safetensors` | the averaged weights in PyTorch's names and layouts; in the header the network's configuration and the convention of time |
//! | `normalisation.safetensors` | `mean` `[D]` and `matrix` [D, d] in f64: a feature x becomes the point (x - mean) matrix |
//! | `target.json` | the analytic density of the features, where they have one |
//! | `held_out.h5`, `test.h5` | features of these parts as points of the flow: see [`KeptPoints`] |
//!
//! An imported flow has the first two only.

use super::config::VelocityNetworkConfig;
use super::exact::ExactMixture;
use super::velocity_network::VelocityNetwork;
use crate::data::{
    Attribute, Described, Normaliser, OutData, Part, has_dataset, read_dataset_f32,
    read_dataset_i64, write_described,
};
use crate::error::{Error, Result};
use crate::persist::{
    METADATA, load_weights, must_hold, read_header, read_whole, save_tensors, save_weights,
};
use crate::problems::Problems;
use crate::random::Streams;
use crate::targets::{GaussianMixture, Target};
use crate::tensors::spread;
use burn::module::Module;
use burn::tensor::{DType, Device};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// The format of `flow.safetensors`; a reader refuses a newer one.
const FORMAT: &str = "latent-align flow 1";
/// How to get a file that can be read.
const REMEDY: &str = "pretrain the flow again";
/// What the weights mean.
const CONVENTION: &str =
    "t = 0 noise, t = 1 data; x_t = (1 - t) noise + t data; velocity = data - noise";

/// A pretrained flow and the normalisation its points went through.
pub struct Flow {
    /// The velocity network.
    pub network: VelocityNetwork,
    /// From features to the flow's points.
    pub normaliser: Normaliser,
    /// The analytic density of the features (before normalisation), where they have one.
    pub target: Option<Target>,
}

/// What the header of `flow.safetensors` says of the network.
#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    convention: String,
    dimensions: usize,
    network: VelocityNetworkConfig,
}

/// What the header of `normalisation.safetensors` says.
#[derive(Serialize, Deserialize)]
struct About {
    meaning: String,
    projection_seed: Option<u64>,
}

impl Flow {
    /// Writes the flow into the directory `dir`. `network` is the configuration of its network.
    pub fn save(&self, network: &VelocityNetworkConfig, dir: &Path) -> Result<()> {
        let header = Header {
            format: FORMAT.to_owned(),
            convention: CONVENTION.to_owned(),
            dimensions: self.normaliser.output_width,
            network: network.clone(),
        };
        save_weights(&self.network, &dir.join("flow.safetensors"), &json(&header))?;
        save_normaliser(&self.normaliser, &dir.join("normalisation.safetensors"))?;
        if let Some(target) = &self.target {
            let path = dir.join("target.json");
            fs::write(&path, json(target)).map_err(|e| Error::file(&path, e))?;
        }
        Ok(())
    }

    /// Reads the flow in the directory `dir` onto `device`, its weights frozen.
    pub fn load(dir: &Path, device: &Device) -> Result<Self> {
        let header = header_of(dir)?;
        let mut network = header
            .network
            .init(header.dimensions, Streams::new(0), device);
        load_weights(&mut network, &dir.join("flow.safetensors"))?;
        let target_path = dir.join("target.json");
        let target = match fs::read(&target_path) {
            Ok(bytes) => Some(
                serde_json::from_slice(&bytes).map_err(|error| Error::file(&target_path, error))?,
            ),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::file(&target_path, error)),
        };
        Ok(Self {
            network: network.no_grad(),
            normaliser: load_normaliser(&dir.join("normalisation.safetensors"))?,
            target,
        })
    }
}

impl Flow {
    /// The velocity that a perfect flow would have, where the features follow a Gaussian mixture.
    pub fn exact_field(&self, dtype: DType, device: &Device) -> Option<ExactMixture> {
        Some(ExactMixture::new(&self.mixture()?, dtype, device))
    }

    /// The Gaussian mixture that the flow's points follow, where the features follow one.
    pub fn mixture(&self) -> Option<GaussianMixture> {
        let mixture = self.target.as_ref()?.as_mixture()?;
        Some(mixture.affine(&self.normaliser))
    }

    /// The analytic NLL in nats of each of `points` [n, d], as points of the flow, where the features
    /// have a density that survives the normalisation.
    pub fn analytic_nll(&self, points: &[f32]) -> Option<Vec<f64>> {
        let target = self.target.as_ref()?;
        let wide = |row: &[f32]| -> Vec<f64> { row.iter().map(|&x| f64::from(x)).collect() };
        // Densities are prepared once: a mixture factorises its covariances, a curve lays out its rule.
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
}

/// What attributes say of points of the flow.
pub fn about_points() -> [(&'static str, Attribute); 2] {
    let text = |text: &str| Attribute::Text(text.to_owned());
    [
        ("space", text("points of the flow: (feature - mean) matrix")),
        ("units", text("none: standardised by the normalisation")),
    ]
}

/// Features of a part that was not trained on, kept with the flow as its points, in `held_out.h5` or
/// `test.h5`:
///
/// | dataset | holds |
/// |---|---|
/// | `/points` [n, d] f32 | the points; attributes say their space and units |
/// | `/items` `[n]` i64 | the item of each; the T tokens of one stand together (attribute `tokens`) |
#[derive(Debug, Clone, PartialEq)]
pub struct KeptPoints {
    /// Row-major [n, d].
    pub values: Vec<f32>,
    /// d.
    pub width: usize,
    /// The item of each.
    pub items: Vec<i64>,
    /// T, the points of an item, which belong together: 1 for features [N, D].
    pub tokens: usize,
}

impl KeptPoints {
    /// At most `at_most` of the points [m, d], evenly spread, as whole items (one at least).
    pub fn some(&self, at_most: usize) -> Vec<f32> {
        let items = match at_most {
            0 => 0,
            some => (some / self.tokens).max(1),
        };
        spread(&self.values, self.tokens * self.width, items)
    }

    /// Writes them into the directory `dir`.
    ///
    /// # Errors
    /// File errors.
    pub fn save(&self, part: Part, dir: &Path) -> Result<()> {
        let count = self.items.len();
        write_described(
            &kept_file(part, dir),
            &[
                Described {
                    name: "points",
                    shape: &[count, self.width],
                    values: OutData::F32(&self.values),
                    about: &about_points(),
                },
                Described {
                    name: "items",
                    shape: &[count],
                    values: OutData::I64(&self.items),
                    about: &[("meaning", Attribute::Text("the item of each point".into()))],
                },
            ],
            &[
                ("part", Attribute::Text(part.word().into())),
                ("tokens", Attribute::Int(self.tokens as i64)),
            ],
        )
    }

    /// Those of `part` kept with the flow in `dir`; none where it has none, as an imported flow.
    ///
    /// # Errors
    /// An input error for a file that holds something else.
    pub fn load(part: Part, dir: &Path) -> Result<Option<Self>> {
        let path = kept_file(part, dir);
        if !path.is_file() || !has_dataset(&path, "points")? {
            return Ok(None);
        }
        let (shape, values) = read_dataset_f32(&path, "points")?;
        let (_, items) = read_dataset_i64(&path, "items")?;
        let tokens = items.iter().take_while(|&&item| item == items[0]).count();
        match shape[..] {
            [n, width] if n == items.len() && n > 0 && n % tokens == 0 => Ok(Some(Self {
                values,
                width,
                items,
                tokens,
            })),
            _ => Err(Error::input(format!(
                "{}: found points {shape:?} of {} items, expected [n, d] with n items of equally many tokens; {REMEDY}",
                path.display(),
                items.len(),
            ))),
        }
    }

    /// Those of the part that is shown, with it: of the test part, or of the held-out one where there is
    /// no other.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn shown(dir: &Path) -> Result<Option<(Part, Self)>> {
        for part in [Part::Test, Part::HeldOut] {
            if let Some(kept) = Self::load(part, dir)? {
                return Ok(Some((part, kept)));
            }
        }
        Ok(None)
    }
}

fn kept_file(part: Part, dir: &Path) -> PathBuf {
    dir.join(format!("{}.h5", part.key()))
}

/// The width d of the points of the flow in `dir`, without reading its weights.
pub fn stored_width(dir: &Path) -> Result<usize> {
    Ok(header_of(dir)?.dimensions)
}

fn header_of(dir: &Path) -> Result<Header> {
    let path = dir.join("flow.safetensors");
    let header: Header = read_header(&path, FORMAT, REMEDY)?;
    let mut problems = Problems::new();
    header.network.check(&mut problems);
    problems.in_file(&path)?;
    must_hold(&path, header.network.parameters(header.dimensions), REMEDY)?;
    Ok(header)
}

fn save_normaliser(normaliser: &Normaliser, path: &Path) -> Result<()> {
    let bytes =
        |values: &[f64]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
    let (mean, matrix) = (bytes(&normaliser.mean), bytes(&normaliser.matrix()));
    let (from, to) = (normaliser.input_width, normaliser.output_width);
    let view = |shape: Vec<usize>, data| {
        TensorView::new(Dtype::F64, shape, data).map_err(|error| Error::file(path, error))
    };
    let tensors = [
        ("mean", view(vec![from], mean.as_slice())?),
        ("matrix", view(vec![from, to], matrix.as_slice())?),
    ];
    let about = About {
        meaning: "a feature x [D] becomes the point (x - mean) matrix [d]".to_owned(),
        projection_seed: normaliser.projection_seed,
    };
    save_tensors(tensors, json(&about), path)
}

fn load_normaliser(path: &Path) -> Result<Normaliser> {
    let bytes = read_whole(path)?;
    let fail = |error: &dyn std::fmt::Display| Error::file(path, error);
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| fail(&e))?;
    let values = |name: &str| -> Result<(Vec<usize>, Vec<f64>)> {
        let view = tensors.tensor(name).map_err(|e| fail(&e))?;
        if view.dtype() != Dtype::F64 {
            return Err(fail(&format!(
                "`{name}` is {:?}, expected F64",
                view.dtype()
            )));
        }
        let values = view
            .data()
            .chunks_exact(8)
            .map(|b| f64::from_le_bytes(b.try_into().expect("eight bytes")))
            .collect();
        Ok((view.shape().to_vec(), values))
    };
    let (_, mean) = values("mean")?;
    let (shape, matrix) = values("matrix")?;
    let [from, to] = shape[..] else {
        return Err(fail(&format!(
            "`matrix` has shape {shape:?}, expected [D, d]"
        )));
    };
    if mean.len() != from {
        return Err(fail(&format!(
            "`mean` has {} entries, expected {from}",
            mean.len()
        )));
    }
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| fail(&e))?;
    let about = (metadata.metadata().as_ref())
        .and_then(|m| m.get(METADATA))
        .and_then(|about| serde_json::from_str::<About>(about).ok());
    let projection_seed = about.and_then(|about| about.projection_seed);
    Normaliser::from_parts(mean, matrix, to, projection_seed)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data serialises")
}
