//! Trajectories of free points: snapshots of some of them during training.

use crate::context::Table;
use crate::error::Result;
use crate::figures::{filled, train_autoencoder as names};
use crate::persist::{Resumable, Snapshot};
use crate::tensors::to_f32;
use burn::tensor::Tensor;

/// Number of followed points.
const FOLLOWED: usize = 200;
/// Number of snapshots.
const SNAPSHOTS: u64 = 50;

/// Snapshots of free points.
pub struct Trajectory {
    every: u64,
    stride: usize,
    steps: Vec<u64>,
    /// The followed points by snapshot.
    points: Vec<Vec<f32>>,
    width: usize,
}

impl Trajectory {
    /// For `count` points over `steps` steps.
    pub fn new(count: usize, steps: u64) -> Self {
        Self {
            every: steps.div_ceil(SNAPSHOTS),
            stride: count.div_ceil(FOLLOWED),
            steps: Vec::new(),
            points: Vec::new(),
            width: 0,
        }
    }

    /// Records the points [count, d] before `step` if a snapshot is due.
    ///
    /// # Errors
    /// A device error if the points cannot be read.
    pub fn note(&mut self, step: u64, points: &Tensor<2>) -> Result<()> {
        if step.is_multiple_of(self.every) {
            self.keep(step, points)
        } else {
            Ok(())
        }
    }

    /// Records the points [count, d] before `step`.
    ///
    /// # Errors
    /// A device error if the points cannot be read.
    pub fn keep(&mut self, step: u64, points: &Tensor<2>) -> Result<()> {
        let [_, width] = points.dims();
        let rows = to_f32(points.clone())?;
        self.width = width;
        self.steps.push(step);
        self.points.push(
            rows.chunks(width)
                .step_by(self.stride)
                .flatten()
                .copied()
                .collect(),
        );
        Ok(())
    }

    /// One row per point and snapshot: step, point and coordinates.
    pub fn table(&self) -> Table {
        let of_snapshot = |points: &Vec<f32>| points.len() / self.width;
        let mut table = Table::default();
        let steps = (self.steps.iter().zip(&self.points))
            .flat_map(|(&step, points)| vec![step as i64; of_snapshot(points)]);
        table.int(names::STEP, steps.collect());
        let indices = (self.points.iter())
            .flat_map(|points| (0..of_snapshot(points)).map(|i| (i * self.stride) as i64));
        table.int(names::POINT, indices.collect());
        for axis in 0..self.width {
            let values = (self.points.iter())
                .flat_map(|points| points.iter().skip(axis).step_by(self.width));
            table.float(
                filled(names::COORDINATE, &[&axis]),
                values.map(|&x| f64::from(x)).collect(),
            );
        }
        table
    }
}

/// Part of a training's checkpoints.
impl Resumable for Trajectory {
    fn save(&self, name: &str, snapshot: &mut Snapshot) -> Result<()> {
        let steps = self.steps.iter().zip(&self.points);
        for (number, (step, points)) in steps.enumerate() {
            snapshot.put_number(format!("{name}.{number}"), *step);
            snapshot.put(format!("{name}.{number}"), points.clone());
        }
        snapshot.put_number(format!("{name}.count"), self.steps.len() as u64);
        snapshot.put_number(format!("{name}.width"), self.width as u64);
        Ok(())
    }

    fn restore(&mut self, name: &str, snapshot: &Snapshot) -> Result<()> {
        self.width = snapshot.number(&format!("{name}.width"))? as usize;
        self.steps.clear();
        self.points.clear();
        for number in 0..snapshot.number(&format!("{name}.count"))? {
            let at = format!("{name}.{number}");
            self.steps.push(snapshot.number(&at)?);
            self.points.push(snapshot.get(&at)?.to_vec());
        }
        Ok(())
    }
}
