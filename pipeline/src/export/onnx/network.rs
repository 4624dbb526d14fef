//! The layers of an autoencoder as nodes of a graph.

use super::graph::{Attribute, Graph};
use ::safetensors::{Dtype, SafeTensors};
use latent_align_stages::architectures::ArchitectureConfig;
use latent_align_stages::autoencoders::AutoencoderHeader;
use latent_align_stages::{Error, Result};
use std::path::Path;

/// An autoencoder's architecture and weights.
pub struct Network<'a> {
    header: &'a AutoencoderHeader,
    weights: &'a SafeTensors<'a>,
    file: &'a Path,
    /// How the names of weights begin.
    prefix: &'static str,
}

impl<'a> Network<'a> {
    /// The network described by `header`, with the `weights` of `file`.
    ///
    /// # Errors
    /// [`Error::Input`] for free points, which have no network.
    pub fn new(
        header: &'a AutoencoderHeader,
        weights: &'a SafeTensors<'a>,
        file: &'a Path,
    ) -> Result<Self> {
        let prefix = match header.architecture {
            ArchitectureConfig::Dense { .. } => "architecture.Dense",
            ArchitectureConfig::Convolutional { .. } => "architecture.Convolutional",
            ArchitectureConfig::Points { .. } => {
                let found = "found free points, expected an autoencoder of data";
                return Err(Error::input(format!("{}: {found}", file.display())));
            }
        };
        Ok(Self {
            header,
            weights,
            file,
            prefix,
        })
    }

    /// Data [N, C, H, W] or [N, D] to the encoder's outputs [N, n].
    pub fn encode(&self, graph: &mut Graph, data: String) -> Result<String> {
        match &self.header.architecture {
            ArchitectureConfig::Convolutional { channels } => {
                let mut x = data;
                for index in 0..channels.len() {
                    x = self.convolution(graph, "Conv", &format!("down.{index}"), &x, &[])?;
                    x = silu(graph, &x);
                }
                let x = flat(graph, &x);
                self.linear(graph, "to_outputs", &x)
            }
            _ => {
                let x = flat(graph, &data);
                self.dense(graph, "encoder", x)
            }
        }
    }

    /// Latents [N, M] to decoded data [N, C, H, W] or [N, C H W].
    pub fn decode(&self, graph: &mut Graph, latents: String) -> Result<String> {
        let ArchitectureConfig::Convolutional { channels } = &self.header.architecture else {
            return self.dense(graph, "decoder", latents);
        };
        let shape = self.header.shape;
        let mut sizes = vec![[shape.height, shape.width]];
        for _ in channels {
            let last = sizes[sizes.len() - 1];
            sizes.push(last.map(|size| size.div_ceil(2)));
        }
        let x = self.linear(graph, "from_latents", &latents)?;
        let inner = channels.last().copied().unwrap_or(shape.channels);
        let [height, width] = sizes[channels.len()];
        let inner = graph.integers(&[-1, inner as i64, height as i64, width as i64]);
        let mut x = graph.node("Reshape", &[&x, &inner], &[]);
        for index in 0..channels.len() {
            x = silu(graph, &x);
            // a transposed convolution of stride 2 gives 2 n - 1 rows, and one more if the size was even
            let to = sizes[channels.len() - 1 - index];
            let extra = to.map(|size| i64::from(size.is_multiple_of(2)));
            let extra = [Attribute::Ints("output_padding", &extra)];
            x = self.convolution(graph, "ConvTranspose", &format!("up.{index}"), &x, &extra)?;
        }
        Ok(x)
    }

    /// Linear layers with SiLU between them, or gates.
    fn dense(&self, graph: &mut Graph, part: &str, mut x: String) -> Result<String> {
        let (widths, gated) = match &self.header.architecture {
            ArchitectureConfig::Dense { widths, gated } => (widths.len(), *gated),
            _ => unreachable!("convolutions are not dense"),
        };
        for index in 0..widths {
            let y = self.linear(graph, &format!("{part}.{index}"), &x)?;
            x = if gated {
                let gate = self.linear(graph, &format!("gates.{part}.{index}"), &x)?;
                let gate = graph.node("Sigmoid", &[&gate], &[]);
                graph.node("Mul", &[&y, &gate], &[])
            } else {
                silu(graph, &y)
            };
        }
        self.linear(graph, &format!("{part}.{widths}"), &x)
    }

    fn linear(&self, graph: &mut Graph, layer: &str, x: &str) -> Result<String> {
        let [weight, bias] = self.parameters(graph, layer)?;
        let transposed = [Attribute::Int("transB", 1)];
        Ok(graph.node("Gemm", &[x, &weight, &bias], &transposed))
    }

    /// A convolution of 3 x 3 and stride 2, or its transpose.
    fn convolution(
        &self,
        graph: &mut Graph,
        operator: &str,
        layer: &str,
        x: &str,
        more: &[Attribute],
    ) -> Result<String> {
        let [weight, bias] = self.parameters(graph, layer)?;
        let mut attributes = vec![
            Attribute::Ints("kernel_shape", &[3, 3]),
            Attribute::Ints("strides", &[2, 2]),
            Attribute::Ints("pads", &[1; 4]),
        ];
        attributes.extend_from_slice(more);
        Ok(graph.node(operator, &[x, &weight, &bias], &attributes))
    }

    /// Weight and bias of `layer`.
    fn parameters(&self, graph: &mut Graph, layer: &str) -> Result<[String; 2]> {
        let mut names = Vec::new();
        for part in ["weight", "bias"] {
            let name = format!("{}.{layer}.{part}", self.prefix);
            let found = self.weights.tensor(&name);
            let tensor = found.map_err(|e| Error::file(self.file, format!("{name}: {e}")))?;
            if tensor.dtype() != Dtype::F32 {
                let found = tensor.dtype();
                let wrong = format!("{name}: found {found:?}, expected f32");
                return Err(Error::file(self.file, wrong));
            }
            names.push(graph.weight(&name, tensor.shape(), tensor.data()));
        }
        Ok(names.try_into().expect("two of them"))
    }
}

fn silu(graph: &mut Graph, x: &str) -> String {
    let gate = graph.node("Sigmoid", &[x], &[]);
    graph.node("Mul", &[x, &gate], &[])
}

fn flat(graph: &mut Graph, x: &str) -> String {
    graph.node("Flatten", &[x], &[Attribute::Int("axis", 1)])
}
