//! What the likelihood engine says about itself, on some held-out points and the flow at hand.

use super::measure::Instruments;
use super::regions::Region;
use crate::context::{Context, Summary};
use crate::error::Result;
use crate::flows::{VelocityField, autodiff_divergence, difference_divergence};
use crate::likelihood::{Divergence, Solver, halving_check, negative_log_likelihood};
use crate::tensors::{cast, to_f64};
use burn::module::Module;
use burn::tensor::DType;

/// Times at which divergences are compared.
const TIMES: [f64; 3] = [0.1, 0.5, 0.9];
/// Probes of Hutchinson's estimate.
const PROBES: usize = 16;
/// The largest change under halved steps that goes without a warning, in nats.
const ACCURATE: f64 = 0.01;

/// Checks the solver and the divergence on `points` points of `region`: how much an NLL changes when
/// every step is halved, how far the tangents' divergence is from autodiff's and from central
/// differences (f64), and how many standard errors Hutchinson's mean is from the exact one.
pub fn self_check(
    instruments: &Instruments,
    region: &Region,
    points: usize,
    summary: &mut Summary,
    context: &Context,
) -> Result<()> {
    if points == 0 {
        return Ok(());
    }
    let check = || context.check_cancelled();
    let network = &instruments.flow().network;
    let x = instruments.tensor(region.sample(points), &context.device);
    let change = halving_check(network, x.clone(), instruments.solver(), check)?;
    summary.add("largest change of an NLL with halved steps (nats)", change);
    if change > ACCURATE {
        context.monitor.warn(&format!(
            "halving the solver's steps changes an NLL by {change:.3} nats; lower \
             estimate_nll.tolerance or set estimate_nll.precision to f64"
        ));
    }

    let plain = cast(network.clone(), DType::F64).no_grad();
    let tracked = cast(instruments.tracked().clone(), DType::F64).no_grad();
    let wide = x.clone().cast(DType::F64);
    let (mut from_autodiff, mut from_differences) = (0.0f64, 0.0f64);
    for time in TIMES {
        check()?;
        let (_, exact) = plain.velocity_and_divergence(wide.clone(), time);
        let exact = to_f64(exact)?;
        let worst = |other: &[f64]| {
            let relative = exact
                .iter()
                .zip(other)
                .map(|(a, b)| (a - b).abs() / a.abs().max(1.0));
            relative.fold(0.0, f64::max)
        };
        from_autodiff =
            from_autodiff.max(worst(&autodiff_divergence(&tracked, wide.clone(), time)?));
        from_differences =
            from_differences.max(worst(&difference_divergence(&plain, wide.clone(), time)?));
    }
    summary.add(
        "divergence, tangents against autodiff in f64 (relative)",
        from_autodiff,
    );
    summary.add(
        "divergence, tangents against central differences in f64 (relative)",
        from_differences,
    );

    let solve = |divergence| {
        let solver = Solver {
            divergence,
            ..*instruments.solver()
        };
        negative_log_likelihood(network, x.clone(), &solver, |_| check())
    };
    let exact = solve(Divergence::Exact)?.nll;
    let estimated = solve(Divergence::Hutchinson { probes: PROBES })?;
    let difference: f64 = (exact.iter().zip(&estimated.nll)).map(|(a, b)| b - a).sum();
    let error = estimated.errors.iter().map(|e| e * e).sum::<f64>().sqrt();
    summary.add(
        "Hutchinson's mean NLL against the exact one (standard errors)",
        difference / error,
    );
    Ok(())
}
