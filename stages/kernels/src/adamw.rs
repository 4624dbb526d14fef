//! AdamW (Loshchilov and Hutter, arXiv 1711.05101) and a moving average of the weights, in one pass
//! over parameter, gradient, both moments and average.

use crate::level::for_each_level;
use crate::parallel::*;

/// Elements per task.
const CHUNK: usize = 1 << 15;

/// Settings shared by all parameters of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    pub rate: f32,
    /// Decays of the moments.
    pub betas: [f32; 2],
    /// `1 - beta^step` for both.
    pub corrections: [f32; 2],
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled weight decay.
    pub decay: f32,
    /// Factor applied to the gradient, as left by clipping its norm.
    pub factor: f32,
    /// The decay of the moving average of the weights.
    pub average: f32,
}

/// A parameter and its optimiser state, all of equal length.
pub struct Parameter<'a> {
    pub weights: &'a mut [f32],
    pub gradient: &'a [f32],
    /// First moment.
    pub first: &'a mut [f32],
    /// Second moment.
    pub second: &'a mut [f32],
    /// Moving average of the weights.
    pub average: &'a mut [f32],
}

for_each_level! {
    fn step_chunk(
        step: AdamW, weights: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32],
        average: &mut [f32],
    ) {
        let count = weights.len();
        let (gradient, first) = (&gradient[..count], &mut first[..count]);
        let (second, average) = (&mut second[..count], &mut average[..count]);
        let [b1, b2] = step.betas;
        let shrink = 1.0 - step.rate * step.decay;
        let rate = step.rate / step.corrections[0];
        let root = 1.0 / step.corrections[1].sqrt();
        for i in 0..count {
            let g = gradient[i] * step.factor;
            let m = b1 * first[i] + (1.0 - b1) * g;
            let v = b2 * second[i] + (1.0 - b2) * (g * g);
            let w = weights[i] * shrink - rate * m / (v.sqrt() * root + step.epsilon);
            first[i] = m;
            second[i] = v;
            weights[i] = w;
            average[i] += (1.0 - step.average) * (w - average[i]);
        }
    }
}

impl<'a> Parameter<'a> {
    /// Splits off the first `count` elements.
    fn split_at(self, count: usize) -> (Self, Self) {
        let (gradient, rest) = self.gradient.split_at(count);
        let mutable = [self.weights, self.first, self.second, self.average];
        let [weights, first, second, average] = mutable.map(|values| values.split_at_mut(count));
        let part = |[weights, first, second, average]: [&'a mut [f32]; 4], gradient| Parameter {
            weights,
            gradient,
            first,
            second,
            average,
        };
        (
            part([weights.0, first.0, second.0, average.0], gradient),
            part([weights.1, first.1, second.1, average.1], rest),
        )
    }
}

/// One step of AdamW on all `parameters`, in one pass.
pub fn adamw(step: AdamW, parameters: Vec<Parameter>) {
    let mut parts = Vec::new();
    for mut parameter in parameters {
        while parameter.gradient.len() > CHUNK {
            let (part, rest) = parameter.split_at(CHUNK);
            parts.push(part);
            parameter = rest;
        }
        parts.push(parameter);
    }
    parts.par_chunks_mut(1).for_each(|part| {
        let [part] = part else {
            unreachable!("parts of one")
        };
        step_chunk(
            step,
            part.weights,
            part.gradient,
            part.first,
            part.second,
            part.average,
        );
    });
}

for_each_level! {
    fn squares_chunk(values: &[f32], total: &mut f64) {
        // short runs keep the f32 rounding error negligible
        for run in values.chunks(1024) {
            let (whole, rest) = run.as_chunks::<16>();
            let mut sums = [0.0f32; 16];
            for chunk in whole {
                for i in 0..16 {
                    sums[i] += chunk[i] * chunk[i];
                }
            }
            for (i, x) in rest.iter().enumerate() {
                sums[i] += x * x;
            }
            *total += sums.iter().map(|&x| f64::from(x)).sum::<f64>();
        }
    }
}

/// The sum of the squares of each of `vectors`, in one pass.
pub fn sums_of_squares(vectors: &[&[f32]]) -> Vec<f64> {
    let chunks: Vec<&[f32]> = vectors.iter().flat_map(|v| v.chunks(CHUNK)).collect();
    let mut parts = (chunks.par_chunks(1))
        .map(|chunk| {
            let mut total = 0.0;
            squares_chunk(chunk[0], &mut total);
            total
        })
        .collect()
        .into_iter();
    (vectors.iter())
        .map(|v| parts.by_ref().take(v.len().div_ceil(CHUNK)).sum())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_that_of_the_formulas_in_double_precision() {
        let n = CHUNK + if cfg!(miri) { 3 } else { 7232 };
        let value = |i: usize, s: usize| ((i * 31 + s * 17) % 101) as f32 / 50.0 - 1.0;
        let start: Vec<f32> = (0..n).map(|i| value(i, 1)).collect();
        let gradient: Vec<f32> = (0..n).map(|i| value(i, 2)).collect();
        let (mut w, mut m, mut v, mut e) =
            (start.clone(), vec![0.1; n], vec![0.2; n], start.clone());
        let step = AdamW {
            rate: 0.01,
            betas: [0.9, 0.99],
            corrections: [0.19, 0.0199],
            epsilon: 1e-8,
            decay: 0.1,
            factor: 0.5,
            average: 0.95,
        };
        // as two parameters, so that neither the border of a parameter nor that of a part leaves out or repeats elements
        let whole = Parameter {
            weights: &mut w,
            gradient: &gradient,
            first: &mut m,
            second: &mut v,
            average: &mut e,
        };
        let (small, large) = whole.split_at(5);
        adamw(step, vec![small, large]);
        for i in 0..n {
            let g = 0.5 * f64::from(gradient[i]);
            let m = 0.9 * 0.1 + 0.1 * g;
            let v = 0.99 * 0.2 + 0.01 * g * g;
            let was = f64::from(start[i]);
            let now = was - 0.01 * (m / 0.19 / ((v / 0.0199).sqrt() + 1e-8) + 0.1 * was);
            assert!((f64::from(w[i]) - now).abs() < 1e-6, "{} {now}", w[i]);
            let average = was + 0.05 * (now - was);
            assert!((f64::from(e[i]) - average).abs() < 1e-6);
        }
    }

    #[test]
    fn sums_of_squares_keep_their_precision() {
        let count = if cfg!(miri) { 33_001 } else { 3_000_001 };
        let values = vec![1.1f32; count];
        let vectors = [&values[..7], &[], &values[..]];
        for (sum, vector) in sums_of_squares(&vectors).into_iter().zip(vectors) {
            let exact = vector.len() as f64 * f64::from(1.1f32).powi(2);
            assert!((sum - exact).abs() <= 1e-6 * exact, "{sum} {exact}");
        }
    }
}
