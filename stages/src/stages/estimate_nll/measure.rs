//! Everything that is measured over one region.

use super::config::Config;
use super::regions::Region;
use crate::alignment::{Draws, Estimates, Weighted, Weighting};
use crate::context::Context;
use crate::error::Result;
use crate::figures::estimate_nll::{ANALYTIC, EXACT_VELOCITY, ODE};
use crate::flows::{Flow, VelocityField, VelocityNetwork};
use crate::likelihood::{
    Agreement, Likelihoods, Solver, Verdict, agreement, negative_log_likelihood, nll_gradient,
};
use crate::numerics::{Interval, Scale, intervals};
use crate::random::Streams;
use crate::tensors::{cast, from_f32};
use burn::module::Module;
use burn::tensor::{Device, Tensor};

/// What measures: fields, draws and solver, the same for all regions.
pub struct Instruments<'a> {
    config: &'a Config,
    flow: Flow,
    /// Its network on a device with autodiff.
    tracked: VelocityNetwork,
    exact: Option<Box<dyn VelocityField>>,
    /// For each of [`Weighting::ALL`].
    draws: [Draws; Weighting::ALL.len()],
    solver: Solver,
    streams: Streams,
    device: Device,
}

/// A region and what was found there.
pub struct Measured {
    /// The region.
    pub region: Region,
    /// By the ODE.
    pub likelihoods: Likelihoods,
    /// The analytic NLL, where it is known.
    pub analytic: Option<Vec<f64>>,
    /// The alignment loss under each of [`Weighting::ALL`].
    pub losses: Vec<Estimates>,
    /// The same with the exact velocity, where it is known.
    pub exact_losses: Option<Vec<Estimates>>,
    /// Each surrogate against each reference.
    pub compared: Vec<Compared>,
}

impl Measured {
    /// What verdicts are about: the analytic NLL where it is known, since off the data the ODE of a
    /// trained flow need not be the truth, and else the ODE's.
    pub fn reference(&self) -> &'static str {
        match self.analytic {
            Some(_) => ANALYTIC,
            None => ODE,
        }
    }

    /// How the alignment loss of the trained flow under `weighting` follows `reference`.
    pub fn compared(&self, weighting: Weighting, reference: &str) -> &Compared {
        (self.compared.iter())
            .find(|c| c.surrogate == weighting.surrogate() && c.reference == reference)
            .expect("every weighting is compared with every reference there is")
    }
}

/// How one column follows another.
pub struct Compared {
    /// The surrogate.
    pub surrogate: String,
    /// What it is compared with.
    pub reference: &'static str,
    /// The figures.
    pub agreement: Agreement,
    /// Whether it is the alignment loss of the trained flow: the others say what the ODE and an exact
    /// velocity are worth.
    pub is_trained: bool,
    /// The cosine of the angle between the gradients of both, mean over points.
    pub cosine: Option<Interval>,
    /// What the surrogate is good for.
    pub verdict: Verdict,
}

impl<'a> Instruments<'a> {
    /// Instruments for `flow`, which is on a device with autodiff.
    pub fn new(config: &'a Config, mut flow: Flow, context: &Context) -> Self {
        let streams = Streams::of_stage("estimate-nll", context.seed);
        let dtype = config.precision.dtype();
        let tracked = cast(flow.network, dtype).no_grad();
        flow.network = tracked.valid();
        let exact = flow.exact_field(dtype, &context.device);
        let width = flow.normaliser.output_width;
        Self {
            exact: exact.map(|field| Box::new(field) as Box<dyn VelocityField>),
            draws: Weighting::ALL.map(|weighting| {
                let weighted = Weighted {
                    weighting,
                    truncation: config.truncation,
                };
                Draws::new(weighted, config.draws, width, streams)
            }),
            solver: Solver {
                tolerance: config.tolerance,
                divergence: config.divergence,
                streams,
            },
            device: context.device.clone(),
            config,
            flow,
            tracked,
            streams,
        }
    }

    /// The flow.
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// The network on a device with autodiff.
    pub fn tracked(&self) -> &VelocityNetwork {
        &self.tracked
    }

    /// Evaluations of the velocity behind a point's loss, under each of [`Weighting::ALL`].
    pub fn draws(&self) -> usize {
        self.draws[0].count()
    }

    /// The solver.
    pub fn solver(&self) -> &Solver {
        &self.solver
    }

    /// Points on the host as a tensor [n, d] in the precision asked for.
    pub fn tensor(&self, points: Vec<f32>, device: &Device) -> Tensor<2> {
        let width = self.flow.normaliser.output_width;
        let dims = [points.len() / width, width];
        from_f32(points, dims, device).cast(self.config.precision.dtype())
    }

    /// The alignment loss of points [n, d] under the uniform weighting, with the draws of the regions.
    pub fn uniform_losses(
        &self,
        points: Vec<f32>,
        check: impl Fn() -> Result<()>,
    ) -> Result<Vec<f64>> {
        let draws = &self.draws[Weighting::Uniform.index()];
        let points = self.tensor(points, &self.device);
        Ok(draws.estimate(&self.flow.network, points, check)?.values)
    }

