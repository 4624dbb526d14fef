//! The block and its parts against plain loops in f64 and their central differences, on shapes small
//! enough for Miri: rows that end inside a register block, two groups, more than one panel.

use crate::{
    Block, Blocks, Keep, LayerNorm, Matrix, Tangents, layer_norm, layer_norm_gradient,
    layer_norm_tangents, moments, product, product_plus_bias, sum_of_rows,
};

const ROWS: usize = 6;
const GROUPS: usize = 2;
const WIDTH: usize = 11;
const EPSILON: f64 = 1e-5;

/// Numbers between -1 and 1 without a pattern.
pub(crate) fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count)
        .map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1000.0 - 1.0)
        .collect()
}

/// All operands of a block, one after another, so that each entry can be moved: h, modulation, gamma,
/// beta, w1, b1, w2, b2.
#[derive(Clone)]
struct Operands([Vec<f32>; 8]);

impl Operands {
    fn new(groups: usize) -> Self {
        let square = WIDTH * WIDTH;
        let counts = [
            ROWS * WIDTH,
            groups * 3 * WIDTH,
            WIDTH,
            WIDTH,
            square,
            WIDTH,
            square,
            WIDTH,
        ];
        Self(std::array::from_fn(|i| numbers(counts[i], i + 1)))
    }

    fn block(&self) -> Block<'_> {
        let [_, modulation, gamma, beta, w1, b1, w2, b2] = &self.0;
        Block {
            gamma,
            beta,
            w1,
            b1,
            w2,
            b2,
            modulation,
            epsilon: EPSILON as f32,
        }
    }

    fn wide(&self) -> [Vec<f64>; 8] {
        (self.0.each_ref()).map(|values| values.iter().map(|&x| f64::from(x)).collect())
    }
}

fn unit_row(row: &[f64]) -> Vec<f64> {
    let width = row.len() as f64;
    let mean = row.iter().sum::<f64>() / width;
    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width;
    row.iter()
        .map(|x| (x - mean) / (variance + EPSILON).sqrt())
        .collect()
}

/// `x` [1, n] times `w` [n, n], plus `b`.
fn linear(x: &[f64], w: &[f64], b: &[f64]) -> Vec<f64> {
    let n = x.len();
    (0..n)
        .map(|j| b[j] + (0..n).map(|i| x[i] * w[i * n + j]).sum::<f64>())
        .collect()
}

/// The block in f64, by its formula.
fn exact(operands: &[Vec<f64>; 8]) -> Vec<f64> {
    let [h, modulation, gamma, beta, w1, b1, w2, b2] = operands;
    let groups = modulation.len() / (3 * WIDTH);
    let mut out = Vec::new();
    for (row, h) in h.chunks(WIDTH).enumerate() {
        let m = &modulation[row / (ROWS / groups) * 3 * WIDTH..][..3 * WIDTH];
        let u: Vec<f64> = (unit_row(h).iter().enumerate())
            .map(|(i, x)| (1.0 + m[WIDTH + i]) * (gamma[i] * x + beta[i]) + m[i])
            .collect();
        let a: Vec<f64> = linear(&u, w1, b1)
            .iter()
            .map(|x| x / (1.0 + (-x).exp()))
            .collect();
        let z = linear(&a, w2, b2);
        out.extend((0..WIDTH).map(|i| h[i] + m[2 * WIDTH + i] * z[i]));
    }
    out
}

/// The central difference of [`exact`] along `direction` of operand `which`.
fn along(operands: &[Vec<f64>; 8], which: usize, direction: &dyn Fn(usize) -> f64) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let moved = |by: f64| {
        let mut moved = operands.clone();
        (moved[which].iter_mut().enumerate()).for_each(|(i, x)| *x += by * direction(i));
        exact(&moved)
    };
    let (up, down) = (moved(STEP), moved(-STEP));
    up.iter()
        .zip(down)
        .map(|(up, down)| (up - down) / (2.0 * STEP))
        .collect()
}

#[track_caller]
fn near(found: &[f32], exact: &[f64], what: &str) {
    assert_eq!(found.len(), exact.len(), "{what}");
    for (i, (found, exact)) in found.iter().zip(exact).enumerate() {
        let error = (f64::from(*found) - exact).abs();
        assert!(
            error < 1e-4 * (1.0 + exact.abs()),
            "{what} {i}: {found} {exact}"
        );
    }
}

