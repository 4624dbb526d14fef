//! Imports flows: checkpoints of the paper's released code (MAR's `SimpleMLPAdaLN`), as `.pt` or safetensors.
//!
//! The released ImageNet code runs time from data (t = 0) to noise (t = 1) with velocity noise - data. Ours is
//! `v(x, t) = -v'(x, 1 - t)`. Both changes are folded into the weights: the sign into the last layer, and time
//! into the first. With `e(t) = [cos(s t f), sin(s t f)]`,
//!
//! ```text
//! cos(s (1 - t) f) = cos(s f) cos(s t f) + sin(s f) sin(s t f)
//! sin(s (1 - t) f) = sin(s f) cos(s t f) - cos(s f) sin(s t f)
//! ```
//!
//! so that `W e(1 - t) = W R e(t)` with a fixed orthogonal R.

use super::config::VelocityNetworkConfig;
use super::network::embedding_frequencies;
use super::{FlowMatching, VelocityFlow};
use crate::context::{Context, Summary};
use crate::data::Normaliser;
use crate::error::{Error, Result};
use crate::figures::{PARAMETERS, pretrain_flow as names};
use crate::persist::{file_size, load_weights_from_bytes, read_whole};
use crate::priors::{Flow, Layout, ModelConfig};
use crate::problems::Problems;
use crate::random::Streams;
use pytorch_reader::PytorchReader;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Settings of an import.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportConfig {
    /// A `.pt` / `.pth` or `.safetensors` file.
    pub file: PathBuf,
    /// The dictionary in a `.pt` file that holds the weights; by default `ema` if present, else `model`, else
    /// the top level.
    pub key: Option<String>,
    /// Direction of time in the imported flow.
    pub time: TimeDirection,
    /// Factor that the original code applies to t in [0, 1] before its sinusoidal embedding.
    pub time_scale: f64,
    /// Factor that was applied to features before the imported flow.
    pub feature_scale: f64,
}

/// Direction of time in a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeDirection {
    /// t = 0 is noise, velocity = data - noise: this project, and the paper's toy examples.
    NoiseToData,
    /// t = 0 is data, velocity = noise - data: the paper's ImageNet code.
    DataToNoise,
}

/// A tensor in PyTorch's layout.
struct Weights {
    shape: Vec<usize>,
    values: Vec<f32>,
}

type Checkpoint = BTreeMap<String, Weights>;

/// Reads an imported flow and writes it as a flow artifact into the directory of `context`.
///
/// # Errors
/// An input error for a checkpoint that is not a velocity network of this architecture, naming the file and the
/// tensors that are missing, misshapen or not finite; file errors.
pub fn import(config: &ImportConfig, context: &Context) -> Result<Summary> {
    let (network, flow) = read(config, &context.device)?;
    let model = FlowMatching {
        network: network.clone(),
        ..FlowMatching::default()
    };
    flow.save(&ModelConfig::FlowMatching(model), &context.dir)?;
    let mut summary = Summary::default();
    summary.add(names::WIDTH, flow.normaliser.output_width as f64);
    summary.add(names::NETWORK_WIDTH, network.width as f64);
    summary.add(names::NETWORK_BLOCKS, network.blocks as f64);
    summary.add(PARAMETERS, flow.prior.parameters() as f64);
    Ok(summary)
}

/// Reads the flow in a checkpoint.
pub(super) fn read(
    config: &ImportConfig,
    device: &burn::tensor::Device,
) -> Result<(VelocityNetworkConfig, Flow)> {
    let path = &config.file;
    let mut weights = renamed(read_checkpoint(path, config.key.as_deref())?, path)?;
    refuse_non_finite(&weights, path)?;
    let (network, dimensions) = infer(&weights, config.time_scale, path)?;
    if config.time == TimeDirection::DataToNoise {
        reverse_time(&mut weights, config.time_scale);
    }
    let mut module = network.init(dimensions, Streams::new(0), device);
    load_weights_from_bytes(&mut module, serialise(&weights, path)?, path)?;
    let flow = Flow {
        prior: Box::new(VelocityFlow::of(module)),
        normaliser: Normaliser::scale(dimensions, config.feature_scale),
        layout: Layout::default(),
        target: None,
    };
    Ok((network, flow))
}

