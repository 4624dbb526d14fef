//! Maps points of a prior to noise or back, without the determinants that likelihoods need.

use crate::error::Result;
use crate::numerics::{Tolerance, dormand_prince};
use crate::priors::{NllOptions, Points, Prior, Steps, Way};
use crate::tensors::to_f32;
use burn::tensor::Tensor;

/// Direction of the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Towards {
    /// From t = 1 to 0.
    Noise,
    /// From t = 0 to 1.
    Points,
}

/// Maps rows [n, T d], each a point of `prior`. Returns the rows and the number of network evaluations per
/// row (0 in closed form). An ODE takes steps shared by all rows, so that each meets `tolerance`, absolute
/// and relative. `check` is called at each evaluation.
///
/// # Errors
/// Errors of `check`; a numerical error if no step is small enough; device errors.
pub fn carry(
    prior: &dyn Prior,
    rows: &[f32],
    towards: Towards,
    tolerance: f64,
    check: &dyn Fn() -> Result<()>,
) -> Result<(Vec<f32>, u64)> {
    let points = prior.shape().tensor(rows.to_vec(), &prior.device());
    let field = match (towards, prior.velocity()) {
        (Towards::Points, _) => {
            let way = Way::by(Steps::Adaptive(tolerance));
            let carried = prior.from_noise(points, None, &way, &mut |_| check())?;
            return Ok((
                to_f32(carried.points)?,
                carried.evaluations.iter().sum::<f64>() as u64,
            ));
        }
        (Towards::Noise, None) => {
            let options = NllOptions::exact(tolerance);
            let noised = prior.to_noise(&Points::new(points), &options, &mut |_| check())?;
            return Ok((to_f32(noised.noise)?, 0));
        }
        (Towards::Noise, Some(field)) => field,
    };
    // the divergence is needed for likelihoods only
    let within = Tolerance {
        absolute: tolerance,
        relative: tolerance,
    };
    let solution = dormand_prince(
        |x: Tensor<2>, time: f64| {
            check()?;
            Ok(field.velocity(x.unsqueeze::<3>(), &[time]).squeeze_dim(0))
        },
        points.flatten::<2>(1, 2),
        1.0,
        0.0,
        within,
    )?;
    Ok((to_f32(solution.end())?, solution.evaluations))
}
