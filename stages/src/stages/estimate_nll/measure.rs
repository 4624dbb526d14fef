//! Measurements of a region.

use super::config::Config;
use super::regions::Region;
use super::witnessed::{Witnessed, gradient};
use crate::alignment::{Estimates, Weighting};
use crate::context::Context;
use crate::error::Result;
use crate::figures::estimate_nll::{ANALYTIC, EXACT, EXACT_VELOCITY, ODE, WITNESS};
use crate::inference::{Scores, Scoring};
use crate::likelihood::{Agreement, Verdict, agreement};
use crate::numerics::{Interval, Scale, intervals};
use crate::priors::{Batch, Flow, Nll, NllKind, NllOptions, Placement, Points, Witness};
use crate::random::Streams;
use burn::tensor::{DType, Tensor};
use std::borrow::Cow;
use std::path::Path;

/// The flow, draws and options, shared by all regions.
pub struct Instruments<'a> {
    config: &'a Config,
    scoring: Scoring,
    witness: Option<Witness>,
}

/// A region and its measurements.
pub struct Measured {
    pub region: Region,
    /// Under the flow.
    pub likelihoods: Nll,
    /// The analytic NLL, if known.
    pub analytic: Option<Vec<f64>>,
    /// Under the witness, if there is one.
    pub witness: Option<Witnessed>,
    /// The alignment loss under each of [`Weighting::ALL`]; empty for a flow without a velocity.
    pub losses: Vec<Estimates>,
    /// The same with the exact velocity, if known.
    pub exact_losses: Option<Vec<Estimates>>,
    /// Each surrogate against each reference.
    pub compared: Vec<Compared>,
}

impl Measured {
    /// The reference of verdicts: the analytic NLL if known, since off the data the ODE of a trained flow need not
    /// be correct, else the ODE's.
    pub fn reference(&self) -> &'static str {
        match self.analytic {
            Some(_) => ANALYTIC,
            None => self.own(),
        }
    }

    /// Name of the flow's own NLL.
    pub fn own(&self) -> &'static str {
        own(self.likelihoods.kind)
    }

    /// The comparison of `surrogate` with `reference`; None for a loss if the flow has no velocity.
    pub fn compared(&self, surrogate: &str, reference: &str) -> Option<&Compared> {
        (self.compared.iter()).find(|c| c.surrogate == surrogate && c.reference == reference)
    }
}

/// Name of NLLs of this kind.
fn own(kind: NllKind) -> &'static str {
    match kind {
        NllKind::Ode => ODE,
        NllKind::Exact => EXACT,
    }
}

/// Comparison of two columns.
pub struct Compared {
    pub surrogate: String,
    pub reference: &'static str,
    pub agreement: Agreement,
    /// Whether it is the alignment loss of the trained flow; others measure the ODE or the exact velocity.
    pub is_trained: bool,
    /// Cosine of the angle between the gradients, mean over points.
    pub cosine: Option<Interval>,
    pub verdict: Verdict,
}

/// The comparisons of a region, one after another.
struct Comparisons<'a> {
    region: &'a Region,
    streams: Streams,
    compared: Vec<Compared>,
}

impl<'a> Comparisons<'a> {
    fn new(region: &'a Region, streams: Streams) -> Self {
        let compared = Vec::new();
        Self {
            region,
            streams,
            compared,
        }
    }

