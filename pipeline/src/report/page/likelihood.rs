//! Whether the alignment loss is a surrogate of the NLL: the verdict and figures of each region.

use super::parts::{Cell, Grade, Part, Table};
use crate::report::view::RunView;
use crate::store::Stage;
use crate::tables::{RegionVerdict, number, verdicts_of, with_spread};
use latent_align_stages::figures::estimate_nll::{self as names, FEATURES, LATENTS};
use latent_align_stages::figures::{INTERVAL, ITS_ERROR, in_region};

/// The meaning of the verdicts.
const MEANING: &str = "Does a smaller alignment loss mean a greater likelihood? Holds: the loss \
    follows the NLL (Spearman and Pearson at least 0.95, and a slope of 0.9 to 1.1 where it is in \
    nats). Ranks only: it orders points as the NLL does (Spearman at least 0.8). The NLL is the \
    analytic one if a density is known, else the ODE's; where stated it is that of the witness, \
    another prior over the same features. Intervals are 95 % over points and draws; correlations \
    are judged by their lower ends.";

/// The colour of a verdict.
pub fn grade(verdict: Option<RegionVerdict>) -> Grade {
    match verdict {
        Some(RegionVerdict::Holds) => Grade::Good,
        Some(RegionVerdict::RanksOnly) => Grade::Fair,
        Some(RegionVerdict::Fails) => Grade::Bad,
        None => Grade::Plain,
    }
}

/// The verdicts as a table; empty without verdicts.
pub fn verdicts(found: &RunView) -> Vec<Part> {
    let figures = found.figures(Stage::EstimateNll);
    let all = verdicts_of(figures);
    let trained = found.weighting().map(|w| w.name());
    let mut table = Table::new(
        "The verdict of each region and weighting",
        &[
            "region",
            "weighting",
            "verdict",
            "Spearman",
            "Pearson",
            "slope",
        ],
    );
    for (region, weighting, verdict) in all {
        let word = verdict.map_or("no verdict", RegionVerdict::word);
        let rank = verdict.map_or(-1.0, |v| f64::from(v as u8));
        let name = match trained == Some(weighting) {
            true => format!("{weighting} (trained with)"),
            false => weighting.to_owned(),
        };
        let mut row = vec![
            Cell::text(region),
            Cell::text(name),
            Cell::chip(word, grade(verdict)).ranked(rank),
        ];
        for figure in [names::SPEARMAN, names::PEARSON, names::SLOPE] {
            row.push(interval(
                figures,
                &format!("{region}: {weighting}, {figure}"),
            ));
        }
        table.rows.push(row);
    }
    let meaning = Part::Paragraph(MEANING.into());
    table
        .part()
        .map_or(Vec::new(), |table| vec![meaning, table])
}

/// The likelihoods of each region as a table.
pub fn likelihoods(found: &RunView) -> Vec<Part> {
    let figures = found.figures(Stage::EstimateNll);
    let mut regions: Vec<&str> = Vec::new();
    for region in figures.iter().filter_map(|f| f.0.split_once(": ")) {
        if !regions.contains(&region.0) {
            regions.push(region.0);
        }
    }
    let columns = [
        (names::POINTS, "points"),
        (names::NLL, "ODE NLL (nats)"),
        (names::NLL_IN_CLOSED_FORM, "exact NLL (nats)"),
        (names::NLL_OF_WITNESS, "witness NLL (nats)"),
        (names::ANALYTIC_NLL, "analytic NLL (nats)"),
        (names::MEAN_BOUND, "likelihood-weighted bound (nats)"),
        (names::MEAN_UNIFORM_LOSS, "alignment loss (uniform, sum)"),
    ];
    let value = |region: &str, name: &str| {
        let wanted = in_region(region, name);
        figures.iter().find(|f| f.0 == wanted).map(|f| f.1)
    };
    let present = |name: &str| regions.iter().any(|region| value(region, name).is_some());
    let columns: Vec<_> = columns.into_iter().filter(|c| present(c.0)).collect();
    let mut header = vec!["region"];
    header.extend(columns.iter().map(|c| c.1));
    let mut table = Table::new("Mean likelihoods of each region", &header);
    for region in &regions {
        let mut row = vec![Cell::text(*region)];
        for (name, _) in &columns {
            row.push(match (value(region, name), *name) {
                (None, _) => Cell::none(),
                (Some(mean), names::NLL | names::NLL_IN_CLOSED_FORM) => {
                    let error = value(region, ITS_ERROR);
                    let told = error.map_or_else(|| number(mean), |e| with_spread(mean, e));
                    Cell::shown(mean, told)
                }
                (Some(other), _) => Cell::number(other),
            });
        }
        table.rows.push(row);
    }
    table.part().into_iter().collect()
}

/// A figure with its interval.
fn interval(figures: &[(String, f64)], name: &str) -> Cell {
    let of = |name: &str| figures.iter().find(|f| f.0 == name).map(|f| f.1);
    let [low, high] = INTERVAL.map(|end| of(&format!("{name}{end}")).filter(|v| v.is_finite()));
    match (of(name).filter(|v| v.is_finite()), low, high) {
        (None, ..) => Cell::none(),
        (Some(value), Some(low), Some(high)) => {
            Cell::shown(value, format!("{value:.3} [{low:.3}, {high:.3}]"))
        }
        (Some(value), ..) => Cell::shown(value, format!("{value:.3}")),
    }
}

/// The verdict under the weighting that the latents were trained with: the worst of the usual regions
/// (of all regions, without these) as a word, its grade, and the verdicts of all regions.
pub fn overall(found: &RunView) -> Option<(String, Grade, String)> {
    let mut all = verdicts_of(found.figures(Stage::EstimateNll));
    let weighting = found.weighting();
    let name = weighting.map_or("likelihood", |w| w.name());
    all.retain(|verdict| verdict.1 == name);
    let usual = [&FEATURES[..], &LATENTS[..]]
        .into_iter()
        .filter_map(|names| {
            let named = |name: &&str| all.iter().find(|v| v.0 == *name);
            names.iter().find_map(named)
        });
    let worst = usual.map(|v| v.2).min().or(all.iter().map(|v| v.2).min())?;
    let word = |v: Option<RegionVerdict>| v.map_or("no verdict", RegionVerdict::word);
    let kinds = [
        RegionVerdict::Holds,
        RegionVerdict::RanksOnly,
        RegionVerdict::Fails,
    ];
    let kinds = kinds.into_iter().map(Some).chain([None]);
    let told: Vec<String> = kinds
        .filter_map(|kind| {
            let regions = all.iter().filter(|v| v.2 == kind).map(|v| v.0);
            let regions: Vec<&str> = regions.collect();
            match regions.len() {
                0 => None,
                count if count == all.len() => Some("in every region".to_owned()),
                _ => Some(format!("{}: {}", word(kind), regions.join(", "))),
            }
        })
        .collect();
    let trained = if weighting.is_some() {
        ", as trained"
    } else {
        ""
    };
    let detail = format!("{name} weighting{trained}; {}", told.join("; "));
    Some((word(worst).to_owned(), grade(worst), detail))
}
