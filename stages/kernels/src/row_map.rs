//! Functions of rows for the posteriors of a VAE, forward and backward, each in one pass. Each maps a row `z` and the
//! row's own parameters `given` to a row of `out`; where it moves z, the last number is the log-determinant of its
//! Jacobian. Equations are in the files of the posteriors that use them.

mod gate;
mod lanes;
mod mixture;
mod planar;
mod radial;
mod reflection;
mod rows;
mod triangle;

use crate::parallel::*;
use rows::Rows;

/// A function of rows. M is the length of `z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowMap {
    /// Planar steps; `given` has u, w `[M]` and b of each. Returns z and the log-determinant.
    Planar,
    /// Radial steps; `given` has c `[M]`, a and b of each. Returns z and the log-determinant.
    Radial,
    /// Reflections along the vectors `given`, `[M]` each.
    Reflection,
    /// `z + L z`, with the strictly lower triangle L `given` row by row.
    Triangle,
    /// `z + (L * L) z`, the product of L with itself elementwise.
    SquaredTriangle,
    /// Convex combination of K vectors `given`, with weights softmax(z), M = K.
    Mixture,
    /// `g z + (1 - g) m`, `g = sigmoid(s + 2)`, with s and m `[M]` `given`, in reverse order if `reversed`. Returns z
    /// and the log-determinant.
    Gate { reversed: bool },
}

/// Rows per task.
const TASK: usize = 8;

/// Computes a block of rows of the output.
type Forward = fn(Rows<'_>, &mut [f32]);
/// Computes the gradients with respect to `z` and `given` of a block of rows; `dgiven` is 0 before.
type Backward = fn(Rows<'_>, &[f32], &mut [f32], &mut [f32]);

impl RowMap {
    /// Numbers per row of the output.
    pub fn width(self, size: usize, count: usize) -> usize {
        match self {
            Self::Planar | Self::Radial | Self::Gate { .. } => size + 1,
            Self::Reflection | Self::Triangle | Self::SquaredTriangle => size,
            Self::Mixture => count / size,
        }
    }

    /// Output [n, [`width`](Self::width)] for `z` [n, M] and `given`, for n `rows`.
    pub fn forward(self, z: &[f32], given: &[f32], rows: usize) -> Vec<f32> {
        let [size, count] = [z, given].map(|part| part.len() / rows);
        let width = self.width(size, count);
        let forward = self.kernels().0;
        let mut out = vec![0.0; rows * width];
        (
            out.par_chunks_mut(TASK * width),
            z.par_chunks(TASK * size),
            given.par_chunks(TASK * count),
        )
            .for_each(|(out, z, given)| {
                let rows = Rows {
                    z,
                    given,
                    size,
                    count,
                };
                forward(rows, out);
            });
        out
    }

    /// Gradients with respect to `z` and `given`, given that of the output, `dout`.
    pub fn gradient(
        self,
        z: &[f32],
        given: &[f32],
        dout: &[f32],
        rows: usize,
    ) -> (Vec<f32>, Vec<f32>) {
        let [size, count, width] = [z, given, dout].map(|part| part.len() / rows);
        let backward = self.kernels().1;
        let (mut dz, mut dgiven) = (vec![0.0; z.len()], vec![0.0; given.len()]);
        (
            (
                dz.par_chunks_mut(TASK * size),
                dgiven.par_chunks_mut(TASK * count),
            ),
            dout.par_chunks(TASK * width),
            (z.par_chunks(TASK * size), given.par_chunks(TASK * count)),
        )
            .for_each(|((dz, dgiven), dout, (z, given))| {
                let rows = Rows {
                    z,
                    given,
                    size,
                    count,
                };
                backward(rows, dout, dz, dgiven);
            });
        (dz, dgiven)
    }

    fn kernels(self) -> (Forward, Backward) {
        match self {
            Self::Planar => (planar::forward, planar::backward),
            Self::Radial => (radial::forward, radial::backward),
            Self::Reflection => (reflection::forward, reflection::backward),
            Self::Triangle => (triangle::forward, triangle::backward),
            Self::SquaredTriangle => (triangle::forward_squared, triangle::backward_squared),
            Self::Mixture => (mixture::forward, mixture::backward),
            Self::Gate { reversed: false } => (gate::forward, gate::backward),
            Self::Gate { reversed: true } => (gate::forward_reversed, gate::backward_reversed),
        }
    }
}
