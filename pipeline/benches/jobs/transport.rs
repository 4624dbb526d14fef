//! Latents mapped to points of a prior, by two flows in sequence.

use super::priors::prior_of;
use super::{Job, Shown, Size, Tensors, trained_flow};
use burn::tensor::Device;
use latent_align_stages::Result;
use latent_align_stages::data::Normaliser;
use latent_align_stages::priors::{Flow, Layout, Placement, PointShape, VelocityNetwork};
use latent_align_stages::random::Streams;
use latent_align_stages::transport::Transport;

/// Latents of two tokens of 16, as in `configs/mnist-transport.yaml`.
pub struct Carry {
    transport: Transport,
    /// Of the latents and of the target's tokens.
    networks: [VelocityNetwork; 2],
    latents: Vec<f32>,
}

/// Latents.
pub const CARRIED: usize = 10_000;
/// The number of latents compared between both sides.
const SHOWN: usize = 200;
/// The tolerance of each ODE step, absolute and relative.
pub const TOLERANCE: f64 = 1e-6;
/// Steps of training of both flows.
const STEPS: u64 = 300;

/// The flow of whole latents, and that of the target's tokens.
pub const FLOWS: [Size; 2] = [
    Size {
        dimensions: 32,
        width: 256,
        blocks: 4,
        batch: 256,
    },
    Size {
        dimensions: 16,
        width: 192,
        blocks: 4,
        batch: 256,
    },
];

impl Carry {
    /// Briefly trained flows, each on its own distribution.
    ///
    /// # Errors
    /// As [`Job::step`].
    pub fn new(device: &Device) -> Result<Self> {
        let networks = [
            trained_flow(FLOWS[0], STEPS, device)?,
            trained_flow(FLOWS[1], STEPS, device)?,
        ];
        let place = Placement::on(device);
        let flow = |number: usize| -> Result<Flow> {
            let size = FLOWS[number];
            Ok(Flow {
                prior: prior_of(&networks[number], size, &place)?,
                normaliser: Normaliser::identity(size.dimensions),
                layout: Layout::default(),
                target: None,
            })
        };
        let shape = PointShape {
            tokens: FLOWS[0].dimensions / FLOWS[1].dimensions,
            width: FLOWS[1].dimensions,
        };
        Ok(Self {
            transport: Transport::new(flow(0)?, flow(1)?, shape, TOLERANCE)?,
            networks,
            latents: super::points(FLOWS[0].dimensions, CARRIED, Streams::new(1)),
        })
    }
}

impl Job for Carry {
    fn step(&mut self) -> Result<()> {
        self.transport.there(&self.latents, &|_| Ok(())).map(drop)
    }

    fn show(&mut self, to: &Shown) -> anyhow::Result<()> {
        for (name, network) in ["own", "target"].iter().zip(&self.networks) {
            to.module(name, network)?;
        }
        let shape = [SHOWN, FLOWS[0].dimensions];
        let some = &self.latents[..SHOWN * FLOWS[0].dimensions];
        let mut given = Tensors::default();
        given.add("latents", shape, some.to_vec());
        to.given(&given)?;
        let mut found = Tensors::default();
        let moved = self.transport.there(some, &|_| Ok(()))?;
        found.add("points", shape, moved.values);
        to.found(&found)
    }
}
