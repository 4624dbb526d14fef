//! The report of a sweep: the best variant first, then every trial, the objective and the Pareto
//! front.

use super::parts::{Card, Cell, Grade, Headline, Page, Part, Section, Table};
use super::pictures::samples;
use crate::report::charts::sweeps;
use crate::store::{REPORT, RunState};
use crate::sweep::{Lead, Seeds, TrialRow, TrialState, Trials, told as words_of};
use crate::tables::{
    brief, duration, mean_and_deviation, number, short_name, shown, with_spread, words,
};
use latent_align_stages::figures::of_stage::{ERROR, NLL};
use std::fmt::Write as _;

/// The page of `trials`.
pub fn page(trials: &Trials) -> Page {
    let on_front = sweeps::on_front(trials);
    let sections = vec![
        Section::new("variants", "Variants", [variants(trials)]),
        Section::new(
            "optimisers",
            "Best scores against calls",
            [figure(trials, "optimisers")],
        ),
        Section::new(
            "objective",
            "The objective against each axis",
            [figure(trials, "objective")],
        ),
        Section::new(
            "pareto",
            "Reconstruction against likelihood",
            [pareto(trials, &on_front)],
        ),
        Section::new("samples", "Samples of each variant", [samples(trials)]),
        Section::new("trials", "Trials", [all(trials, &on_front)]),
        Section::new(
            "unfinished",
            "Trials without a result",
            [unfinished(trials)],
        ),
        Section::new("provenance", "What was swept", [provenance(trials)]),
    ];
    Page {
        kind: "Sweep",
        name: trials.record.name.clone(),
        state: None,
        headline: best(trials),
        cards: cards(trials, &on_front),
        warnings: troubled(trials),
        meta: String::new(),
        sections,
    }
}

/// That trials failed.
fn troubled(trials: &Trials) -> Vec<(String, String)> {
    let failed = trials.rows.iter().filter(|row| row.standing.is_failed());
    let failed: Vec<&str> = failed.map(|row| row.trial.run.as_str()).collect();
    let about = match failed.len() {
        0 => return Vec::new(),
        1 => "1 trial failed".to_owned(),
        many => format!("{many} trials failed"),
    };
    vec![(about, failed.join(", "))]
}

/// The progress of the sweep, and the spread of its trials.
fn cards(trials: &Trials, on_front: &[usize]) -> Vec<Card> {
    let finished = trials.rows.iter().filter(|r| r.standing.is_finished());
    let finished = finished.count();
    let mut others: Vec<(&str, usize)> = Vec::new();
    for row in trials.rows.iter().filter(|r| !r.standing.is_finished()) {
        let word = row.standing.state.word();
        match others.iter_mut().find(|other| other.0 == word) {
            Some(other) => other.1 += 1,
            None => others.push((word, 1)),
        }
    }
    let told: Vec<String> = (others.iter())
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    let (detail, grade) = match others.is_empty() {
        true => ("none is missing".to_owned(), Grade::Good),
        false => (told.join(", "), Grade::Fair),
    };
    let mut cards = vec![Card {
        name: "Trials finished",
        value: format!("{finished} of {}", trials.rows.len()),
        detail,
        grade,
    }];
    let (aim, _) = trials.aim();
    let values = trials.rows.iter().filter_map(|row| row.figure(aim));
    let values: Vec<f64> = values.collect();
    if values.len() > 1 {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        cards.push(Card {
            name: "Range over trials",
            value: format!("{} to {}", brief(low), brief(high)),
            detail: short_name(aim).to_owned(),
            grade: Grade::Plain,
        });
    }
    if !on_front.is_empty() {
        cards.push(Card {
            name: "On the Pareto front",
            value: on_front.len().to_string(),
            detail: "reconstruction error against NLL".to_owned(),
            grade: Grade::Plain,
        });
    }
    let seconds: f64 = trials.rows.iter().filter_map(|r| r.standing.seconds).sum();
    cards.push(Card {
        name: "Time of all runs",
        value: duration(seconds),
        detail: "stages that trials share are computed once".to_owned(),
        grade: Grade::Plain,
    });
    cards
}

