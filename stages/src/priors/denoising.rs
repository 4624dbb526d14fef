//! One denoising step, for priors trained on points with noise added.

use super::prior::{NllOptions, Points, Prior, Progress};
use crate::error::Result;
use crate::tensors::from_f64;
use burn::tensor::Tensor;

/// The posterior mean of the noiseless points, given `points` y [n, T, d] of a prior trained on points with noise
/// of N(0, sigma^2) added (Tweedie's formula): `y + sigma^2 d log p(y) / d y`. The prior must be loaded for
/// gradients.
///
/// # Errors
/// As [`Prior::nll_gradient`].
pub fn denoised(
    prior: &dyn Prior,
    points: &Points,
    sigma: f64,
    progress: Progress,
) -> Result<Tensor<3>> {
    // only priors whose NLL needs an ODE use the tolerance
    let options = NllOptions::exact(1e-3);
    let gradient = prior.nll_gradient(points, &options, progress)?;
    let y = points.values.clone();
    let gradient = from_f64(gradient, y.dims(), y.dtype(), &y.device());
    Ok(y - gradient.mul_scalar(sigma * sigma))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::priors::{ModelConfig, Placement, PointShape};
    use crate::random::Streams;
    use crate::tensors::to_f64;
    use burn::tensor::Device;

    /// Fails if the factor is sigma, or a mean over the elements of a point. For N(0, s^2) with noise of sigma, s^2
    /// + sigma^2 = 1, the posterior mean at y is y s^2.
    #[test]
    fn points_of_a_normal_distribution_lose_their_share_of_noise() {
        let device = Device::flex();
        let shape = PointShape {
            tokens: 2,
            width: 3,
        };
        let model: ModelConfig = serde_json::from_str(r#"{"kind": "normal"}"#).unwrap();
        let place = Placement::on(&device).for_gradients();
        let prior = (model.kind()).load(std::path::Path::new(""), shape, None, &place);
        let rows = Streams::new(1).normal("points", 0, 12);
        let points = Points::new(shape.tensor(rows.clone(), &device));
        let found = denoised(prior.unwrap().as_ref(), &points, 0.6, &mut |_| Ok(())).unwrap();
        for (found, y) in to_f64(found).unwrap().iter().zip(rows) {
            assert!((found - 0.64 * f64::from(y)).abs() < 1e-6, "{found} {y}");
        }
    }
}