fn read_checkpoint(path: &Path, key: Option<&str>) -> Result<Checkpoint> {
    if !path.is_file() {
        return Err(Error::input(format!(
            "{}: no such file; expected a `.pt` or `.safetensors` checkpoint",
            path.display()
        )));
    }
    if path.extension().is_some_and(|e| e == "safetensors") {
        return read_safetensors(path);
    }
    let fail = |error: &dyn std::fmt::Display| {
        Error::input(format!(
            "{}: not a readable PyTorch checkpoint ({error}); expected a file written by torch.save, or safetensors",
            path.display()
        ))
    };
    let reader = match key {
        Some(key) => PytorchReader::with_top_level_key(path, key).map_err(|e| fail(&e))?,
        None => ["ema", "model"]
            .iter()
            .find_map(|key| {
                PytorchReader::with_top_level_key(path, key)
                    .ok()
                    .filter(|r| !r.is_empty())
            })
            .map_or_else(|| PytorchReader::new(path), Ok)
            .map_err(|e| fail(&e))?,
    };
    let tensors = reader.into_tensors();
    // a view of one element may claim any size
    let size = file_size(path)?;
    let said: u128 = tensors.values().map(|t| t.byte_len() as u128).sum();
    if said > u128::from(size) {
        return Err(fail(&format!(
            "tensors of {said} bytes in a file of {size}"
        )));
    }
    tensors
        .into_iter()
        .map(|(name, tensor)| {
            let bytes = tensor.read().map_err(|e| fail(&e))?;
            let values = to_f32(&format!("{:?}", tensor.dtype()), &bytes)
                .ok_or_else(|| fail(&format!("`{name}` has element type {:?}", tensor.dtype())))?;
            let shape = tensor.shape().to_vec();
            Ok((name, Weights { shape, values }))
        })
        .collect()
}

fn read_safetensors(path: &Path) -> Result<Checkpoint> {
    let bytes = read_whole(path)?;
    let fail = |error: &dyn std::fmt::Display| {
        Error::input(format!(
            "{}: not a safetensors file ({error})",
            path.display()
        ))
    };
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| fail(&e))?;
    tensors
        .iter()
        .map(|(name, view)| {
            let values = to_f32(&format!("{:?}", view.dtype()), view.data())
                .ok_or_else(|| fail(&format!("`{name}` has element type {:?}", view.dtype())))?;
            let shape = view.shape().to_vec();
            Ok((name.to_owned(), Weights { shape, values }))
        })
        .collect()
}

/// Converts little-endian values of the named element type to f32.
fn to_f32(dtype: &str, bytes: &[u8]) -> Option<Vec<f32>> {
    use half::{bf16, f16};
    fn each<const N: usize>(bytes: &[u8], f: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        (bytes.chunks_exact(N))
            .map(|chunk| f(chunk.try_into().expect("exact chunks")))
            .collect()
    }
    match dtype.to_ascii_lowercase().as_str() {
        "f32" | "float32" => Some(each(bytes, f32::from_le_bytes)),
        "f64" | "float64" => Some(each(bytes, |b| f64::from_le_bytes(b) as f32)),
        "f16" | "float16" => Some(each(bytes, |b| f16::from_le_bytes(b).to_f32())),
        "bf16" | "bfloat16" => Some(each(bytes, |b| bf16::from_le_bytes(b).to_f32())),
        _ => None,
    }
}

/// Renames the checkpoint's tensors to this project's names. Unknown tensors are an error.
fn renamed(checkpoint: Checkpoint, path: &Path) -> Result<Checkpoint> {
    let mut unknown = Vec::new();
    let mut weights = Checkpoint::new();
    for (name, tensor) in checkpoint {
        match our_name(name.strip_prefix("net.").unwrap_or(&name)) {
            Some(ours) => {
                weights.insert(ours, tensor);
            }
            None => unknown.push(name),
        }
    }
    if unknown.is_empty() {
        return Ok(weights);
    }
    Err(Error::input(format!(
        "{}: found tensors that an unconditional SimpleMLPAdaLN does not have: {}; expected \
         time_embed, input_proj, res_blocks and final_layer alone (use --key to choose another \
         dictionary of the checkpoint)",
        path.display(),
        unknown.join(", ")
    )))
}

fn refuse_non_finite(weights: &Checkpoint, path: &Path) -> Result<()> {
    for (name, tensor) in weights {
        if let Some(at) = tensor.values.iter().position(|v| !v.is_finite()) {
            return Err(Error::input(format!(
                "{}: found {} at place {at} of `{name}`, expected finite weights; was its training stable?",
                path.display(),
                tensor.values[at]
            )));
        }
    }
    Ok(())
}

