//! Export of an autoencoder as two computation graphs, `encoder.onnx` and `decoder.onnx`, in the data's own units.

mod graph;
mod network;

use super::{Files, Source};
use crate::store::Stage;
use ::safetensors::SafeTensors;
use anyhow::Result;
use graph::{Attribute, Graph};
use latent_align_stages::Error;
use latent_align_stages::autoencoders::{AutoencoderHeader, Reconstruction};
use latent_align_stages::posteriors::{LOG_VARIANCE, PosteriorConfig};
use network::Network;

const FILE: &str = "autoencoder.safetensors";

/// The autoencoder of `source` as `encoder.onnx` and `decoder.onnx`:
///
/// - encoder: `data` [N, C, H, W] or [N, D], as `encode` reads it, to `latents` [N, T, d], or to `means` if the posterior
///   has noise, and to `standard_deviations` [N, T, d] if it is a Gaussian whose noise is learned;
/// - decoder: `latents` [N, T, d] to `data`, as `decode` writes it.
///
/// # Errors
/// [`Error::Input`] if there is no autoencoder, or one with a part that these graphs do not have; an error for a file
/// that differs from its manifest, or cannot be read.
pub fn onnx(source: &Source) -> Result<Files> {
    let stage = |stage: Stage| source.artifacts.iter().find(move |a| a.stage() == stage);
    let refuse = |found: &str, instead: &str| {
        Error::input(format!("{}: found {found}, {instead}", source.name))
    };
    if stage(Stage::Transport).is_some() {
        return Err(refuse(
            "a transport between encoder and decoder, whose ODE has as many steps as its input needs",
            "expected a feed-forward autoencoder; apply this one with `encode` and `decode`, or export the artifact of \
             train-autoencoder alone by its fingerprint",
        )
        .into());
    }
    let missing = || {
        refuse(
            "no autoencoder of data",
            "expected the artifact of train-autoencoder, or a run with one",
        )
    };
    let artifact = stage(Stage::TrainAutoencoder).ok_or_else(missing)?;
    let path = artifact.output(FILE)?.ok_or_else(missing)?;
    let bytes = std::fs::read(&path).map_err(|e| Error::file(&path, e))?;
    let header = AutoencoderHeader::read(&path)?;
    if let Some(part) = not_exported(&header) {
        return Err(refuse(
            part,
            "which ONNX files of this program do not have; apply it with `encode` and `decode`, or in Python \
             (`pip install ./python`)",
        )
        .into());
    }
    let weights = SafeTensors::deserialize(&bytes).map_err(|e| Error::file(&path, e))?;
    let network = Network::new(&header, &weights, &path)?;
    let mut files = Files::default();
    files.add("encoder.onnx", encoder(&header, &network)?);
    files.add("decoder.onnx", decoder(&header, &network)?);
    Ok(files)
}

/// The part of an autoencoder that the graphs do not have, if any.
fn not_exported(header: &AutoencoderHeader) -> Option<&'static str> {
    if header.latent.top.is_some() {
        return Some("latents of two levels (`latent.top`)");
    }
    if header.binarise.is_some() {
        return Some("data that are drawn as binary images (`binarise`)");
    }
    match header.posterior {
        PosteriorConfig::Deterministic(_)
        | PosteriorConfig::Gaussian(_)
        | PosteriorConfig::FixedNoise(_) => None,
        _ => Some("a posterior with a map after its Gaussian"),
    }
}

/// The shape of a row of data: [C, H, W], or [D] for vectors.
fn row(header: &AutoencoderHeader) -> Vec<usize> {
    let shape = header.shape;
    match (shape.height, shape.width) {
        (1, 1) => vec![shape.channels],
        (height, width) => vec![shape.channels, height, width],
    }
}

fn encoder(header: &AutoencoderHeader, network: &Network) -> Result<Vec<u8>> {
    let mut graph = Graph::new("encoder");
    let data = graph.input("data", &row(header));
    let maximum = graph.number(header.maximum as f32);
    let data = graph.node("Div", &[&data, &maximum], &[]);
    let outputs = network.encode(&mut graph, data)?;
    let latent = [header.latent.tokens, header.latent.width];
    let count = (latent[0] * latent[1]) as i64;
    let part = |graph: &mut Graph, from: i64| {
        let bounds = [from, from + count, 1].map(|at| graph.integers(&[at]));
        let [start, end, axis] = &bounds;
        graph.node("Slice", &[&outputs, start, end, axis], &[])
    };
    let shape = |graph: &mut Graph, rows: &str| {
        let tokens = graph.integers(&[-1, latent[0] as i64, latent[1] as i64]);
        graph.node("Reshape", &[rows, &tokens], &[])
    };
    let means = part(&mut graph, 0);
    let means = shape(&mut graph, &means);
    // as `encode` calls them
    let name = match header.posterior {
        PosteriorConfig::Deterministic(_) => "latents",
        _ => "means",
    };
    graph.output(&means, name, &latent);
    if let PosteriorConfig::Gaussian(_) = header.posterior {
        let log_variances = part(&mut graph, count);
        let bounds = [-LOG_VARIANCE, LOG_VARIANCE].map(|bound| graph.number(bound as f32));
        let clipped = graph.node("Clip", &[&log_variances, &bounds[0], &bounds[1]], &[]);
        let half = graph.number(0.5);
        let halved = graph.node("Mul", &[&clipped, &half], &[]);
        let deviations = graph.node("Exp", &[&halved], &[]);
        let deviations = shape(&mut graph, &deviations);
        graph.output(&deviations, "standard_deviations", &latent);
    }
    Ok(graph.model(&[(
        "about",
        "data, as `latent-align encode` reads it, to latents",
    )]))
}

fn decoder(header: &AutoencoderHeader, network: &Network) -> Result<Vec<u8>> {
    let mut graph = Graph::new("decoder");
    let latents = graph.input("latents", &[header.latent.tokens, header.latent.width]);
    let rows = graph.node("Flatten", &[&latents], &[Attribute::Int("axis", 1)]);
    let decoded = network.decode(&mut graph, rows)?;
    let data = match header.reconstruction {
        Reconstruction::Mse | Reconstruction::L1 => decoded,
        Reconstruction::Bernoulli => graph.node("Sigmoid", &[&decoded], &[]),
        Reconstruction::DiscretisedLogistic => {
            let bounds = [0.0, 1.0].map(|bound| graph.number(bound));
            graph.node("Clip", &[&decoded, &bounds[0], &bounds[1]], &[])
        }
    };
    let maximum = graph.number(header.maximum as f32);
    let data = graph.node("Mul", &[&data, &maximum], &[]);
    let shape = row(header);
    let dims: Vec<i64> = [-1]
        .into_iter()
        .chain(shape.iter().map(|n| *n as i64))
        .collect();
    let dims = graph.integers(&dims);
    let data = graph.node("Reshape", &[&data, &dims], &[]);
    graph.output(&data, "data", &shape);
    Ok(graph.model(&[(
        "about",
        "latents to data, as `latent-align decode` writes it",
    )]))
}