    /// Measures `region`. `progress` is given the share that is done.
    pub fn measure(
        &self,
        region: Region,
        progress: impl Fn(f64) -> Result<()>,
    ) -> Result<Measured> {
        let points = self.tensor(region.points.clone(), &self.device);
        let estimate = |field: &dyn VelocityField, from: f64| -> Result<Vec<Estimates>> {
            let of = |draws: &Draws| draws.estimate(field, points.clone(), || progress(from));
            self.draws.iter().map(of).collect()
        };
        // of the time, solving takes most
        let losses = estimate(&self.flow.network, 0.0)?;
        let exact_losses = (self.exact.as_deref())
            .map(|field| estimate(field, 0.2))
            .transpose()?;
        let likelihoods =
            negative_log_likelihood(&self.flow.network, points.clone(), &self.solver, |share| {
                progress(0.3 + 0.5 * share)
            })?;
        let analytic = self.flow.analytic_nll(&region.points);
        let cosines = self.cosines(&region, || progress(0.8))?;
        let mut compared = Vec::new();
        let mut compare =
            |surrogate: String, x: &[Vec<f64>], reference, y: &[f64], in_nats, cosine| {
                let group = region.group;
                let kept = finite_groups(y, group);
                let pick = |values: &[f64]| kept.iter().map(|&i| values[i]).collect::<Vec<f64>>();
                let x: Vec<Vec<f64>> = x.iter().map(|rule| pick(rule)).collect();
                let agreement = agreement(&x, &pick(y), group, self.streams);
                compared.push(Compared {
                    is_trained: Weighting::ALL.iter().any(|w| w.surrogate() == surrogate),
                    surrogate,
                    reference,
                    agreement,
                    cosine,
                    verdict: Verdict::on(&agreement, in_nats),
                });
            };
        for (i, weighting) in Weighting::ALL.into_iter().enumerate() {
            let in_nats = weighting.in_nats();
            let (name, values) = (weighting.surrogate(), &losses[i].rules);
            let cosine = cosines.as_ref().map(|c| c[i]);
            compare(name.into(), values, ODE, &likelihoods.nll, in_nats, cosine);
            let Some(analytic) = &analytic else { continue };
            compare(name.into(), values, ANALYTIC, analytic, in_nats, None);
            if let Some(exact) = &exact_losses {
                let name = format!("{name}, {EXACT_VELOCITY}");
                compare(name, &exact[i].rules, ANALYTIC, analytic, in_nats, None);
            }
        }
        if let Some(analytic) = &analytic {
            let ode = [likelihoods.nll.clone()];
            compare(ODE.into(), &ode, ANALYTIC, analytic, true, None);
        }
        Ok(Measured {
            region,
            likelihoods,
            analytic,
            losses,
            exact_losses,
            compared,
        })
    }

    /// The cosine of the angle between the gradient of the loss under each weighting and that of the
    /// ODE's NLL, mean over some points of `region`.
    fn cosines(
        &self,
        region: &Region,
        check: impl Fn() -> Result<()>,
    ) -> Result<Option<Vec<Interval>>> {
        let points = region.sample(self.config.gradient_points);
        if points.is_empty() {
            return Ok(None);
        }
        let width = region.width;
        let points = self.tensor(points, &self.device);
        // the graph of a solve is long: the tolerance is that of a direction
        let solver = Solver {
            tolerance: self.config.tolerance.max(1e-3),
            ..self.solver
        };
        let (field, tracked) = (&self.flow.network, &self.tracked);
        let reference = nll_gradient(field, tracked, points.clone(), &solver, &check)?;
        let points = Tensor::from_inner(points);
        let mut cosines = Vec::new();
        for draws in &self.draws {
            let by_rule = draws.gradients(tracked, points.clone(), &check)?;
            let total: Vec<f64> = (0..reference.len())
                .map(|i| by_rule.iter().map(|rule| rule[i]).sum())
                .collect();
            let shape = (reference.len() / width, 1, by_rule.len());
            let scales = [Scale::CORRELATION];
            let [mean] = intervals(shape, self.streams, scales, |kept| {
                let of_point = |&point: &usize| {
                    let at = point * width..(point + 1) * width;
                    let gradient: Vec<f64> = (at.clone())
                        .map(|i| total[i] - kept.without.map_or(0.0, |rule| by_rule[rule][i]))
                        .collect();
                    cosine(&gradient, &reference[at])
                };
                [kept.points.iter().map(of_point).sum::<f64>() / kept.points.len() as f64]
            });
            cosines.push(mean);
        }
        Ok(Some(cosines))
    }
}

/// The points of groups in which every number is finite: an analytic density may be zero somewhere.
fn finite_groups(values: &[f64], group: usize) -> Vec<usize> {
    (values.chunks_exact(group).enumerate())
        .filter(|(_, values)| values.iter().all(|v| v.is_finite()))
        .flat_map(|(number, _)| number * group..(number + 1) * group)
        .collect()
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
