//! What the likelihood engine says about itself, on some points of every region and the flow at hand.

use super::measure::Instruments;
use super::regions::Region;
use crate::context::{Context, Summary};
use crate::devices::widest;
use crate::error::Result;
use crate::figures::estimate_nll::{DIVERGENCE, HALVED, HUTCHINSON};
use crate::figures::{filled, in_region};
use crate::flows::{VelocityField, autodiff_divergence, difference_divergence};
use crate::likelihood::{Divergence, Solver, halving_check, negative_log_likelihood};
use crate::tensors::{cast, to_f64};
use burn::module::Module;
use burn::tensor::{DType, Tensor};

/// Times at which divergences are compared.
const TIMES: [f64; 3] = [0.1, 0.5, 0.9];
/// Probes of Hutchinson's estimate.
const PROBES: usize = 16;
/// The largest change under halved steps that goes without a warning, in nats.
const ACCURATE: f64 = 0.01;

/// Checks the solver and the divergence on `points` points of each of `regions`: how much an NLL changes
/// when every step is halved, how far the tangents' divergence is from autodiff's and from central
/// differences (in f64 where the device has it), and how many standard errors Hutchinson's mean is from
/// the exact one.
pub fn self_check(
    instruments: &Instruments,
    regions: &[Region],
    points: usize,
    summary: &mut Summary,
    context: &Context,
) -> Result<()> {
    if points == 0 {
        return Ok(());
    }
    let dtype = widest(&context.device);
    if dtype != DType::F64 {
        context.monitor.warn(
            "the device has no f64: its divergences are compared in f32, where they agree less well",
        );
    }
    let mut worst = Worst::default();
    for region in regions {
        let x = instruments.tensor(region.sample(points), &context.device);
        let change = halving_change(instruments, region, x.clone(), context)?;
        summary.add(in_region(region.name, HALVED), change);
        worst.change = worst.change.max(change);
        worst.divergences(instruments, x.clone().cast(dtype), context)?;
        worst.hutchinson(instruments, x, context)?;
    }
    summary.add(HALVED, worst.change);
    for (other, difference) in [
        ("autodiff", worst.from_autodiff),
        ("central differences", worst.from_differences),
    ] {
        let name = dtype.name();
        let figure = filled(DIVERGENCE, &[&other, &name]);
        summary.add(figure, difference);
    }
    summary.add(HUTCHINSON, worst.difference / worst.variance.sqrt());
    Ok(())
}

/// The largest change of an NLL of `x` with halved steps, and a warning where it is large.
fn halving_change(
    instruments: &Instruments,
    region: &Region,
    x: Tensor<2>,
    context: &Context,
) -> Result<f64> {
    let (network, solver) = (&instruments.flow().network, instruments.solver());
    let change = halving_check(network, x, solver, || context.check_cancelled())?;
    if change > ACCURATE {
        context.monitor.warn(&format!(
            "{}: halving the solver's steps changes an NLL by {change:.3} nats; lower \
             estimate_nll.tolerance or set estimate_nll.precision to f64",
            region.name
        ));
    }
    Ok(change)
}

/// What was found over all regions so far.
#[derive(Default)]
struct Worst {
    change: f64,
    from_autodiff: f64,
    from_differences: f64,
    /// Of Hutchinson's NLLs less the exact ones, added up.
    difference: f64,
    variance: f64,
}

impl Worst {
    /// Divergences at `x` [n, d], in its element type.
    fn divergences(
        &mut self,
        instruments: &Instruments,
        x: Tensor<2>,
        context: &Context,
    ) -> Result<()> {
        let plain = cast(instruments.flow().network.clone(), x.dtype()).no_grad();
        let tracked = cast(instruments.tracked().clone(), x.dtype()).no_grad();
        for time in TIMES {
            context.check_cancelled()?;
            let (_, exact) = plain.velocity_and_divergence(x.clone(), time);
            let exact = to_f64(exact)?;
            let worst = |other: &[f64]| {
                (exact.iter().zip(other))
                    .map(|(a, b)| (a - b).abs() / a.abs().max(1.0))
                    .fold(0.0, f64::max)
            };
            let autodiff = worst(&autodiff_divergence(&tracked, x.clone(), time)?);
            self.from_autodiff = self.from_autodiff.max(autodiff);
            let differences = worst(&difference_divergence(&plain, x.clone(), time)?);
            self.from_differences = self.from_differences.max(differences);
        }
        Ok(())
    }

    /// Hutchinson's NLLs of `x` [n, d] beside the exact ones.
    fn hutchinson(
        &mut self,
        instruments: &Instruments,
        x: Tensor<2>,
        context: &Context,
    ) -> Result<()> {
        let solve = |divergence| {
            let solver = Solver {
                divergence,
                ..*instruments.solver()
            };
            let network = &instruments.flow().network;
            negative_log_likelihood(network, x.clone(), &solver, |_| context.check_cancelled())
        };
        let exact = solve(Divergence::Exact)?.nll;
        let estimated = solve(Divergence::Hutchinson { probes: PROBES })?;
        let differences = exact.iter().zip(&estimated.nll).map(|(a, b)| b - a);
        self.difference += differences.sum::<f64>();
        self.variance += estimated.errors.iter().map(|e| e * e).sum::<f64>();
        Ok(())
    }
}
