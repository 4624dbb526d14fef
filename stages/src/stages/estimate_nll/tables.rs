//! Measurements as tables and as summary figures.

use super::measure::{Compared, Measured};
use super::witnessed::Witnessed;
use crate::alignment::{Draws, Weighting};
use crate::context::{Summary, Table};
use crate::figures::{INTERVAL, ITS_ERROR, error_beside, estimate_nll as names, filled, in_region};
use crate::likelihood::Verdict;
use crate::numerics::{Interval, mean, standard_error};
use crate::priors::NllKind;

/// One row per point.
pub fn points_table(measured: &[Measured]) -> Table {
    let column = |values: &dyn Fn(&Measured) -> Vec<f64>| -> Vec<f64> {
        measured.iter().flat_map(values).collect()
    };
    let integers = |values: &dyn Fn(&Measured) -> Vec<i64>| -> Vec<i64> {
        measured.iter().flat_map(values).collect()
    };
    let regions = measured.iter();
    let regions = regions.flat_map(|m| vec![m.region.name.to_owned(); m.region.count()]);
    let points = |m: &Measured| 0..m.region.count() as i64;
    let group = |m: &Measured, point: i64| point / m.region.group as i64;
    let mut table = Table::default();
    table.text(names::REGION, regions.collect());
    table.int(names::POINT, integers(&|m| points(m).collect()));
    let groups = integers(&|m| points(m).map(|point| group(m, point)).collect());
    table.int(names::GROUP, groups);
    let values = column(&|m| m.likelihoods.values.clone());
    match measured[0].likelihoods.kind {
        NllKind::Exact => table.float(names::NLL_EXACT, values),
        NllKind::Ode => {
            let settled = |m: &Measured| m.likelihoods.settled.iter().map(|&s| s.into()).collect();
            let settled = integers(&settled);
            (table.float(names::NLL_ODE, values)).int(names::NLL_ODE_SETTLED, settled)
        }
    };
    if measured.iter().any(|m| !m.likelihoods.errors.is_empty()) {
        let errors = column(&|m| m.likelihoods.errors.clone());
        table.float(names::NLL_ODE_ERROR, errors);
    }
    let analytic = column(&|m| or_missing(m, m.analytic.clone()));
    table.float(names::NLL_ANALYTIC, analytic);
    if measured.iter().any(|m| m.witness.is_some()) {
        let by_point = |m: &Measured| m.witness.as_ref().map(Witnessed::by_point);
        let witness = column(&|m| or_missing(m, by_point(m)));
        table.float(names::NLL_WITNESS, witness);
    }
    let losses = Weighting::ALL.into_iter().enumerate();
    for (i, weighting) in losses.filter(|_| !measured[0].losses.is_empty()) {
        let name = |name| filled(name, &[&weighting]);
        let exact = |m: &Measured| m.exact_losses.as_ref().map(|e| e[i].values.clone());
        table
            .float(name(names::LOSS), column(&|m| m.losses[i].values.clone()))
            .float(
                name(names::LOSS_ERROR),
                column(&|m| m.losses[i].errors.clone()),
            )
            .float(
                name(names::LOSS_EXACT_VELOCITY),
                column(&|m| or_missing(m, exact(m))),
            );
    }
    for axis in 0..measured[0].region.width {
        let coordinate = |m: &Measured| {
            let values = m.region.points.values.iter().skip(axis);
            let values = values.step_by(m.region.width);
            values.map(|&x| f64::from(x)).collect()
        };
        table.float(filled(names::COORDINATE, &[&axis]), column(&coordinate));
    }
    table
}

/// `values`, or NaN for each point of `m`.
fn or_missing(m: &Measured, values: Option<Vec<f64>>) -> Vec<f64> {
    values.unwrap_or_else(|| vec![f64::NAN; m.region.count()])
}