/// The best variant, in words.
fn best(trials: &Trials) -> Headline {
    let told = |grade, verdict: String, reasons: String| Headline {
        grade,
        verdict,
        reasons,
    };
    let Some(objective) = &trials.record.objective else {
        let verdict = format!("{} variants side by side", trials.variants().len());
        return told(
            Grade::Plain,
            verdict,
            "The sweep names no objective.".into(),
        );
    };
    let aim = short_name(&objective.figure);
    let race = trials.race(objective);
    let out = match race.out.is_empty() {
        true => String::new(),
        false => format!(" Excluded: {}.", race.told_out()),
    };
    let Some((variant, value)) = race.best else {
        let reasons = match (race.unmet, race.out.len()) {
            (0, 0) => format!("No trial has the figure `{aim}` yet."),
            (0, _) => format!("No variant has the figure `{aim}` for all its seeds."),
            _ => "No variant meets the constraints.".to_owned(),
        };
        return told(Grade::Fair, "No best variant yet".into(), reasons + &out);
    };
    let rows = trials.of_variant(variant);
    let settings = rows.first().into_iter().flat_map(|row| &row.values);
    let settings = trials.record.axes.iter().zip(settings);
    let settings: Vec<String> = settings
        .map(|(axis, value)| format!("{axis} = {}", words_of(value.as_ref())))
        .collect();
    let over = match rows.len() {
        1 => "",
        _ => ", mean over seeds",
    };
    let mut reasons = format!("{aim}{over}: {}; {}.", brief(value), settings.join(", "));
    let _ = write!(reasons, " {}.", capitalised(&race.lead.told()));
    reasons.push_str(&out);
    let (mut grade, verdict) = match race.lead {
        Lead::Clear { .. } => (Grade::Good, "is best"),
        Lead::Alone => (Grade::Plain, "is best"),
        Lead::OneSeed => (Grade::Plain, "is best for this seed"),
        Lead::Chance { .. } => (Grade::Plain, "has the best mean"),
    };
    let mut finished = rows.iter().filter(|row| row.standing.is_finished());
    if finished.all(|row| row.has_gathered()) {
        grade = Grade::Fair;
        reasons.push_str(
            " But its latents are likelier than the features by more than two standard errors: \
             they have collapsed onto modes of the target. Constrain `train-autoencoder: held-out \
             coverage of features`.",
        );
    }
    told(grade, format!("{variant} {verdict}"), reasons)
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

fn figure(trials: &Trials, name: &str) -> Vec<Part> {
    let kinds = sweeps::KINDS.iter().filter(|kind| kind.name == name);
    let drawn = kinds.filter_map(|kind| Some((kind.draw)(trials)?.html(kind.name, kind.about)));
    drawn.map(Part::Chart).collect()
}

fn pareto(trials: &Trials, on_front: &[usize]) -> Vec<Part> {
    let mut out = figure(trials, "pareto");
    if out.is_empty() {
        return out;
    }
    let mut table = Table::new(
        "The trials of the Pareto front",
        &[
            "trial on the front",
            "mean squared error",
            "NLL of latents (nats)",
        ],
    );
    for row in on_front.iter().map(|i| &trials.rows[*i]) {
        let of = |name| row.shown(name).map_or_else(Cell::none, Cell::number);
        table.rows.push(vec![link(row), of(ERROR), of(NLL)]);
    }
    out.extend(table.part());
    out
}

/// One row per variant: mean and standard deviation over its seeds.
fn variants(trials: &Trials) -> Vec<Part> {
    let columns = trials.columns_of_page();
    let mut header = vec!["variant", "finished"];
    header.extend(columns.iter().map(|c| short_name(c)));
    let mut table = Table::new(
        "One row per variant, mean and standard deviation over seeds",
        &header,
    );
    for variant in trials.variants() {
        let rows = trials.rows.iter().filter(|r| r.trial.variant == variant);
        let rows: Vec<&TrialRow> = rows.collect();
        let done = rows.iter().filter(|r| r.standing.is_finished());
        let done = done.count();
        let mut cells = vec![
            Cell::text(variant),
            Cell::shown(done as f64, format!("{done} of {}", rows.len())),
        ];
        for column in &columns {
            let finished = rows.iter().filter(|r| r.standing.is_finished());
            let seeds: Seeds = finished.map(|r| r.figure(column)).collect();
            let cell = summarised(column, &seeds.finite);
            cells.push(match seeds.lacking() {
                Some(some) => cell.with(&format!(" ({some})")),
                None => cell,
            });
        }
        table.rows.push(cells);
    }
    table.part().into_iter().collect()
}

/// The values of one variant as one cell.
fn summarised(column: &str, values: &[f64]) -> Cell {
    let (mean, deviation) = mean_and_deviation(values);
    match (values, words(column, values)) {
        ([], _) => Cell::none(),
        ([one], _) => Cell::shown(*one, shown(column, *one)),
        (_, Some(words)) => Cell::text(words).ranked(mean),
        _ => Cell::shown(mean, with_spread(mean, deviation)),
    }
}

/// One row per trial.
fn all(trials: &Trials, on_front: &[usize]) -> Vec<Part> {
    let columns = trials.columns_of_page();
    let mut header = vec!["trial", "variant", "seed", "state"];
    header.extend(trials.record.axes.iter().map(String::as_str));
    header.extend(columns.iter().map(|c| short_name(c)));
    header.extend(["on the front", "took"]);
    let mut table = Table::new("A row a trial", &header);
    let numeric = |axis: usize| {
        let mut values = trials
            .rows
            .iter()
            .filter_map(|row| row.values[axis].as_ref());
        values.all(|value| value.is_number())
    };
    let numeric: Vec<bool> = (0..trials.record.axes.len()).map(numeric).collect();
    for (i, row) in trials.rows.iter().enumerate() {
        let mut cells = vec![
            link(row),
            Cell::text(&row.trial.variant),
            Cell::shown(row.trial.seed as f64, row.trial.seed.to_string()),
            standing(row),
        ];
        for (value, numeric) in row.values.iter().zip(&numeric) {
            let words = words_of(value.as_ref());
            cells.push(match value {
                None if *numeric => Cell::none(),
                Some(value) if *numeric => Cell::shown(value.as_f64().unwrap_or(f64::NAN), words),
                _ => Cell::text(words),
            });
        }
        for column in &columns {
            let cell = |value| Cell::shown(value, shown(column, value));
            cells.push(row.figure(column).map_or_else(Cell::none, cell));
        }
        cells.push(Cell::text(if on_front.contains(&i) { "yes" } else { "" }));
        cells.push(
            row.standing
                .seconds
                .map_or_else(Cell::none, |s| Cell::shown(s, duration(s))),
        );
        table.rows.push(cells);
    }
    table.part().into_iter().collect()
}

/// The name of a trial, linked to its report.
fn link(row: &TrialRow) -> Cell {
    let name = &row.trial.run;
    match row.has_report {
        true => Cell::link(format!("../../runs/{name}/{REPORT}"), name),
        false => Cell::text(name),
    }
}

fn standing(row: &TrialRow) -> Cell {
    let state = row.standing.state;
    let grade = match state {
        TrialState::Run(RunState::Finished) => Grade::Good,
        TrialState::Run(RunState::Failed | RunState::Interrupted) | TrialState::Unreadable(_) => {
            Grade::Bad
        }
        TrialState::Run(RunState::Stopped) | TrialState::Dropped | TrialState::Outdated => {
            Grade::Fair
        }
        TrialState::Run(RunState::Running) | TrialState::Waiting => Grade::Plain,
    };
    Cell::chip(state.word(), grade)
}

/// The trials without a result, and why.
fn unfinished(trials: &Trials) -> Vec<Part> {
    let mut table = Table::new("Trials without a result", &["trial", "state", "why"]);
    for row in trials.rows.iter().filter(|r| !r.standing.is_finished()) {
        let why = match (
            &row.standing.failure,
            row.standing.state,
            &row.trial.dropped,
        ) {
            (Some(why), ..) => why.clone(),
            (_, _, Some(dropped)) => {
                let value = dropped
                    .value
                    .map_or("was not a number for every seed".to_owned(), |v| {
                        format!("was {}", number(v))
                    });
                let rung = dropped.rung;
                format!("successive halving stopped it at rung {rung}, where its metric {value}")
            }
            (_, TrialState::Run(RunState::Running), _) => "it is running".into(),
            (_, TrialState::Run(RunState::Stopped), _) => {
                "it was stopped; run the sweep again to continue".into()
            }
            (_, TrialState::Waiting, _) => {
                "it was not run with its current configuration, or one of its artifacts is missing"
                    .into()
            }
            _ => "its process ended without a record; run the sweep again to continue".into(),
        };
        let cells = [link(row), standing(row), Cell::text(why)];
        table.rows.push(cells.into());
    }
    table.part().into_iter().collect()
}

fn provenance(trials: &Trials) -> Vec<Part> {
    let record = &trials.record;
    let mut table = Table::new("What the sweep asks for", &["what", "value"]);
    let mut add = |what: &str, value: String| {
        table.rows.push(vec![Cell::text(what), Cell::text(value)]);
    };
    for (i, axis) in record.axes.iter().enumerate() {
        let mut values: Vec<String> = Vec::new();
        for row in trials.rows.iter().filter(|row| row.values[i].is_some()) {
            let value = words_of(row.values[i].as_ref());
            if !values.contains(&value) {
                values.push(value);
            }
        }
        add(&format!("axis {axis}"), values.join("; "));
    }
    if let Some(objective) = &record.objective {
        let direction = serde_json::to_value(objective.direction).unwrap_or_default();
        let direction = direction.as_str().unwrap_or_default().to_owned();
        add(&format!("objective, {direction}"), objective.figure.clone());
    }
    for constraint in &record.constraints {
        let bounds = [
            ("at least", constraint.at_least),
            ("at most", constraint.at_most),
        ];
        let bounds = bounds
            .iter()
            .filter_map(|(word, v)| Some(format!("{word} {}", (*v)?)));
        let bounds: Vec<String> = bounds.collect();
        add(
            "constraint",
            format!("{} {}", constraint.figure, bounds.join(", ")),
        );
    }
    let mut seeds: Vec<String> = record.trials.iter().map(|t| t.seed.to_string()).collect();
    seeds.sort_unstable();
    seeds.dedup();
    add("seeds", seeds.join(", "));
    let beside = "table.parquet beside this file is the same table with all figures.";
    let mut out = vec![Part::From(record.file.display().to_string())];
    out.extend(table.part());
    out.push(Part::Note(beside.into()));
    out
}
