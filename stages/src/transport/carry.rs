//! Points of a prior carried to noise, or noise to points, without the determinants that likelihoods need.

use crate::error::Result;
use crate::numerics::{Tolerance, dormand_prince};
use crate::priors::{NllOptions, Points, Prior, Steps};
use crate::tensors::to_f32;
use burn::tensor::Tensor;

/// Where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Towards {
    /// From t = 1 to 0.
    Noise,
    /// From t = 0 to 1.
    Points,
}

/// Rows [n, T d], each a point of `prior`, carried: the rows, and evaluations of the velocity of each (0 where the
/// prior has none and carries them in closed form). An ODE takes steps that all rows share, so that each meets
/// `tolerance`, absolute and relative. `check` is called at each evaluation.
///
/// # Errors
/// What `check` returns; a numerical error where no step is small enough; device errors.
pub fn carry(
    prior: &dyn Prior,
    rows: &[f32],
    towards: Towards,
    tolerance: f64,
    check: &dyn Fn() -> Result<()>,
) -> Result<(Vec<f32>, u64)> {
    let points = prior.shape().tensor(rows.to_vec(), &prior.device());
    let Some(field) = prior.velocity() else {
        let check = &mut |_| check();
        let carried = match towards {
            Towards::Noise => {
                let options = NllOptions::exact(tolerance);
                prior.to_noise(&Points::new(points), &options, check)?.noise
            }
            Towards::Points => prior.from_noise(points, None, Steps::Adaptive(tolerance), check)?,
        };
        return Ok((to_f32(carried)?, 0));
    };
    let (from, to) = match towards {
        Towards::Noise => (1.0, 0.0),
        Towards::Points => (0.0, 1.0),
    };
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
        from,
        to,
        within,
    )?;
    Ok((to_f32(solution.end())?, solution.evaluations))
}