/// One row per figure, pair of columns and region.
pub fn agreement_table(measured: &[Measured]) -> Table {
    struct Row<'a> {
        region: &'a str,
        surrogate: &'a str,
        reference: &'a str,
        figure: &'a str,
        interval: Interval,
    }
    let mut rows = Vec::new();
    for m in measured {
        for compared in &m.compared {
            let mut row = |figure, interval| {
                rows.push(Row {
                    region: m.region.name,
                    surrogate: &compared.surrogate,
                    reference: compared.reference,
                    figure,
                    interval,
                });
            };
            for (figure, interval) in compared.agreement.figures() {
                row(figure, interval);
            }
            if let Some(cosine) = compared.cosine {
                row(names::COSINE, cosine);
            }
            let verdict = compared.verdict.figure();
            row(
                Verdict::FIGURE,
                Interval {
                    value: verdict,
                    low: f64::NAN,
                    high: f64::NAN,
                },
            );
        }
    }
    let text =
        |f: for<'a> fn(&Row<'a>) -> &'a str| rows.iter().map(|row| f(row).to_owned()).collect();
    let float = |f: fn(&Interval) -> f64| rows.iter().map(|row| f(&row.interval)).collect();
    let mut table = Table::default();
    table.text(names::REGION, text(|row| row.region));
    table.text(names::SURROGATE, text(|row| row.surrogate));
    table.text(names::REFERENCE, text(|row| row.reference));
    table.text(names::FIGURE, text(|row| row.figure));
    table.float(names::VALUE, float(|interval| interval.value));
    table.float(names::LOW, float(|interval| interval.low));
    table.float(names::HIGH, float(|interval| interval.high));
    table
}

/// The figures of each region. NLLs are in nats, of points of the flow. Correlations, slopes and verdicts
/// of the losses refer to [`Measured::reference`].
pub fn figures(measured: &[Measured], summary: &mut Summary) {
    for m in measured {
        let name = m.region.name;
        let mut add = |label: &str, value| {
            summary.add(in_region(name, label), value);
        };
        add(names::POINTS, m.region.count() as f64);
        likelihoods(m, &mut add);
        losses(m, &mut add);
        against_own(m, &mut add);
        against_witness(m, &mut add);
        against_analytic(m, &mut add);
    }
    if let Some((gap, error)) = gap(measured) {
        summary.add(names::GAP, gap);
        summary.add(ITS_ERROR, error);
    }
}

/// Mean NLLs by the flow, the witness and the target.
fn likelihoods(m: &Measured, add: &mut impl FnMut(&str, f64)) {
    let nll = match m.likelihoods.kind {
        NllKind::Ode => names::NLL,
        NllKind::Exact => names::NLL_IN_CLOSED_FORM,
    };
    add(nll, mean(&m.likelihoods.values));
    let error = standard_error(&m.likelihoods.values, m.region.group);
    add(ITS_ERROR, error);
    if !m.likelihoods.errors.is_empty() {
        let squares = m.likelihoods.errors.iter().map(|e| e * e);
        let mean_square = mean(&squares.collect::<Vec<_>>());
        add(names::PROBE_ERROR, mean_square.sqrt());
    }
    if let Some(witness) = &m.witness {
        let share = (witness.together as f64).recip();
        let (values, group) = (&witness.values, m.region.group / witness.together);
        add(names::NLL_OF_WITNESS, share * mean(values));
        let error = error_beside(names::NLL_OF_WITNESS);
        add(&error, share * standard_error(values, group));
        if witness.together > 1 {
            add(names::TOGETHER, witness.together as f64);
        }
    }
    if let Some(analytic) = &m.analytic {
        let finite: Vec<f64> = analytic.iter().copied().filter(|v| v.is_finite()).collect();
        add(names::ANALYTIC_NLL, mean(&finite));
        let outside = analytic.len() - finite.len();
        if outside > 0 {
            add(names::OUTSIDE, outside as f64);
        }
    }
}

/// The mean of each loss, with an interval over its draws.
fn losses(m: &Measured, add: &mut impl FnMut(&str, f64)) {
    for (weighting, loss) in Weighting::ALL.into_iter().zip(&m.losses) {
        let value = mean(&loss.values);
        let half = Draws::quantile() * loss.mean_error;
        let of_draws = Interval {
            value,
            low: value - half,
            high: value + half,
        };
        let label = match weighting {
            Weighting::Uniform => names::MEAN_UNIFORM_LOSS,
            Weighting::Likelihood => names::MEAN_BOUND,
        };
        with_interval(add, label, of_draws);
    }
}