#[test]
fn a_block_is_its_formula_and_its_gradient_the_central_difference() {
    let operands = Operands::new(GROUPS);
    let (h, wide) = (&operands.0[0], operands.wide());
    let block = Blocks::new(vec![operands.block()]);
    let (out, kept) = block.forward_keeping(h, Keep::ForAll);
    near(&out, &exact(&wide), "output");
    near(&block.forward(h), &exact(&wide), "output alone");

    let dout = numbers(ROWS * WIDTH, 9);
    let (dh, others) = block.gradient(h, kept, &dout);
    let [others] = &others[..] else {
        panic!("of one block")
    };
    let (same, kept) = block.forward_keeping(h, Keep::ForInput);
    let (alone, none) = block.gradient(h, kept, &dout);
    assert!(same == out && alone == dh && none.is_empty());
    let found = [
        &dh,
        &others.modulation,
        &others.gamma,
        &others.beta,
        &others.w1,
        &others.b1,
        &others.w2,
        &others.b2,
    ];
    let names = ["h", "modulation", "gamma", "beta", "w1", "b1", "w2", "b2"];
    // Miri takes some of the entries of each
    let every = if cfg!(miri) { 37 } else { 1 };
    for (which, (found, name)) in found.into_iter().zip(names).enumerate() {
        assert_eq!(found.len(), wide[which].len(), "{name}");
        for entry in (0..found.len()).step_by(every) {
            let moved = along(&wide, which, &|i| f64::from(u8::from(i == entry)));
            let exact: f64 = moved
                .iter()
                .zip(&dout)
                .map(|(x, d)| x * f64::from(*d))
                .sum();
            near(&found[entry..=entry], &[exact], &format!("{name} {entry}"));
        }
    }
}

/// Fails if a part has another group's modulation, or reads or writes another's rows.
#[test]
fn a_row_of_a_block_does_not_depend_on_the_rows_beside_it() {
    let sizes: &[[usize; 2]] = match cfg!(miri) {
        true => &[[1, 20], [20, 1]],
        false => &[[1, 500], [500, 1], [7, 40], [3, 130]],
    };
    for &[groups, per_group] in sizes {
        let operands = Operands::new(groups);
        let block = operands.block();
        let (h, dout) = (
            numbers(groups * per_group * WIDTH, 3),
            numbers(groups * per_group * WIDTH, 4),
        );
        let blocks = Blocks::new(vec![block]);
        let (out, kept) = blocks.forward_keeping(&h, Keep::ForInput);
        let (dh, _) = blocks.gradient(&h, kept, &dout);
        let (all, kept) = blocks.forward_keeping(&h, Keep::ForAll);
        assert!(all == out && blocks.gradient(&h, kept, &dout).0 == dh);
        for (row, h) in h.chunks(WIDTH).enumerate() {
            let at = row * WIDTH..(row + 1) * WIDTH;
            let modulation = &block.modulation[row / per_group * 3 * WIDTH..][..3 * WIDTH];
            let block = Blocks::new(vec![Block {
                modulation,
                ..block
            }]);
            let (alone, kept) = block.forward_keeping(h, Keep::ForInput);
            assert_eq!(alone, out[at.clone()], "{groups} groups, row {row}");
            assert_eq!(
                block.gradient(h, kept, &dout[at.clone()]).0,
                dh[at],
                "row {row}"
            );
        }
    }
}

#[test]
fn tangents_are_central_differences_and_a_trace_their_sum() {
    const COUNT: usize = 3;
    let operands = Operands::new(1);
    let (block, h, wide) = (operands.block(), &operands.0[0], operands.wide());
    let everywhere = numbers(COUNT * WIDTH, 11);
    let of_points = numbers(ROWS * COUNT * WIDTH, 12);
    for values in [&everywhere, &of_points] {
        let tangents = Tangents {
            values,
            count: COUNT,
        };
        let (out, images) = block.with_tangents(h, tangents);
        near(&out, &exact(&wide), "output");
        let tangent = |row: usize, j: usize, i: usize| {
            let at = ((row * COUNT + j) * WIDTH + i) % values.len();
            f64::from(values[at])
        };
        let mut expected = vec![0.0; images.len()];
        for j in 0..COUNT {
            let moved = along(&wide, 0, &|i| tangent(i / WIDTH, j, i % WIDTH));
            for (row, moved) in moved.chunks(WIDTH).enumerate() {
                expected[(row * COUNT + j) * WIDTH..][..WIDTH].copy_from_slice(moved);
            }
        }
        near(&images, &expected, "tangents");

        // the same through a last norm and a readout, whose rows meet one tangent each
        let modulation = numbers(2 * WIDTH, 13);
        let readout = numbers(COUNT * WIDTH, 14);
        let last = LayerNorm {
            width: WIDTH,
            rows_per_group: ROWS,
            modulation: &modulation,
            stride: 2 * WIDTH,
            weights: None,
            epsilon: EPSILON as f32,
        };
        let (again, trace) = block.trace(h, tangents, last, &readout);
        assert_eq!(again, out);
        let riding = Tangents {
            values: &images,
            count: COUNT,
        };
        let normed = layer_norm_tangents(last, &out, &moments(last, &out), riding);
        let expected: Vec<f64> = (normed.chunks(COUNT * WIDTH))
            .map(|rows| {
                rows.iter()
                    .zip(&readout)
                    .map(|(a, b)| f64::from(a * b))
                    .sum()
            })
            .collect();
        near(&trace, &expected, "trace");
    }
}

