//! An LSTM (Hochreiter & Schmidhuber 1997) over whole sequences, forward and backward. At each position t:
//!
//! ```text
//! i, f, g, o = x_t + h_{t-1} W                              x_t: contribution of the input to the gates, 4 C
//! c_t = s(f) c_{t-1} + s(i) tanh(g)        h_t = s(o) tanh(c_t)
//! ```
//!
//! Rows are ordered by position, then by sequence.

use crate::activation::{logistic, tanh};
use crate::level::for_each_level;
use crate::matmul::{Matrix, Plain, Target, fill_parts, product};
use crate::parallel::*;

/// An LSTM with C channels over n sequences at once.
#[derive(Debug, Clone, Copy)]
pub struct Lstm {
    /// n.
    pub sequences: usize,
    /// C.
    pub channels: usize,
}

/// Kept for the backward pass: the gates [T n, 4 C] after their nonlinearities.
#[derive(Debug, Clone)]
pub struct LstmKept(Vec<f32>);

/// Gradients with respect to the inputs of an [`Lstm`].
#[derive(Debug)]
pub struct LstmGradient {
    /// [T n, 4 C].
    pub gates: Vec<f32>,
    /// [C, 4 C].
    pub weight: Vec<f32>,
    /// [n, 2 C].
    pub begin: Vec<f32>,
}

/// Rows per task.
const TASK: usize = 32;

/// Splits `row` into four parts of equal length.
#[inline(always)]
fn in_four(row: &[f32]) -> [&[f32]; 4] {
    let (a, b) = row.split_at(row.len() / 2);
    let ((a, b), (c, d)) = (a.split_at(a.len() / 2), b.split_at(b.len() / 2));
    [a, b, c, d]
}

#[inline(always)]
fn in_four_mut(row: &mut [f32]) -> [&mut [f32]; 4] {
    let half = row.len() / 2;
    let (a, b) = row.split_at_mut(half);
    let ((a, b), (c, d)) = (a.split_at_mut(half / 2), b.split_at_mut(half / 2));
    [a, b, c, d]
}

for_each_level! {
    /// Rows of one position: turns `gates` [n, 4 C] plus `inputs` into gates after their nonlinearities, and
    /// writes h and c to `out` [n, 2 C].
    fn cells(gates: &mut [f32], inputs: &[f32], before: &[f32], out: &mut [f32], channels: usize) {
        let rows = gates.chunks_exact_mut(4 * channels).zip(inputs.chunks_exact(4 * channels));
        let states = before.chunks_exact(2 * channels).zip(out.chunks_exact_mut(2 * channels));
        for ((gates, inputs), (before, out)) in rows.zip(states) {
            for (gate, more) in gates.iter_mut().zip(inputs) {
                *gate += more;
            }
            let [i, f, g, o] = in_four_mut(gates);
            for part in [i, f, o] {
                for x in part {
                    *x = logistic(*x);
                }
            }
            for x in g {
                *x = tanh(*x);
            }
            let [i, f, g, o] = in_four(gates);
            let (h, c) = out.split_at_mut(channels);
            let before = &before[channels..];
            for j in 0..channels {
                c[j] = f[j] * before[j] + i[j] * g[j];
                h[j] = o[j] * tanh(c[j]);
            }
        }
    }
}

for_each_level! {
    /// Backward pass of one position: from `state` [n, 2 C], the gradients of h and c, to `dgates` [n, 4 C]. The
    /// gradient of the previous c replaces that of c.
    fn cells_back(
        gates: &[f32],
        before: &[f32],
        after: &[f32],
        state: &mut [f32],
        dgates: &mut [f32],
        channels: usize,
    ) {
        let rows = gates.chunks_exact(4 * channels).zip(dgates.chunks_exact_mut(4 * channels));
        let states = before.chunks_exact(2 * channels).zip(after.chunks_exact(2 * channels));
        let states = states.zip(state.chunks_exact_mut(2 * channels));
        for ((gates, dgates), ((before, after), state)) in rows.zip(states) {
            let [i, f, g, o] = in_four(gates);
            let [di, df, dg, d_o] = in_four_mut(dgates);
            let (before, after) = (&before[channels..], &after[channels..]);
            let (dh, dc) = state.split_at_mut(channels);
            for j in 0..channels {
                let t = tanh(after[j]);
                let d = dc[j] + dh[j] * o[j] * (1.0 - t * t);
                di[j] = d * g[j] * i[j] * (1.0 - i[j]);
                df[j] = d * before[j] * f[j] * (1.0 - f[j]);
                dg[j] = d * i[j] * (1.0 - g[j] * g[j]);
                d_o[j] = dh[j] * t * o[j] * (1.0 - o[j]);
                dc[j] = d * f[j];
            }
        }
    }
}