/// Agreement of the losses with [`Measured::reference`].
fn against_own(m: &Measured, add: &mut impl FnMut(&str, f64)) {
    for weighting in Weighting::ALL {
        let Some(found) = m.compared(weighting.surrogate(), m.reference()) else {
            continue;
        };
        for (figure, interval) in found.agreement.figures() {
            if ![names::BIAS, names::RMSE].contains(&figure) {
                with_interval(add, &format!("{weighting}, {figure}"), interval);
            }
        }
        // gradients are compared with the flow's own
        let beside_own = m.compared(weighting.surrogate(), m.own());
        if let Some(cosine) = beside_own.and_then(|c| c.cosine) {
            with_interval(add, &format!("{weighting}, {}", names::COSINE), cosine);
        }
        let verdict = format!("{weighting}, {}", Verdict::FIGURE);
        add(&verdict, found.verdict.figure());
    }
}

/// Agreement with the density of an analytic target.
fn against_analytic(m: &Measured, add: &mut impl FnMut(&str, f64)) {
    for found in m.compared.iter().filter(|c| c.reference == names::ANALYTIC) {
        let exact = found.surrogate.strip_suffix(names::EXACT_VELOCITY);
        let exact = exact.and_then(|loss| loss.strip_suffix(", "));
        let likelihood = [m.own(), names::WITNESS].into_iter();
        let Some(label) = exact.or(likelihood.into_iter().find(|l| found.surrogate == *l)) else {
            continue; // only in the table
        };
        let label = match label {
            names::ODE => names::ODE_AGAINST_ANALYTIC.to_owned(),
            names::EXACT => names::EXACT_AGAINST_ANALYTIC.to_owned(),
            names::WITNESS => names::WITNESS_AGAINST_ANALYTIC.to_owned(),
            loss => format!("{}, {loss}", names::EXACT_VELOCITY),
        };
        let in_nats = (Weighting::ALL.into_iter())
            .filter(|w| found.surrogate.starts_with(w.surrogate()))
            .all(Weighting::in_nats);
        for (figure, interval) in found.agreement.figures() {
            if figure == names::SPEARMAN
                || in_nats && [names::BIAS, names::RMSE, names::SLOPE].contains(&figure)
            {
                with_interval(add, &format!("{label}, {figure}"), interval);
            }
        }
    }
}

/// Agreement of the flow's own NLL and the losses with the NLL of the witness.
fn against_witness(m: &Measured, add: &mut impl FnMut(&str, f64)) {
    let losses = Weighting::ALL.map(|w| (w.name().to_owned(), w.surrogate(), w.in_nats()));
    let own = match m.likelihoods.kind {
        NllKind::Ode => "ODE",
        NllKind::Exact => "exact",
    };
    let own = (own.to_owned(), m.own(), true);
    for (word, surrogate, in_nats) in [own].into_iter().chain(losses) {
        let Some(found) = m.compared(surrogate, names::WITNESS) else {
            continue;
        };
        let Compared {
            agreement,
            cosine,
            verdict,
            ..
        } = found;
        let label = filled(names::AGAINST_WITNESS, &[&word]);
        for (figure, interval) in agreement.figures() {
            if in_nats || ![names::BIAS, names::RMSE].contains(&figure) {
                with_interval(add, &format!("{label}, {figure}"), interval);
            }
        }
        if let Some(cosine) = cosine {
            with_interval(add, &format!("{label}, {}", names::COSINE), *cosine);
        }
        add(&format!("{label}, {}", Verdict::FIGURE), verdict.figure());
    }
}

fn with_interval(add: &mut impl FnMut(&str, f64), label: &str, interval: Interval) {
    add(label, interval.value);
    let [low, high] = INTERVAL.map(|end| format!("{label}{end}"));
    add(&low, interval.low);
    add(&high, interval.high);
}

/// The region to show: the first available one of `names`.
pub fn first<'a>(measured: &'a [Measured], names: &[&str]) -> Option<&'a Measured> {
    let found = |name: &&str| measured.iter().find(|m| m.region.name == *name);
    names.iter().find_map(found)
}

/// The mean NLL of the shown latents minus that of the features, and its standard error.
pub fn gap(measured: &[Measured]) -> Option<(f64, f64)> {
    let of = |names: &[&str]| {
        let m = first(measured, names)?;
        let nll = &m.likelihoods.values;
        Some((mean(nll), standard_error(nll, m.region.group)))
    };
    let ((features, a), (latents, b)) = (of(&names::FEATURES)?, of(&names::LATENTS)?);
    Some((latents - features, a.hypot(b)))
}
