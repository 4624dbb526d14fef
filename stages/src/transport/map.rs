//! The map from latents to points of the prior, and its inverse.

use super::carry::{Towards, carry};
use crate::error::{Error, Result};
use crate::priors::{Flow, Placement, PointShape};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// The file that describes the map, beside the flow of the latents.
pub const FILE: &str = "transport.json";
/// Rows mapped together.
const ROWS: usize = 1024;

/// An invertible map from latents [n, T d] to points of a prior.
pub struct Transport {
    /// Flow of whitened latents as whole rows; its normaliser whitens.
    own: Flow,
    /// Flow of the target points.
    target: Flow,
    header: Header,
}

/// The contents of [`FILE`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    /// Tokens per latent.
    tokens: usize,
    /// Width of a token.
    width: usize,
    /// Absolute and relative tolerance of each ODE step.
    tolerance: f64,
}

/// Mapped rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Moved {
    /// Row-major [n, T d].
    pub values: Vec<f32>,
    /// The intermediate noise [n, T d].
    pub noise: Vec<f32>,
    /// Velocity evaluations of the latents' flow, per row.
    pub own_evaluations: u64,
    /// The same of the target's flow, counting all tokens of a row once.
    pub target_evaluations: u64,
}

impl Moved {
    fn extend(&mut self, other: Self) {
        self.values.extend(other.values);
        self.noise.extend(other.noise);
        self.own_evaluations += other.own_evaluations;
        self.target_evaluations += other.target_evaluations;
    }
}

impl Transport {
    /// Maps through `own`, the flow of whole latents of `shape`, to points of `target`.
    ///
    /// # Errors
    /// Input errors for flows of other shapes, and for a conditional target.
    pub fn new(own: Flow, target: Flow, shape: PointShape, tolerance: f64) -> Result<Self> {
        let of_target = target.prior.shape();
        let fits = own.prior.shape().elements() == shape.elements()
            && of_target.width == shape.width
            && shape.tokens.is_multiple_of(of_target.tokens);
        if !fits {
            return Err(Error::input(format!(
                "found latents [{}, {}], a flow of {} numbers, and points [{}, {}] of the target's flow, expected a \
                 flow of whole latents, and tokens as wide as the target's; run the experiment again",
                shape.tokens,
                shape.width,
                own.prior.shape().elements(),
                of_target.tokens,
                of_target.width
            )));
        }
        if target.prior.condition().is_some() {
            return Err(Error::input(
                "transport: found a conditional target flow, expected one without conditions, \
                 since latents have none; remove pretrain_flow.condition",
            ));
        }
        let header = Header {
            tokens: shape.tokens,
            width: shape.width,
            tolerance,
        };
        Ok(Self {
            own,
            target,
            header,
        })
    }

    /// Writes the description into the directory `dir`, where the flow of the latents is stored.
    ///
    /// # Errors
    /// A file error.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        let json = serde_json::to_string_pretty(&self.header).expect("plain data serialises");
        fs::write(&path, json).map_err(|e| Error::file(&path, e))
    }

    /// Loads the transport in the directory `dir` to points of the flow in the directory `target`.
    ///
    /// # Errors
    /// File errors; input errors for incompatible flows.
    pub fn load(dir: &Path, target: &Path, device: &Device) -> Result<Self> {
        let path = dir.join(FILE);
        let json = fs::read(&path).map_err(|e| Error::file(&path, e))?;
        let header: Header = serde_json::from_slice(&json).map_err(|e| Error::file(&path, e))?;
        let shape = PointShape {
            tokens: header.tokens,
            width: header.width,
        };
        let place = Placement::on(device);
        let flows = [dir, target].map(|dir| Flow::load(dir, &place));
        let [own, target] = flows;
        Self::new(own?, target?, shape, header.tolerance)
            .map_err(|e| e.under(&format!("reading {}", dir.display())))
    }

    /// Absolute and relative tolerance of each ODE step.
    pub fn tolerance(&self) -> f64 {
        self.header.tolerance
    }

    /// The shape of a latent.
    pub fn shape(&self) -> PointShape {
        PointShape {
            tokens: self.header.tokens,
            width: self.header.width,
        }
    }

    /// Maps `latents` [n, T d] to points of the target's flow. `progress` receives the number of finished
    /// rows.
    ///
    /// # Errors
    /// Errors of `progress`; a numerical error if no ODE step is small enough; device errors.
    pub fn there(&self, latents: &[f32], progress: &dyn Fn(usize) -> Result<()>) -> Result<Moved> {
        self.in_chunks(latents, progress, |rows, check| {
            let whitened = self.own.normaliser.apply(rows);
            let (noise, own_evaluations) =
                self.carry(&self.own, &whitened, Towards::Noise, check)?;
            let (values, target_evaluations) =
                self.carry(&self.target, &noise, Towards::Points, check)?;
            Ok(Moved {
                values,
                noise,
                own_evaluations,
                target_evaluations,
            })
        })
    }

    /// Maps points [n, T d] of the target's flow to latents, the inverse of [`Self::there`].
    ///
    /// # Errors
    /// As [`Self::there`].
    pub fn back(&self, points: &[f32], progress: &dyn Fn(usize) -> Result<()>) -> Result<Moved> {
        let unwhiten = self.own.normaliser.inverter().ok_or_else(|| {
            Error::input("a whitening of latents that is not invertible; run the experiment again")
        })?;
        self.in_chunks(points, progress, |rows, check| {
            let (noise, target_evaluations) =
                self.carry(&self.target, rows, Towards::Noise, check)?;
            let (whitened, own_evaluations) =
                self.carry(&self.own, &noise, Towards::Points, check)?;
            Ok(Moved {
                values: unwhiten(&whitened),
                noise,
                own_evaluations,
                target_evaluations,
            })
        })
    }

    /// Maps `rows` by `flow`; also returns the total number of evaluations.
    fn carry(
        &self,
        flow: &Flow,
        rows: &[f32],
        towards: Towards,
        check: &dyn Fn() -> Result<()>,
    ) -> Result<(Vec<f32>, u64)> {
        let prior = flow.prior.as_ref();
        let (carried, each) = carry(prior, rows, towards, self.header.tolerance, check)?;
        Ok((
            carried,
            each * (rows.len() / self.shape().elements()) as u64,
        ))
    }

    fn in_chunks(
        &self,
        rows: &[f32],
        progress: &dyn Fn(usize) -> Result<()>,
        work: impl Fn(&[f32], &dyn Fn() -> Result<()>) -> Result<Moved>,
    ) -> Result<Moved> {
        let width = self.shape().elements();
        let mut moved = Moved::default();
        for chunk in rows.chunks(ROWS * width) {
            let done = moved.values.len() / width;
            moved.extend(work(chunk, &|| progress(done))?);
        }
        progress(rows.len() / width)?;
        Ok(moved)
    }
}
