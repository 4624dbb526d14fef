//! What was measured, as tables and as the figures of the summary.

use super::measure::{ANALYTIC, Measured, ODE};
use super::regions::{FEATURES, LATENTS};
use crate::alignment::{Draws, Weighting};
use crate::context::{Summary, Table};
use crate::likelihood::Verdict;
use crate::numerics::{Interval, mean, standard_error};

/// One row a point.
pub fn points_table(measured: &[Measured]) -> Table {
    let column = |values: &dyn Fn(&Measured) -> Vec<f64>| -> Vec<f64> {
        measured.iter().flat_map(values).collect()
    };
    let or_missing = |m: &Measured, values: Option<&Vec<f64>>| {
        values
            .cloned()
            .unwrap_or_else(|| vec![f64::NAN; m.region.count()])
    };
    let mut table = Table::default();
    table.text(
        "region",
        (measured.iter())
            .flat_map(|m| vec![m.region.name.to_owned(); m.region.count()])
            .collect(),
    );
    table.int(
        "point",
        (measured.iter())
            .flat_map(|m| 0..m.region.count() as i64)
            .collect(),
    );
    table.int(
        "group",
        (measured.iter())
            .flat_map(|m| (0..m.region.count()).map(|point| (point / m.region.group) as i64))
            .collect(),
    );
    table.float("nll_ode", column(&|m| m.likelihoods.nll.clone()));
    table.int(
        "nll_ode_settled",
        (measured.iter())
            .flat_map(|m| m.likelihoods.settled.iter().map(|&settled| settled.into()))
            .collect(),
    );
    if measured.iter().any(|m| !m.likelihoods.errors.is_empty()) {
        table.float("nll_ode_error", column(&|m| m.likelihoods.errors.clone()));
    }
    table.float(
        "nll_analytic",
        column(&|m| or_missing(m, m.analytic.as_ref())),
    );
    for (i, weighting) in Weighting::ALL.into_iter().enumerate() {
        table.float(
            format!("loss_{weighting}"),
            column(&|m| m.losses[i].values.clone()),
        );
        table.float(
            format!("loss_{weighting}_error"),
            column(&|m| m.losses[i].errors.clone()),
        );
        let exact = |m: &Measured| m.exact_losses.as_ref().map(|e| e[i].values.clone());
        table.float(
            format!("loss_{weighting}_exact_velocity"),
            column(&|m| or_missing(m, exact(m).as_ref())),
        );
    }
    for axis in 0..measured[0].region.width {
        let coordinate = |m: &Measured| {
            let values = m.region.points.iter().skip(axis).step_by(m.region.width);
            values.map(|&x| f64::from(x)).collect()
        };
        table.float(format!("y{axis}"), column(&coordinate));
    }
    table
}

/// One row a figure of each pair of columns in each region.
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
                row(COSINE, cosine);
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
    table.text("region", text(|row| row.region));
    table.text("surrogate", text(|row| row.surrogate));
    table.text("reference", text(|row| row.reference));
    table.text("figure", text(|row| row.figure));
    table.float("value", float(|interval| interval.value));
    table.float("low", float(|interval| interval.low));
    table.float("high", float(|interval| interval.high));
    table
}

/// The agreement of gradients among the figures.
const COSINE: &str = "gradient cosine";

/// The figures of each region. NLLs are in nats, of points of the flow. Correlations, slopes and verdicts
/// of the losses are against [`Measured::reference`].
pub fn figures(measured: &[Measured], summary: &mut Summary) {
    for m in measured {
        let name = m.region.name;
        let mut add = |label: &str, value| {
            summary.add(format!("{name}: {label}"), value);
        };
        add("points", m.region.count() as f64);
        add("mean NLL, ODE (nats)", mean(&m.likelihoods.nll));
        add(
            "its standard error",
            standard_error(&m.likelihoods.nll, m.region.group),
        );
        if !m.likelihoods.errors.is_empty() {
            let mean_square = mean(
                &m.likelihoods
                    .errors
                    .iter()
                    .map(|e| e * e)
                    .collect::<Vec<_>>(),
            );
            add(
                "standard error of a point's NLL, from the probes",
                mean_square.sqrt(),
            );
        }
        if let Some(analytic) = &m.analytic {
            let finite: Vec<f64> = analytic.iter().copied().filter(|v| v.is_finite()).collect();
            add("mean NLL, analytic", mean(&finite));
            let outside = analytic.len() - finite.len();
            if outside > 0 {
                add("points where the density is 0, left out", outside as f64);
            }
        }
        for (weighting, loss) in Weighting::ALL.into_iter().zip(&m.losses) {
            let what = if weighting.in_nats() { "NLL, " } else { "" };
            let value = mean(&loss.values);
            let half = Draws::quantile() * loss.mean_error;
            let of_draws = Interval {
                value,
                low: value - half,
                high: value + half,
            };
            let label = format!("mean {what}{}", weighting.surrogate());
            with_interval(&mut add, &label, of_draws);
        }
        for weighting in Weighting::ALL {
            let found = m.compared(weighting, m.reference());
            for (figure, interval) in found.agreement.figures() {
                if !["bias", "RMSE"].contains(&figure) {
                    with_interval(&mut add, &format!("{weighting}, {figure}"), interval);
                }
            }
            // gradients are compared with the ODE's
            if let Some(cosine) = m.compared(weighting, ODE).cosine {
                with_interval(&mut add, &format!("{weighting}, {COSINE}"), cosine);
            }
            add(
                &format!("{weighting}, {}", Verdict::FIGURE),
                found.verdict.figure(),
            );
        }
        let against_analytic = m.compared.iter().filter(|c| c.reference == ANALYTIC);
        for found in against_analytic {
            let Some(label) = (found.surrogate.strip_suffix(", exact velocity"))
                .or((found.surrogate == ODE).then_some(ODE))
            else {
                continue; // in the table
            };
            let label = match label {
                ODE => "ODE against analytic".to_owned(),
                loss => format!("exact velocity, {loss}"),
            };
            for (figure, interval) in found.agreement.figures() {
                let in_nats = (Weighting::ALL.into_iter())
                    .filter(|w| found.surrogate.starts_with(w.surrogate()))
                    .all(Weighting::in_nats);
                if figure == "Spearman" || in_nats && ["bias", "RMSE", "slope"].contains(&figure) {
                    with_interval(&mut add, &format!("{label}, {figure}"), interval);
                }
            }
        }
    }
    if let Some((gap, error)) = gap(measured) {
        summary.add("NLL gap, latents over features (nats)", gap);
        summary.add("its standard error", error);
    }
}

fn with_interval(add: &mut impl FnMut(&str, f64), label: &str, interval: Interval) {
    add(label, interval.value);
    add(&format!("{label}, 2.5 %"), interval.low);
    add(&format!("{label}, 97.5 %"), interval.high);
}

/// The region that is shown of those called `names`: the first that there is.
pub fn first<'a>(measured: &'a [Measured], names: &[&str]) -> Option<&'a Measured> {
    let found = |name: &&str| measured.iter().find(|m| m.region.name == *name);
    names.iter().find_map(found)
}

/// The mean NLL of the latents that are shown less that of the features, and its standard error.
pub fn gap(measured: &[Measured]) -> Option<(f64, f64)> {
    let of = |names: &[&str]| {
        let m = first(measured, names)?;
        let nll = &m.likelihoods.nll;
        Some((mean(nll), standard_error(nll, m.region.group)))
    };
    let ((features, a), (latents, b)) = (of(&FEATURES)?, of(&LATENTS)?);
    Some((latents - features, a.hypot(b)))
}