for_each_level! {
    fn add(sum: &mut [f32], more: &[f32]) {
        for (sum, more) in sum.iter_mut().zip(more) {
            *sum += more;
        }
    }
}

impl Lstm {
    /// h and c after each position, [T n, 2 C], from `gates` [T n, 4 C], `weight` [C, 4 C], and the initial h and
    /// c, `begin` [n, 2 C].
    pub fn forward(&self, gates: &[f32], weight: &[f32], begin: &[f32]) -> (Vec<f32>, LstmKept) {
        let mut kept = vec![0.0; gates.len()];
        let out = self.run(gates, weight, begin, &mut kept);
        (out, LstmKept(kept))
    }

    /// As [`Self::forward`], without what the backward pass needs.
    pub fn states(&self, gates: &[f32], weight: &[f32], begin: &[f32]) -> Vec<f32> {
        let mut room = vec![0.0; self.sequences * 4 * self.channels];
        self.run(gates, weight, begin, &mut room)
    }

    /// h and c after each position. The gates after their nonlinearities go to `kept`, which has room for all
    /// positions, or for one.
    fn run(&self, gates: &[f32], weight: &[f32], begin: &[f32], kept: &mut [f32]) -> Vec<f32> {
        let Self {
            sequences,
            channels,
        } = *self;
        let (of_state, of_gates) = (sequences * 2 * channels, sequences * 4 * channels);
        assert_eq!(begin.len(), sequences * 2 * channels, "states of sequences");
        assert_eq!(gates.len() % (sequences * 4 * channels), 0, "whole places");
        let weight = Matrix::new(weight, channels, 4 * channels);
        let mut out = vec![0.0; gates.len() / 2];
        let mut before = begin;
        let mut rest = out.as_mut_slice();
        for (place, inputs) in gates.chunks_exact(of_gates).enumerate() {
            let (here, later) = rest.split_at_mut(of_state);
            let at = place * of_gates % kept.len();
            let gates = &mut kept[at..][..of_gates];
            let h = Matrix::of_columns(before, channels, sequences, 2 * channels).transposed();
            let target = Target::over(gates, 4 * channels);
            fill_parts(h, weight, 1, target, &Plain);
            (
                gates.par_chunks_mut(TASK * 4 * channels),
                inputs.par_chunks(TASK * 4 * channels),
                before.par_chunks(TASK * 2 * channels),
                here.par_chunks_mut(TASK * 2 * channels),
            )
                .for_each(|(gates, inputs, before, out)| {
                    cells(gates, inputs, before, out, channels);
                });
            (before, rest) = (here, later);
        }
        out
    }

    /// The gradients, given the gradient `dout` [T n, 2 C] of the output `out`.
    pub fn gradient(
        &self,
        weight: &[f32],
        begin: &[f32],
        (out, kept): (&[f32], &LstmKept),
        dout: &[f32],
    ) -> LstmGradient {
        let Self {
            sequences,
            channels,
        } = *self;
        let (of_state, of_gates) = (sequences * 2 * channels, sequences * 4 * channels);
        let weight = Matrix::new(weight, channels, 4 * channels);
        let mut dgates = vec![0.0; kept.0.len()];
        let mut carried = vec![0.0; of_state];
        let places = out.len() / of_state;
        for place in (0..places).rev() {
            let before = match place {
                0 => begin,
                _ => &out[(place - 1) * of_state..][..of_state],
            };
            add(&mut carried, &dout[place * of_state..][..of_state]);
            let here = &mut dgates[place * of_gates..][..of_gates];
            (
                kept.0[place * of_gates..][..of_gates].par_chunks(TASK * 4 * channels),
                before.par_chunks(TASK * 2 * channels),
                out[place * of_state..][..of_state].par_chunks(TASK * 2 * channels),
                carried.par_chunks_mut(TASK * 2 * channels),
                here.par_chunks_mut(TASK * 4 * channels),
            )
                .for_each(|(gates, before, after, state, dgates)| {
                    cells_back(gates, before, after, state, dgates, channels);
                });
            let dh = product(
                Matrix::new(here, sequences, 4 * channels),
                weight.transposed(),
            );
            for (carried, dh) in carried
                .chunks_exact_mut(2 * channels)
                .zip(dh.chunks_exact(channels))
            {
                carried[..channels].copy_from_slice(dh);
            }
        }
        // h before each position
        let mut h = of_h(begin, channels);
        h.extend(of_h(&out[..out.len() - of_state], channels));
        let rows = places * sequences;
        let dweight = product(
            Matrix::new(&h, rows, channels).transposed(),
            Matrix::new(&dgates, rows, 4 * channels),
        );
        LstmGradient {
            gates: dgates,
            weight: dweight,
            begin: carried,
        }
    }
}