/// Maps MAR's name of a parameter to ours.
fn our_name(theirs: &str) -> Option<String> {
    let (layer, parameter) = theirs.rsplit_once('.')?;
    let layer = match layer {
        "time_embed.mlp.0" => "time.fc1".to_owned(),
        "time_embed.mlp.2" => "time.fc2".to_owned(),
        "input_proj" => "input".to_owned(),
        "final_layer.linear" => "output.linear".to_owned(),
        "final_layer.adaLN_modulation.1" => "output.modulation".to_owned(),
        _ => {
            let (index, layer) = layer.strip_prefix("res_blocks.")?.split_once('.')?;
            let layer = match layer {
                "in_ln" => "norm",
                "mlp.0" => "fc1",
                "mlp.2" => "fc2",
                "adaLN_modulation.1" => "modulation",
                _ => return None,
            };
            format!("blocks.{}.{layer}", index.parse::<usize>().ok()?)
        }
    };
    matches!(parameter, "weight" | "bias").then(|| format!("{layer}.{parameter}"))
}

/// Our names of the parameters of a network with `blocks` blocks.
fn names(blocks: usize) -> Vec<String> {
    let of_blocks = (0..blocks).flat_map(|block| {
        ["norm", "fc1", "fc2", "modulation"].map(|layer| format!("blocks.{block}.{layer}"))
    });
    let layers = [
        "time.fc1",
        "time.fc2",
        "input",
        "output.modulation",
        "output.linear",
    ];
    (layers.map(str::to_owned).into_iter().chain(of_blocks))
        .flat_map(|layer| ["weight", "bias"].map(|parameter| format!("{layer}.{parameter}")))
        .collect()
}

fn shape_of<'a>(weights: &'a Checkpoint, name: &str, path: &Path) -> Result<&'a [usize]> {
    match weights.get(name) {
        Some(tensor) if tensor.shape.len() == 2 => Ok(&tensor.shape),
        found => Err(Error::input(format!(
            "{}: found {} for `{name}`, expected a matrix; is this the checkpoint of a \
             SimpleMLPAdaLN?",
            path.display(),
            found.map_or("nothing".into(), |t| format!("shape {:?}", t.shape)),
        ))),
    }
}

/// The size of the network and the width of its points, inferred from the shapes of its weights.
///
/// # Errors
/// An input error if the checkpoint does not hold all weights of such a network, raised before memory is
/// allocated.
fn infer(
    weights: &Checkpoint,
    time_scale: f64,
    path: &Path,
) -> Result<(VelocityNetworkConfig, usize)> {
    let input = shape_of(weights, "input.weight", path)?;
    let (width, dimensions) = (input[0], input[1]);
    let frequencies = shape_of(weights, "time.fc1.weight", path)?[1];
    let blocks = (weights.keys())
        .filter(|name| name.starts_with("blocks.") && name.ends_with(".fc1.weight"))
        .count();
    let missing: Vec<String> = (names(blocks).into_iter())
        .filter(|name| !weights.contains_key(name))
        .collect();
    if !missing.is_empty() {
        return Err(Error::input(format!(
            "{}: found no tensor for {}; expected all the weights of a SimpleMLPAdaLN",
            path.display(),
            missing.join(", ")
        )));
    }
    let network = VelocityNetworkConfig {
        width,
        blocks,
        frequencies,
        time_scale,
    };
    let mut problems = Problems::new();
    network.check(&mut problems);
    problems.in_file(path)?;
    let needed = network.parameters(dimensions, 0);
    let held: u128 = weights.values().map(|w| w.values.len() as u128).sum();
    if needed != held {
        return Err(Error::input(format!(
            "{}: its shapes imply a network of {needed} parameters (width {width}, {blocks} \
             blocks, {frequencies} frequencies), but it holds {held}; expected the checkpoint of \
             a SimpleMLPAdaLN",
            path.display()
        )));
    }
    Ok((network, dimensions))
}