    /// Compares the rules `x` of `surrogate` with `y`.
    fn add(
        &mut self,
        (surrogate, x): (&str, &[Vec<f64>]),
        (reference, y): (&'static str, &[f64]),
        in_nats: bool,
        cosine: Option<Interval>,
    ) {
        // points that the witness scores together count once
        let group = self.region.group * y.len() / self.region.count().max(1);
        let kept = finite_groups(y, group);
        let pick = |values: &[f64]| kept.iter().map(|&i| values[i]).collect::<Vec<f64>>();
        let x: Vec<Vec<f64>> = x.iter().map(|rule| pick(rule)).collect();
        let agreement = agreement(&x, &pick(y), group, self.streams);
        self.compared.push(Compared {
            is_trained: Weighting::ALL.iter().any(|w| w.surrogate() == surrogate),
            surrogate: surrogate.to_owned(),
            reference,
            agreement,
            cosine,
            verdict: Verdict::on(&agreement, in_nats),
        });
    }

    /// Each loss with each NLL.
    fn of_losses(&mut self, scores: &Scores, witness: Option<&Witnessed>, cosines: &Cosines) {
        let nll = (own(scores.likelihoods.kind), &*scores.likelihoods.values);
        for (i, (weighting, loss)) in Weighting::ALL.into_iter().zip(&scores.losses).enumerate() {
            let (name, in_nats) = (weighting.surrogate(), weighting.in_nats());
            let values = (name, &*loss.rules);
            self.add(values, nll, in_nats, cosines.losses.get(i).copied());
            if let Some(witness) = witness {
                let rules: Vec<_> = loss.rules.iter().map(|rule| witness.sums(rule)).collect();
                let cosine = cosines.losses_witness.get(i).copied();
                let nll = (WITNESS, &*witness.values);
                self.add((name, &rules), nll, in_nats, cosine);
            }
            let Some(analytic) = &scores.analytic else {
                continue;
            };
            self.add(values, (ANALYTIC, analytic), in_nats, None);
            if let Some(exact) = &scores.exact_losses {
                let name = format!("{name}, {EXACT_VELOCITY}");
                let values = (&*name, &*exact[i].rules);
                self.add(values, (ANALYTIC, analytic), in_nats, None);
            }
        }
    }

    /// NLLs with each other.
    fn of_likelihoods(&mut self, scores: &Scores, witness: Option<&Witnessed>, cosines: &Cosines) {
        let (own, nll) = (own(scores.likelihoods.kind), &scores.likelihoods.values);
        if let Some(analytic) = &scores.analytic {
            let found = [nll.clone()];
            self.add((own, &found), (ANALYTIC, analytic), true, None);
        }
        let Some(witness) = witness else { return };
        let (found, reference) = ([witness.sums(nll)], (WITNESS, &*witness.values));
        self.add((own, &found), reference, true, cosines.own_witness);
        if let Some(analytic) = &scores.analytic {
            let (found, analytic) = ([witness.values.clone()], witness.sums(analytic));
            self.add((WITNESS, &found), (ANALYTIC, &analytic), true, None);
        }
    }
}

impl<'a> Instruments<'a> {
    /// Instruments for the flow in the directory `dir` and the witness in another, if there is one.
    ///
    /// # Errors
    /// As [`Flow::load`] and [`Witness::load`].
    pub fn new(
        config: &'a Config,
        dir: &Path,
        witness: Option<&Path>,
        context: &Context,
    ) -> Result<Self> {
        let (seed, device) = (context.streams.seed(), &context.device);
        let scoring = Scoring::new(&config.scoring(), dir, seed, device, true)?;
        let place = placement(config.precision.dtype(), context);
        let witness = witness
            .map(|dir| Witness::load(dir, scoring.flow(), &place))
            .transpose()?;
        Ok(Self {
            config,
            scoring,
            witness,
        })
    }

    /// The flow.
    pub fn flow(&self) -> &Flow {
        self.scoring.flow()
    }

    /// Velocity evaluations per point and loss, for each of [`Weighting::ALL`]; None for a flow without a
    /// velocity.
    pub fn draws(&self) -> Option<usize> {
        Some(self.scoring.draws()?[0].count())
    }

    /// How likelihoods are computed.
    pub fn options(&self) -> &NllOptions {
        self.scoring.options()
    }

    /// Moves points from the host to the device in the requested precision, with their conditions. Flows with a
    /// velocity use the condition "none", as for latents, since the alignment loss uses that velocity.
    pub fn points(&self, batch: &Batch) -> Points {
        self.scoring.points(&self.without_conditions(batch))
    }

