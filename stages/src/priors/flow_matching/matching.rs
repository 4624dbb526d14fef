//! Flow matching: the regression whose minimiser is the velocity of the interpolant
//! (Lipman et al. 2023, arXiv 2210.02747; Liu et al. 2023, arXiv 2209.03003).

use crate::error::Result;
use crate::priors::field::VelocityField;
use crate::random::{Streams, normal, stratified_times};
use crate::tensors::{from_f32, from_f64, scalar};
use burn::tensor::{Device, Tensor};

/// `|| v(x_t, t) - (data - noise) ||^2` summed over dimensions and averaged over points `[1]`.
///
/// `data` and `noise` are [K, m, d]; group k is at `times[k]`, `x_t = (1 - t) noise + t data`.
pub fn flow_matching_loss(
    field: &dyn VelocityField,
    data: Tensor<3>,
    noise: Tensor<3>,
    times: &[f64],
) -> Tensor<1> {
    let points = interpolate(data.clone(), noise.clone(), times);
    let error = field.velocity(points, times) - (data - noise);
    let [groups, each, _] = error.dims();
    error.square().sum().div_scalar((groups * each) as f64)
}

/// `x_t = (1 - t) noise + t data` for K groups [K, m, d], group k at `times[k]`.
pub fn interpolate(data: Tensor<3>, noise: Tensor<3>, times: &[f64]) -> Tensor<3> {
    let t: Tensor<3> = from_f64(
        times.to_vec(),
        [times.len(), 1, 1],
        data.dtype(),
        &data.device(),
    );
    noise.clone() + (data - noise) * t
}

/// Held-out points, noise and times, fixed once so that successive evaluations differ by the field
/// alone. The loss they give has a floor above zero: the variance of `data - noise` given `x_t`.
pub struct Evaluation {
    chunks: Vec<(Tensor<3>, Tensor<3>, Vec<f64>)>,
}

/// Points evaluated at a time.
const CHUNK: usize = 2048;
/// Times in a chunk, each shared by CHUNK / TIMES points.
const TIMES: usize = 64;

impl Evaluation {
    /// `points` draws of a held-out row (in turn), noise and a stratified time. `rows` is [n, d].
    pub fn new(
        rows: &[f32],
        width: usize,
        points: usize,
        streams: Streams,
        device: &Device,
    ) -> Self {
        let available = rows.len() / width;
        let chunks = (0..points.div_ceil(CHUNK))
            .map(|chunk| {
                let count = CHUNK.min(points - chunk * CHUNK);
                let groups = if count == CHUNK { TIMES } else { count };
                let each = count / groups;
                // a row meets another stratum of time each time it comes round
                let data = (0..count)
                    .flat_map(|i| {
                        let row = (chunk * CHUNK + i % each * groups + i / each) % available;
                        rows[row * width..(row + 1) * width].iter().copied()
                    })
                    .collect();
                let mut rng = streams.at("evaluation", chunk as u64);
                let noise = normal(&mut rng, count * width);
                (
                    from_f32(data, [groups, each, width], device),
                    from_f32(noise, [groups, each, width], device),
                    stratified_times(&mut rng, groups),
                )
            })
            .collect();
        Self { chunks }
    }

    /// The flow-matching loss of `field`, summed over dimensions.
    pub fn loss(&self, field: &dyn VelocityField) -> Result<f64> {
        let (mut total, mut count) = (0.0, 0);
        for (data, noise, times) in &self.chunks {
            let [groups, each, _] = data.dims();
            let loss = flow_matching_loss(field, data.clone(), noise.clone(), times);
            total += scalar(loss)? * (groups * each) as f64;
            count += groups * each;
        }
        Ok(total / count as f64)
    }
}