/// Converts the weights of `v'` into those of `v(x, t) = -v'(x, 1 - t)`.
fn reverse_time(weights: &mut Checkpoint, time_scale: f64) {
    for name in ["output.linear.weight", "output.linear.bias"] {
        if let Some(tensor) = weights.get_mut(name) {
            tensor.values.iter_mut().for_each(|value| *value = -*value);
        }
    }
    if let Some(tensor) = weights.get_mut("time.fc1.weight") {
        let half = tensor.shape[1] / 2;
        let angles: Vec<(f64, f64)> = embedding_frequencies(half)
            .map(|f| (time_scale * f).sin_cos())
            .collect();
        for row in tensor.values.chunks_exact_mut(2 * half) {
            let (on_cos, on_sin) = row.split_at_mut(half);
            for ((c, s), (sin, cos)) in on_cos.iter_mut().zip(on_sin).zip(&angles) {
                let (before_c, before_s) = (f64::from(*c), f64::from(*s));
                *c = (before_c * cos + before_s * sin) as f32;
                *s = (before_c * sin - before_s * cos) as f32;
            }
        }
    }
}

fn serialise(weights: &Checkpoint, path: &Path) -> Result<Vec<u8>> {
    let bytes: Vec<(&String, &Vec<usize>, Vec<u8>)> = (weights.iter())
        .map(|(name, tensor)| {
            let bytes = tensor.values.iter().flat_map(|v| v.to_le_bytes()).collect();
            (name, &tensor.shape, bytes)
        })
        .collect();
    let views = (bytes.iter())
        .map(|(name, shape, data)| {
            let view = TensorView::new(Dtype::F32, (*shape).clone(), data)
                .map_err(|error| Error::file(path, error))?;
            Ok((name.as_str(), view))
        })
        .collect::<Result<Vec<_>>>()?;
    safetensors::serialize(views, None).map_err(|error| Error::file(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::read_dataset_f32;
    use crate::tensors::{from_f32, to_f32};
    use burn::tensor::Device;

    fn fixture(name: &str) -> PathBuf {
        PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap())
            .join("tests/fixtures")
            .join(name)
    }

    fn config() -> ImportConfig {
        ImportConfig {
            file: fixture("paper-flow-head.pt"),
            key: None,
            time: TimeDirection::DataToNoise,
            time_scale: 1.0,
            feature_scale: 1.0,
        }
    }

    /// The largest differences of velocity and divergence from those of the paper's code.
    fn largest_errors(config: &ImportConfig) -> (f32, f32) {
        let device = Device::flex();
        let flow = read(config, &device).unwrap().1;
        let network = flow.prior.velocity().unwrap();
        let expected = fixture("paper-flow-head-io.h5");
        let dataset = |name| read_dataset_f32(&expected, name).unwrap().1;
        let (x, t) = (dataset("x"), dataset("t"));
        let (velocity, divergence) = (dataset("velocity"), dataset("divergence"));
        let (mut of_velocity, mut of_divergence) = (0f32, 0f32);
        for (i, row) in x.chunks(8).enumerate() {
            // theirs at t is minus ours at 1 - t
            let point = from_f32(row.to_vec(), [1, 8], &device);
            let time = 1.0 - f64::from(t[i]);
            let (v, div) = network.velocity_and_divergence(point, time);
            for (ours, theirs) in to_f32(v).unwrap().iter().zip(&velocity[8 * i..]) {
                of_velocity = of_velocity.max((ours + theirs).abs());
            }
            of_divergence = of_divergence.max((to_f32(div).unwrap()[0] + divergence[i]).abs());
        }
        (of_velocity, of_divergence)
    }

    #[test]
    fn the_papers_checkpoint_reproduces_its_velocity_and_divergence() {
        for key in ["ema", "model"] {
            let (velocity, divergence) = largest_errors(&ImportConfig {
                key: Some(key.into()),
                ..config()
            });
            println!("{key}: velocity {velocity:.1e}, divergence {divergence:.1e}");
        }
        let (velocity, divergence) = largest_errors(&config());
        assert!(velocity < 1e-5, "{velocity}");
        assert!(divergence < 1e-4, "{divergence}");
    }

    #[test]
    fn the_wrong_direction_of_time_is_far_off() {
        let (velocity, _) = largest_errors(&ImportConfig {
            time: TimeDirection::NoiseToData,
            ..config()
        });
        assert!(velocity > 0.1, "{velocity}");
    }

    #[test]
    fn a_file_that_is_no_checkpoint_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("broken.pt");
        std::fs::write(&file, b"not a checkpoint").unwrap();
        let error = read(&ImportConfig { file, ..config() }, &Device::flex());
        let message = error.err().unwrap().to_string();
        assert!(
            message.contains("broken.pt") && message.contains("expected"),
            "{message}"
        );
    }
}