/// The h columns of rows [n, 2 C] of h and c.
fn of_h(states: &[f32], channels: usize) -> Vec<f32> {
    let rows = states.chunks_exact(2 * channels);
    rows.flat_map(|row| &row[..channels]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: f32) -> Vec<f32> {
        (0..count)
            .map(|i| (i as f32 * 0.7 + seed).sin() * 1.5)
            .collect()
    }

    /// Reference LSTM in f64: h and c [T n, 2 C].
    fn plainly(of: &Lstm, gates: &[f64], weight: &[f64], begin: &[f64]) -> Vec<f64> {
        let (n, channels) = (of.sequences, of.channels);
        let s = |x: f64| 1.0 / (1.0 + (-x).exp());
        let mut all = begin.to_vec();
        for (row, x) in gates.chunks(4 * channels).enumerate() {
            let before = all[row * 2 * channels..][..2 * channels].to_vec();
            let gate = |part: usize, j: usize| -> f64 {
                let column = part * channels + j;
                let h = before[..channels].iter().enumerate();
                x[column]
                    + h.map(|(k, h)| h * weight[k * 4 * channels + column])
                        .sum::<f64>()
            };
            let c: Vec<f64> = (0..channels)
                .map(|j| s(gate(1, j)) * before[channels + j] + s(gate(0, j)) * gate(2, j).tanh())
                .collect();
            all.extend((0..channels).map(|j| s(gate(3, j)) * c[j].tanh()));
            all.extend(c);
        }
        all.split_off(n * 2 * channels)
    }

    /// Fails if gates, positions or sequences are mixed up, or a path of the gradient is missing.
    #[test]
    fn states_and_gradients_are_those_of_the_formula() {
        for (sequences, places, channels) in [(2, 3, 2), (1, 1, 3), (35, 2, 1)] {
            let of = Lstm {
                sequences,
                channels,
            };
            let states = places * sequences * 2 * channels;
            let inputs = [
                numbers(2 * states, 0.3),
                numbers(channels * 4 * channels, 1.3),
                numbers(sequences * 2 * channels, 2.3),
            ];
            let dout = numbers(states, 1.1);
            let wide = inputs
                .clone()
                .map(|numbers| -> Vec<f64> { numbers.into_iter().map(f64::from).collect() });
            let plain = |[gates, weight, begin]: &[Vec<f64>; 3]| plainly(&of, gates, weight, begin);
            let (out, kept) = of.forward(&inputs[0], &inputs[1], &inputs[2]);
            assert_eq!(out, of.states(&inputs[0], &inputs[1], &inputs[2]));
            for (found, exact) in out.iter().zip(plain(&wide)) {
                assert!((f64::from(*found) - exact).abs() < 2e-6, "{found} {exact}");
            }
            let found = of.gradient(&inputs[1], &inputs[2], (&out, &kept), &dout);
            let every = if cfg!(miri) { 7 } else { 1 };
            for (input, found) in [found.gates, found.weight, found.begin].iter().enumerate() {
                assert_eq!(found.len(), inputs[input].len());
                for i in (0..found.len()).step_by(every) {
                    let loss = |h: f64| -> f64 {
                        let mut moved = wide.clone();
                        moved[input][i] += h;
                        let out = plain(&moved);
                        out.iter().zip(&dout).map(|(o, d)| o * f64::from(*d)).sum()
                    };
                    let exact = (loss(1e-5) - loss(-1e-5)) / 2e-5;
                    let found = f64::from(found[i]);
                    assert!((found - exact).abs() < 2e-5, "{input} {i}: {found} {exact}");
                }
            }
        }
    }
}
