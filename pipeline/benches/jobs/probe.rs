//! The linear probe: multinomial logistic regression, solved to its optimum.

use super::{Job, Shown, Tensors};
use latent_align_stages::Result;
use latent_align_stages::classifiers::LinearProbe;
use latent_align_stages::random::Streams;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Points and classes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct OfProbe {
    pub rows: usize,
    pub width: usize,
    pub classes: usize,
    /// As `evaluate_latents.probe_l2`.
    pub l2: f64,
}

impl OfProbe {
    /// Latents of the digits and of MNIST in the training part.
    pub const ALL: [Self; 2] = [Self::of(1438, 32), Self::of(8000, 64)];

    const fn of(rows: usize, width: usize) -> Self {
        Self {
            rows,
            width,
            classes: 10,
            l2: 1e-3,
        }
    }
}

impl fmt::Display for OfProbe {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self {
            rows,
            width,
            classes,
            ..
        } = self;
        write!(f, "{rows} points of {width}, {classes} classes")
    }
}

/// A fit from zero.
pub struct Probe {
    of: OfProbe,
    points: Vec<f32>,
    labels: Vec<usize>,
}

/// The distance between classes along an axis: small enough that classes overlap, as those of latents
/// do.
const SHIFT: f32 = 1.5;

impl Probe {
    pub fn new(of: OfProbe) -> Self {
        let labels: Vec<usize> = (0..of.rows).map(|row| row * 7 % 13 % of.classes).collect();
        let mut points = Streams::new(0).normal("points", 0, of.rows * of.width);
        for (row, &label) in points.chunks_mut(of.width).zip(&labels) {
            row[label] += SHIFT;
        }
        Self { of, points, labels }
    }

    fn fit(&self) -> Result<LinearProbe> {
        let OfProbe {
            width, classes, l2, ..
        } = self.of;
        LinearProbe::fit(&self.points, width, &self.labels, classes, l2, || Ok(()))
    }
}

impl Job for Probe {
    fn step(&mut self) -> Result<()> {
        self.fit().map(drop)
    }

    /// Each side writes W at its own optimum.
    fn show(&mut self, to: &Shown) -> anyhow::Result<()> {
        let mut given = Tensors::default();
        given.add("points", [self.of.rows, self.of.width], self.points.clone());
        let labels = self.labels.iter().map(|&label| label as f32).collect();
        given.add("labels", [self.of.rows], labels);
        to.given(&given)?;
        let coefficients = self.fit()?.coefficients();
        let weights = (coefficients.chunks(self.of.width + 1))
            .flat_map(|row| &row[..self.of.width])
            .map(|&weight| weight as f32)
            .collect();
        let mut found = Tensors::default();
        found.add("weights", [self.of.classes, self.of.width], weights);
        to.found(&found)
    }
}
