//! Flow matching: the regression whose minimiser is the velocity of the interpolant
//! (Lipman et al. 2023, arXiv 2210.02747; Liu et al. 2023, arXiv 2209.03003).

use crate::error::Result;
use crate::priors::condition::ConditionKind;
use crate::priors::field::VelocityField;
use crate::priors::kind::Batch;
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

/// Held-out points with conditions, noise and times, fixed once so that successive evaluations differ by the field
/// alone. Their loss has a floor above zero: the variance of `data - noise` given `x_t`.
pub struct Evaluation {
    chunks: Vec<Chunk>,
}

/// K groups of m points.
struct Chunk {
    /// [K, m, d].
    data: Tensor<3>,
    /// [K, m, d].
    noise: Tensor<3>,
    /// `[K]`.
    times: Vec<f64>,
    /// [K m, c], if there are conditions.
    condition: Option<Tensor<2>>,
}

/// Points per evaluation.
const CHUNK: usize = 2048;
/// Times per chunk, each shared by CHUNK / TIMES points.
const TIMES: usize = 64;

impl Evaluation {
    /// `points` triples of a held-out row (in turn), noise and a stratified time. `held_out` has rows [n, d], with
    /// conditions of the kind `condition` if given.
    pub fn new(
        held_out: &Batch,
        condition: Option<ConditionKind>,
        width: usize,
        points: usize,
        streams: Streams,
        device: &Device,
    ) -> Self {
        let available = held_out.values.len() / width;
        let chunks = (0..points.div_ceil(CHUNK))
            .map(|chunk| {
                let count = CHUNK.min(points - chunk * CHUNK);
                let groups = if count == CHUNK { TIMES } else { count };
                let each = count / groups;
                // a repeated row falls into another stratum of time
                let chosen: Vec<usize> = (0..count)
                    .map(|i| (chunk * CHUNK + i % each * groups + i / each) % available)
                    .collect();
                let Batch { values, conditions } = held_out.select(width, &chosen);
                let mut rng = streams.at("evaluation", chunk as u64);
                let noise = normal(&mut rng, count * width);
                Chunk {
                    data: from_f32(values, [groups, each, width], device),
                    noise: from_f32(noise, [groups, each, width], device),
                    times: stratified_times(&mut rng, groups),
                    condition: (condition.zip(conditions))
                        .map(|(kind, conditions)| kind.encode(Some(&conditions), count, device)),
                }
            })
            .collect();
        Self { chunks }
    }

    /// The flow-matching loss of `field`, each point under its condition, summed over dimensions.
    ///
    /// # Errors
    /// Device errors.
    pub fn loss(&self, field: &dyn VelocityField) -> Result<f64> {
        let (mut total, mut count) = (0.0, 0);
        for chunk in &self.chunks {
            let [groups, each, _] = chunk.data.dims();
            let under = (chunk.condition.clone()).and_then(|condition| field.under(condition));
            let loss = flow_matching_loss(
                under.as_deref().unwrap_or(field),
                chunk.data.clone(),
                chunk.noise.clone(),
                &chunk.times,
            );
            total += scalar(loss)? * (groups * each) as f64;
            count += groups * each;
        }
        Ok(total / count as f64)
    }
}
