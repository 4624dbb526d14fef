//! The map from latents to points of the prior, and its inverse.

use super::carry::{Towards, carry};
use crate::error::{Error, Result};
use crate::priors::{Flow, Placement, PointShape};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// The file beside the flow of the latents that says how they are carried.
pub const FILE: &str = "transport.json";
/// Rows that are carried together.
const ROWS: usize = 1024;

/// Latents [n, T d] to points of a prior and back.
pub struct Transport {
    /// Of whitened latents, whole rows; its normaliser whitens.
    own: Flow,
    /// Whose points latents become.
    target: Flow,
    header: Header,
}

/// What [`FILE`] says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    /// Of a latent.
    tokens: usize,
    /// Of a token.
    width: usize,
    /// Of each step of an ODE, absolute and relative.
    tolerance: f64,
}

/// Rows that were carried.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Moved {
    /// Row-major [n, T d].
    pub values: Vec<f32>,
    /// The noise on the way [n, T d].
    pub noise: Vec<f32>,
    /// Evaluations of the velocity of the flow of the latents, of one row each.
    pub own_evaluations: u64,
    /// The same of the target's, all tokens of a row counted as one.
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
    /// By `own`, the flow of whole latents of `shape`, to points of `target`.
    ///
    /// # Errors
    /// Input errors for flows of other shapes, and for a target under conditions.
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
                "transport: found a flow of the target that is conditioned, expected one without conditions, which \
                 latents have none of; remove pretrain_flow.condition",
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

    /// Writes how latents are carried into the directory `dir`, where the flow of the latents is saved.
    ///
    /// # Errors
    /// A file error.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        let json = serde_json::to_string_pretty(&self.header).expect("plain data serialises");
        fs::write(&path, json).map_err(|e| Error::file(&path, e))
    }

    /// That in the directory `dir` to points of the flow in the directory `target`.
    ///
    /// # Errors
    /// File errors; input errors for flows that do not go together.
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

    /// Of each step of an ODE, absolute and relative.
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

    /// `latents` [n, T d] as points of the target's flow. `progress` is given the rows that are done.
    ///
    /// # Errors
    /// What `progress` returns; a numerical error where no step of an ODE is small enough; device errors.
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

    /// Points [n, T d] of the target's flow as latents, the inverse of [`Self::there`].
    ///
    /// # Errors
    /// As [`Self::there`].
    pub fn back(&self, points: &[f32], progress: &dyn Fn(usize) -> Result<()>) -> Result<Moved> {
        let unwhiten = self.own.normaliser.inverter().ok_or_else(|| {
            Error::input("a whitening of latents that cannot be undone; run the experiment again")
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

    /// `rows` carried by `flow`, and evaluations of all of them.
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