#[test]
fn a_norm_without_weights_is_its_formula_and_its_gradient_the_central_difference() {
    let (x, du) = (numbers(ROWS * WIDTH, 1), numbers(ROWS * WIDTH, 2));
    let modulation = numbers(GROUPS * 2 * WIDTH, 3);
    let norm = LayerNorm {
        width: WIDTH,
        rows_per_group: ROWS / GROUPS,
        modulation: &modulation,
        stride: 2 * WIDTH,
        weights: None,
        epsilon: EPSILON as f32,
    };
    let exact = |x: &[f64], modulation: &[f64]| -> Vec<f64> {
        (x.chunks(WIDTH).enumerate())
            .flat_map(|(row, x)| {
                let m = &modulation[row / (ROWS / GROUPS) * 2 * WIDTH..][..2 * WIDTH];
                (unit_row(x).into_iter().enumerate())
                    .map(|(i, x)| (1.0 + m[WIDTH + i]) * x + m[i])
                    .collect::<Vec<f64>>()
            })
            .collect()
    };
    let wide = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
    let (x_wide, modulation_wide) = (wide(&x), wide(&modulation));
    let (u, of_rows) = layer_norm(norm, &x);
    near(&u, &exact(&x_wide, &modulation_wide), "norm");
    assert_eq!(of_rows, moments(norm, &x));
    let (dx, others) = layer_norm_gradient(norm, &x, &of_rows, &du, None, true);
    let others = others.expect("wanted");
    let loss = |x: &[f64], modulation: &[f64]| -> f64 {
        exact(x, modulation)
            .iter()
            .zip(&du)
            .map(|(u, d)| u * f64::from(*d))
            .sum()
    };
    let moved = |values: &[f64], at: usize, by: f64| {
        let mut values = values.to_vec();
        values[at] += by;
        values
    };
    const STEP: f64 = 1e-5;
    let difference = |up: f64, down: f64| (up - down) / (2.0 * STEP);
    for (i, dx) in dx.iter().enumerate() {
        let at = |by| loss(&moved(&x_wide, i, by), &modulation_wide);
        near(&[*dx], &[difference(at(STEP), at(-STEP))], "dx");
    }
    for i in 0..modulation.len() {
        let at = |by| loss(&x_wide, &moved(&modulation_wide, i, by));
        let (group, column) = (i / (2 * WIDTH), i % (2 * WIDTH));
        let found = match column < WIDTH {
            true => others.shift[group * WIDTH + column],
            false => others.scale[group * WIDTH + column - WIDTH],
        };
        near(&[found], &[difference(at(STEP), at(-STEP))], "modulation");
    }
    let sums: Vec<f64> = (0..WIDTH)
        .map(|j| (0..ROWS).map(|i| f64::from(x[i * WIDTH + j])).sum())
        .collect();
    near(&sum_of_rows(&x, WIDTH), &sums, "sum of rows");
}

#[test]
fn a_product_without_an_inner_dimension_is_what_follows_it() {
    let (a, b) = (Matrix::new(&[], 3, 0), Matrix::new(&[], 0, 2));
    assert_eq!(product(a, b), [0.0; 6]);
    let bias = [1.5, -2.0];
    let expected = [1.5, -2.0].repeat(3);
    assert_eq!(product_plus_bias(a, b, &bias), expected);
    assert!(product(Matrix::new(&[], 0, 3), Matrix::new(&[1.0; 6], 3, 2)).is_empty());
}
