//! The gradients of a linear layer.

use super::block::Target;
use super::epilogue::Plain;
use super::matrix::Matrix;
use super::packed::Packed;
use super::place::InOrder;
use super::product::Product;
use crate::fresh::Fresh;
use crate::parallel::*;
use crate::segments::RowSums;
use crate::shared::Shared;
use std::mem::MaybeUninit;

/// Gradients of `x weight + bias`, those that were wanted.
#[derive(Debug, Clone, Default)]
pub struct LinearGradient {
    /// [n, in]
    pub x: Option<Vec<f32>>,
    /// [in, out]
    pub weight: Option<Vec<f32>>,
    /// `[out]`
    pub bias: Option<Vec<f32>>,
}

/// The gradients of `x weight + bias` with respect to x, weight and bias, where `wanted`: x [n, in], weight [in, out],
/// and the gradient `dout` [n, out] of the output, all row-major. Threads compute all of them beside each other.
pub fn linear_gradient(
    x: Matrix,
    weight: Matrix,
    dout: Matrix,
    wanted: [bool; 3],
) -> LinearGradient {
    let products = [(dout, weight.transposed()), (x.transposed(), dout)];
    // right operands that several blocks of rows read are packed
    let is_packed = |i: usize| wanted[i] && products[i].0.rows > ROWS;
    let to_pack: Vec<Matrix> = ([0, 1].into_iter())
        .filter(|&i| is_packed(i))
        .map(|i| products[i].1)
        .collect();
    let packed = Packed::all(&to_pack);
    let mut packed = packed.iter();

    let mut rooms: [Fresh; 2] = std::array::from_fn(|i| {
        let (a, b) = products[i];
        Fresh::new(if wanted[i] { a.rows * b.columns } else { 0 })
    });
    let columns = dout.columns;
    let mut sums = wanted[2].then(|| RowSums::room(dout.values, columns));
    let of_bias = sums
        .as_mut()
        .map(|sums| RowSums::new(dout.values, columns, sums));
    let mut jobs: Vec<Box<dyn Job + '_>> = Vec::new();
    for (i, room) in rooms.iter_mut().enumerate() {
        let (a, b) = products[i];
        if a.columns == 0 || room.room().is_empty() {
            room.room().fill(MaybeUninit::new(0.0));
            continue;
        }
        let target = Target::new(Shared::new(room.room()), InOrder, b.columns);
        jobs.push(match is_packed(i) {
            true => {
                let b = packed.next().expect("packed above");
                Box::new(Product::new(a, b, 1, target, &Plain))
            }
            false => Box::new(Product::new(a, b, 1, target, &Plain)),
        });
    }
    jobs.extend(of_bias.map(|job| Box::new(job) as Box<dyn Job>));
    together(&jobs.iter().map(Box::as_ref).collect::<Vec<_>>());
    drop(jobs);
    // SAFETY: the products' blocks cover them.
    let [x, weight] = rooms.map(|room| unsafe { room.written() });
    LinearGradient {
        x: wanted[0].then_some(x),
        weight: wanted[1].then_some(weight),
        bias: sums.map(|sums| RowSums::total(&sums, columns)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matmul::product;
    use crate::segments::sum_of_rows;
    use crate::tests::numbers;

    /// Red where a gradient is missing, of another operand, or summed in another order than alone.
    #[test]
    fn the_gradients_are_those_computed_alone() {
        let sizes: &[[usize; 3]] = match cfg!(miri) {
            true => &[[3, 5, 2], [257, 2, 3], [0, 3, 2]],
            false => &[
                [3, 5, 2],
                [300, 70, 33],
                [70, 300, 40],
                [300, 270, 9],
                [0, 3, 2],
            ],
        };
        for &[n, inputs, outputs] in sizes {
            let all = [n * inputs, inputs * outputs, n * outputs];
            let [x, w, d] = [0, 1, 2].map(|i| numbers(all[i], i + 1));
            let (x, w) = (Matrix::new(&x, n, inputs), Matrix::new(&w, inputs, outputs));
            let dout = Matrix::new(&d, n, outputs);
            let found = linear_gradient(x, w, dout, [true; 3]);
            assert_eq!(found.x, Some(product(dout, w.transposed())));
            assert_eq!(found.weight, Some(product(x.transposed(), dout)));
            assert_eq!(found.bias, Some(sum_of_rows(&d, outputs)));
            for i in 0..3 {
                let found = linear_gradient(x, w, dout, std::array::from_fn(|j| i == j));
                let is_some = [
                    found.x.is_some(),
                    found.weight.is_some(),
                    found.bias.is_some(),
                ];
                assert_eq!(is_some, std::array::from_fn(|j| i == j));
            }
        }
    }
}
