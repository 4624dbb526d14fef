//! Rotary positional encoding (Su et al. 2021, arXiv 2104.09864): queries and keys are rotated by angles
//! proportional to their position, so that attention depends on the distance between two tokens.

use crate::tensors::from_f64;
use burn::tensor::Tensor;
use std::ops::Range;

/// Ratio of the fastest to the slowest frequency.
const BASE: f64 = 10_000.0;

/// For heads of even width.
#[derive(Debug, Clone)]
pub(super) struct Rotary {
    /// Radians per position, `[head width / 2]`.
    angles: Vec<f64>,
}

/// Cosines and sines of a range of positions.
pub(in crate::priors) struct Rotation {
    /// Each [m, head width / 2].
    tables: [Vec<f32>; 2],
    /// The same on a device, each [1, 1, m, head width / 2].
    tensors: [Tensor<4>; 2],
}

impl Rotary {
    pub fn new(head_width: usize) -> Self {
        let half = head_width / 2;
        let angles = (0..half).map(|i| BASE.powf(-(i as f64) / half as f64));
        Self {
            angles: angles.collect(),
        }
    }

    /// The rotation of `positions`, on the device and in the type of `like`.
    pub fn at(&self, positions: Range<usize>, like: &Tensor<3>) -> Rotation {
        let dims = [1, 1, positions.len(), self.angles.len()];
        let tables = [f64::cos, f64::sin].map(|f: fn(f64) -> f64| -> Vec<f64> {
            let row = |i: usize| self.angles.iter().map(move |angle| f(i as f64 * angle));
            positions.clone().flat_map(row).collect()
        });
        Rotation {
            tables: (tables.each_ref()).map(|table| table.iter().map(|&x| x as f32).collect()),
            tensors: tables.map(|table| from_f64(table, dims, like.dtype(), &like.device())),
        }
    }
}

impl Rotation {
    /// Cosines and sines, each [m, head width / 2].
    pub fn tables(&self) -> [Vec<f32>; 2] {
        self.tables.clone()
    }

    /// Rotates `x` [n, heads, m, head width].
    pub fn of(&self, x: Tensor<4>) -> Tensor<4> {
        let [cos, sin] = &self.tensors;
        let [.., width] = x.dims();
        let (a, b) = (
            x.clone().narrow(3, 0, width / 2),
            x.narrow(3, width / 2, width / 2),
        );
        let turned = [
            a.clone() * cos.clone() - b.clone() * sin.clone(),
            a * sin.clone() + b * cos.clone(),
        ];
        Tensor::cat(turned.to_vec(), 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;
    use crate::tensors::{from_f32, to_f64};
    use burn::tensor::{DType, Device};

    /// Fails if an angle depends on anything but the position, or halves are mixed up.
    #[test]
    fn products_depend_on_how_far_apart_two_positions_are() {
        let device = Device::flex();
        let rotary = Rotary::new(8);
        let draw = |name| {
            let drawn = Streams::new(1).normal(name, 0, 8);
            from_f32::<4>(drawn, [1, 1, 1, 8], &device).cast(DType::F64)
        };
        let (q, k) = (draw("q"), draw("k"));
        let like = Tensor::<3>::zeros([1, 1, 1], (&device, DType::F64));
        let product = |i: usize, j: usize| {
            let turned = |x: &Tensor<4>, at: usize| rotary.at(at..at + 1, &like).of(x.clone());
            to_f64((turned(&q, i) * turned(&k, j)).sum()).unwrap()[0]
        };
        let plain = to_f64((q.clone() * k.clone()).sum()).unwrap()[0];
        assert!((product(5, 5) - plain).abs() < 1e-12);
        assert!((product(7, 4) - product(3, 0)).abs() < 1e-12);
        assert!((product(7, 4) - product(4, 7)).abs() > 1e-3);
    }
}
