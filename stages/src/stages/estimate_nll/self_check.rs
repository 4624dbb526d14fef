//! Self-checks of the likelihood engine, on some points of every region with the given flow.

use super::measure::{Instruments, load};
use super::regions::Region;
use crate::context::{Context, Summary};
use crate::devices::widest;
use crate::error::Result;
use crate::figures::estimate_nll::{DIVERGENCE, FROM_NOISE, HALVED, HUTCHINSON, ROUND_TRIP};
use crate::figures::{filled, in_region};
use crate::priors::{
    Divergence, Flow, NllOptions, Points, ROWS_PER_EVALUATION, Steps, Way, autodiff_divergence,
    difference_divergence, normal_nll,
};
use crate::tensors::to_f64;
use burn::tensor::Tensor;
use std::path::Path;

/// Times at which divergences are compared.
const TIMES: [f64; 3] = [0.1, 0.5, 0.9];
/// Probes of Hutchinson's estimate.
const PROBES: usize = 16;
/// Tolerance of Hutchinson's NLLs in nats, negligible compared with the variance of the probes.
const BESIDE_CHANCE: f64 = 1e-3;
/// Largest change under halved steps without a warning, in nats.
const ACCURATE: f64 = 0.01;

/// Checks the flow in the directory `dir` on `points` points of each of `regions`. With an ODE: the change of
/// an NLL when every step is halved, the difference of the tangents' divergence from autodiff and central
/// differences (in f64 if the device supports it), and the deviation of Hutchinson's mean from the exact one
/// in standard errors. With a closed form: the error of a round trip to noise and back, and of the NLL
/// computed from the noise and `log |det|`.
///
/// # Errors
/// File errors of the flow; a numerical error if an NLL is not finite; [`crate::Error::Cancelled`].
pub fn self_check(
    instruments: &Instruments,
    dir: &Path,
    regions: &[Region],
    points: usize,
    summary: &mut Summary,
    context: &Context,
) -> Result<()> {
    if points == 0 {
        return Ok(());
    }
    context.monitor.phase("self-checks");
    let prior = instruments.flow().prior.as_ref();
    let samples: Vec<(&Region, Points)> = (regions.iter())
        .map(|region| (region, instruments.points(&region.sample(points))))
        .collect();
    let mut worst = Worst::default();
    let check = &mut |_| context.check_cancelled();
    // all regions at once, which takes a device hardly longer than one
    let all = samples.iter().map(|(_, x)| x.values.clone()).collect();
    let all = Points::new(Tensor::cat(all, 0));
    let halving = prior.halving_check(&all, instruments.options(), check)?;
    let exact = halving.is_none();
    let mut solved = halving.iter().flat_map(|h| h.values.iter().zip(&h.changes));
    for (region, x) in &samples {
        if exact {
            worst.round_trip(instruments, x, context)?;
            continue;
        }
        let own = solved.by_ref().take(x.count());
        let (values, changes): (Vec<f64>, Vec<f64>) = own.unzip();
        let change = changes.into_iter().fold(0.0, f64::max);
        note_change(region, change, summary, context);
        worst.change = worst.change.max(change);
        worst.hutchinson(instruments, x, values, context)?;
    }
    if exact {
        summary.add(ROUND_TRIP, worst.round_trip);
        summary.add(FROM_NOISE, worst.from_noise);
        return Ok(());
    }
    let (dtype, told) = widest(&context.device);
    told.into_iter().for_each(|told| context.monitor.warn(told));
    let wide = load(dir, dtype, context)?;
    let all = all.rows().cast(dtype);
    let [count, width] = all.dims();
    let at_once = (ROWS_PER_EVALUATION / (width + 1)).max(1);
    for start in (0..count).step_by(at_once) {
        let some = all.clone().narrow(0, start, at_once.min(count - start));
        worst.divergences(&wide, some, context)?;
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

/// Reports the largest `change` of an NLL of `region` with halved steps, and warns if it is large.
fn note_change(region: &Region, change: f64, summary: &mut Summary, context: &Context) {
    summary.add(in_region(region.name, HALVED), change);
    if change > ACCURATE {
        context.monitor.warn(&format!(
            "{}: halving the solver's steps changes an NLL by {change:.3} nats; lower \
             estimate_nll.tolerance or set estimate_nll.precision to f64",
            region.name
        ));
    }
}

/// Largest errors over all regions so far.
#[derive(Default)]
struct Worst {
    change: f64,
    from_autodiff: f64,
    from_differences: f64,
    /// Sum of Hutchinson's NLLs minus the exact ones.
    difference: f64,
    variance: f64,
    round_trip: f64,
    from_noise: f64,
}

impl Worst {
    /// Compares divergences of `flow` at `x` [n, D], in its element type.
    fn divergences(&mut self, flow: &Flow, x: Tensor<2>, context: &Context) -> Result<()> {
        let (Some(plain), Some(tracked)) = (flow.prior.velocity(), flow.prior.velocity_tracked())
        else {
            return Ok(());
        };
        for time in TIMES {
            context.check_cancelled()?;
            let (_, exact) = plain.velocity_and_divergence(x.clone(), time);
            let exact = to_f64(exact)?;
            let worst = |other: &[f64]| {
                (exact.iter().zip(other))
                    .map(|(a, b)| (a - b).abs() / a.abs().max(1.0))
                    .fold(0.0, f64::max)
            };
            let autodiff = worst(&autodiff_divergence(tracked, x.clone(), time)?);
            self.from_autodiff = self.from_autodiff.max(autodiff);
            let differences = worst(&difference_divergence(plain, x.clone(), time)?);
            self.from_differences = self.from_differences.max(differences);
        }
        Ok(())
    }

    /// Compares Hutchinson's NLLs of `x` with the exact ones, given as `nll` if known.
    fn hutchinson(
        &mut self,
        instruments: &Instruments,
        x: &Points,
        nll: Vec<f64>,
        context: &Context,
    ) -> Result<()> {
        let solve = |divergence, tolerance| {
            let options = NllOptions {
                divergence,
                tolerance,
                ..*instruments.options()
            };
            let prior = &instruments.flow().prior;
            prior.nll(x, &options, &mut |_| context.check_cancelled())
        };
        let tolerance = instruments.options().tolerance;
        let exact = match instruments.options().divergence {
            Divergence::Exact => nll,
            Divergence::Hutchinson { .. } => solve(Divergence::Exact, tolerance)?.values,
        };
        let probes = Divergence::Hutchinson { probes: PROBES };
        let estimated = solve(probes, tolerance.max(BESIDE_CHANCE))?;
        let differences = exact.iter().zip(&estimated.values).map(|(a, b)| b - a);
        self.difference += differences.sum::<f64>();
        self.variance += estimated.errors.iter().map(|e| e * e).sum::<f64>();
        Ok(())
    }

    /// Checks a round trip of `x` to noise and back.
    fn round_trip(
        &mut self,
        instruments: &Instruments,
        x: &Points,
        context: &Context,
    ) -> Result<()> {
        let (prior, options) = (&instruments.flow().prior, instruments.options());
        let check = &mut |_| context.check_cancelled();
        let noised = prior.to_noise(x, options, check)?;
        let condition = x.condition.clone();
        let way = Way::by(Steps::Adaptive(options.tolerance));
        let back = prior.from_noise(noised.noise.clone(), condition, &way, check)?;
        for difference in to_f64(back.points - x.values.clone())? {
            self.round_trip = self.round_trip.max(difference.abs());
        }
        let of_noise = to_f64(normal_nll(noised.noise.flatten(1, 2)))?;
        let nll = prior.nll(x, options, check)?.values;
        for ((nll, of_noise), log_det) in nll.iter().zip(of_noise).zip(noised.log_det) {
            self.from_noise = self.from_noise.max((nll - (of_noise - log_det)).abs());
        }
        Ok(())
    }
}