    /// `batch` with the conditions it is scored with: see [`Self::points`].
    fn without_conditions<'b>(&self, batch: &'b Batch) -> Cow<'b, Batch> {
        match (self.scoring.draws(), &batch.conditions) {
            (Some(_), Some(_)) => Cow::Owned(Batch {
                values: batch.values.clone(),
                conditions: None,
            }),
            _ => Cow::Borrowed(batch),
        }
    }

    /// The alignment loss of points [n, T d] under the uniform weighting, with the draws of the regions; None for
    /// a flow without a velocity.
    ///
    /// # Errors
    /// As [`Scoring::score`].
    pub fn uniform_losses(
        &self,
        points: Vec<f32>,
        check: impl Fn() -> Result<()>,
    ) -> Result<Option<Vec<f64>>> {
        let (Some(draws), Some(velocity)) = (self.scoring.draws(), self.flow().prior.velocity())
        else {
            return Ok(None);
        };
        let draws = &draws[Weighting::Uniform.index()];
        let points = self.points(&Batch {
            values: points,
            conditions: None,
        });
        Ok(Some(draws.estimate(velocity, points.rows(), check)?.values))
    }

    /// Measures `region`. `progress` receives the finished fraction.
    ///
    /// # Errors
    /// Errors of `progress`; a numerical error if a loss or an NLL is not finite; device errors.
    pub fn measure(
        &self,
        region: Region,
        progress: impl Fn(f64) -> Result<()>,
    ) -> Result<Measured> {
        let points = self.without_conditions(&region.points);
        let scores = (self.scoring).score(&points, &mut |share| progress(0.8 * share))?;
        let witness = self.witnessed(&region, || progress(0.8))?;
        let cosines = self.cosines(&region, || progress(0.8))?;
        let streams = self.options().streams;
        let mut comparisons = Comparisons::new(&region, streams);
        comparisons.of_losses(&scores, witness.as_ref(), &cosines);
        comparisons.of_likelihoods(&scores, witness.as_ref(), &cosines);
        let compared = comparisons.compared;
        let Scores {
            likelihoods,
            analytic,
            losses,
            exact_losses,
        } = scores;
        Ok(Measured {
            likelihoods,
            analytic,
            witness,
            losses,
            exact_losses,
            compared,
            region,
        })
    }

    /// Scores of the witness for `region`; None without a witness, or if it scores whole rows and the region has
    /// single points.
    fn witnessed(
        &self,
        region: &Region,
        check: impl Fn() -> Result<()>,
    ) -> Result<Option<Witnessed>> {
        let Some(witness) = &self.witness else {
            return Ok(None);
        };
        let points = self.without_conditions(&region.points);
        let (flow, options) = (self.flow(), self.options());
        Witnessed::of(witness, flow, region, &points, options, &mut |_| check())
    }

    /// The cosines of the angles between gradients at a sample of points of `region`.
    fn cosines(&self, region: &Region, check: impl Fn() -> Result<()>) -> Result<Cosines> {
        let mut found = Cosines::default();
        let points = region.sample(self.config.gradient_points);
        let prior = self.flow().prior.as_ref();
        let losses = self.scoring.draws().zip(prior.velocity_tracked());
        if points.values.is_empty() || losses.is_none() && self.witness.is_none() {
            return Ok(found);
        }
        let width = region.width;
        let points = self.points(&points);
        // the graph of a solve is long: the tolerance suffices for a direction
        let options = NllOptions {
            tolerance: self.config.tolerance.max(1e-3),
            ..*self.options()
        };
        let own = prior.nll_gradient(&points, &options, &mut |_| check())?;
        let witness = match &self.witness {
            Some(witness) => gradient(witness, self.flow(), &points)?,
            None => None,
        };
        let streams = self.options().streams;
        if let Some((draws, tracked)) = losses {
            let points = Tensor::from_inner(points.rows());
            for draws in draws {
                let by_rule = draws.gradients(tracked, points.clone(), &check)?;
                let mean = |reference: &[f64]| mean_cosine(&by_rule, reference, width, streams);
                found.losses.push(mean(&own));
                found.losses_witness.extend(witness.as_deref().map(mean));
            }
        }
        let by_rule = [own];
        found.own_witness = witness.map(|w| mean_cosine(&by_rule, &w, width, streams));
        Ok(found)
    }
}

/// Mean cosines of the angles between gradients, over a sample of points.
#[derive(Default)]
struct Cosines {
    /// Between the loss under each weighting and the flow's NLL; empty for a flow without a velocity.
    losses: Vec<Interval>,
    /// Between the same losses and the witness's NLL; empty without a witness, and if its points are larger.
    losses_witness: Vec<Interval>,
    /// Between the NLLs of flow and witness.
    own_witness: Option<Interval>,
}

/// Mean over points of the cosine of the angle between the sum of the gradients `by_rule` and `reference`, each
/// [n, width].
fn mean_cosine(
    by_rule: &[Vec<f64>],
    reference: &[f64],
    width: usize,
    streams: Streams,
) -> Interval {
    let total: Vec<f64> = (0..reference.len())
        .map(|i| by_rule.iter().map(|rule| rule[i]).sum())
        .collect();
    let shape = (reference.len() / width, 1, by_rule.len());
    let scales = [Scale::CORRELATION];
    let [mean] = intervals(shape, streams, scales, |kept| {
        let of_point = |&point: &usize| {
            let at = point * width..(point + 1) * width;
            let gradient: Vec<f64> = (at.clone())
                .map(|i| total[i] - kept.without.map_or(0.0, |rule| by_rule[rule][i]))
                .collect();
            cosine(&gradient, &reference[at])
        };
        [kept.points.iter().map(of_point).sum::<f64>() / kept.points.len() as f64]
    });
    mean
}

/// Placement of priors: element type `dtype`, with gradients.
fn placement(dtype: DType, context: &Context) -> Placement {
    Placement {
        dtype,
        ..Placement::on(&context.device).for_gradients()
    }
}

/// Loads the flow in the directory `dir` with element type `dtype`, with gradients.
///
/// # Errors
/// As [`Flow::load`].
pub fn load(dir: &Path, dtype: DType, context: &Context) -> Result<Flow> {
    Flow::load(dir, &placement(dtype, context))
}

/// The points of groups without infinite values: an analytic density may be zero.
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
