//! The report of a sweep: the best variant first, then every trial, the objective and the Pareto
//! front.

use super::html::{self, Card, Cell, Grade, Html, Table, chip, code, note, text};
use super::pictures;
use super::shell::{self, Section};
use super::warnings::listed;
use crate::report::charts::{escaped, sweeps};
use crate::store::{REPORT, RunState};
use crate::sweep::{Seeds, TrialRow, TrialState, Trials, told};
use crate::tables::{
    brief, duration, mean_and_deviation, number, short_name, shown, with_spread, words,
};
use latent_align_stages::figures::of_stage::{ERROR, NLL};
use std::fmt::Write as _;

/// The page of `trials`.
pub fn page(trials: &Trials) -> String {
    let on_front = front(trials);
    let sections = [
        Section {
            id: "variants",
            title: "Variants",
            body: variants(trials),
        },
        Section {
            id: "optimisers",
            title: "Best scores against calls",
            body: figure(trials, "optimisers"),
        },
        Section {
            id: "objective",
            title: "The objective against each axis",
            body: figure(trials, "objective"),
        },
        Section {
            id: "pareto",
            title: "Reconstruction against likelihood",
            body: pareto(trials, &on_front),
        },
        Section {
            id: "samples",
            title: "Samples of each variant",
            body: pictures::samples(trials),
        },
        Section {
            id: "trials",
            title: "Trials",
            body: all(trials, &on_front),
        },
        Section {
            id: "unfinished",
            title: "Trials without a result",
            body: unfinished(trials),
        },
        Section {
            id: "provenance",
            title: "What was swept",
            body: provenance(trials),
        },
    ];
    shell::page(&trials.record.name, &header(trials, &on_front), &sections)
}

fn header(trials: &Trials, on_front: &[usize]) -> Html {
    let name = escaped(&trials.record.name);
    let mut out = format!("<p class=\"over\">Sweep</p>\n<h1>{name}</h1>\n");
    let (grade, verdict, reasons) = best(trials);
    let _ = write!(
        out,
        "<p class=\"verdict {}\">{}</p>\n<p class=\"reasons\">{}</p>\n",
        grade.class(),
        escaped(&verdict),
        escaped(&reasons)
    );
    out.push_str(&html::cards(&cards(trials, on_front)).0);
    let troubled = trials.rows.iter().filter(|row| row.standing.is_failed());
    let troubled: Vec<&str> = troubled.map(|row| row.trial.run.as_str()).collect();
    if !troubled.is_empty() {
        let about = match troubled.len() {
            1 => "1 trial failed".to_owned(),
            many => format!("{many} trials failed"),
        };
        let named = troubled.join(", ");
        out.push_str(&listed(&[(about, &named)]).0);
    }
    Html(out)
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
fn best(trials: &Trials) -> (Grade, String, String) {
    let Some(objective) = &trials.record.objective else {
        let variants = trials.variants().len();
        let verdict = format!("{variants} variants side by side");
        return (
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
        return (Grade::Fair, "No best variant yet".into(), reasons + &out);
    };
    let rows = trials.of_variant(variant);
    let settings = rows.first().into_iter().flat_map(|row| &row.values);
    let settings = trials.record.axes.iter().zip(settings);
    let settings: Vec<String> = settings
        .map(|(axis, value)| format!("{axis} = {}", told(value.as_ref())))
        .collect();
    let verdict = format!("{variant} is best");
    let over = match rows.len() {
        1 => "",
        _ => ", mean over seeds",
    };
    let mut reasons = format!(
        "{aim}{over}: {}; {}.{out}",
        brief(value),
        settings.join(", ")
    );
    let mut finished = rows.iter().filter(|row| row.standing.is_finished());
    if finished.all(|row| row.has_gathered()) {
        reasons.push_str(
            " But its latents are likelier than the features by more than two standard errors: \
             they have collapsed onto modes of the target. Constrain `train-autoencoder: held-out \
             coverage of features`.",
        );
        return (Grade::Fair, verdict, reasons);
    }
    (Grade::Good, verdict, reasons)
}

fn figure(trials: &Trials, name: &str) -> Html {
    let kinds = sweeps::KINDS.iter().filter(|kind| kind.name == name);
    Html(
        kinds
            .filter_map(|kind| Some((kind.draw)(trials)?.html(kind.name, kind.about)))
            .collect(),
    )
}

/// The non-dominated trials, by number.
fn front(trials: &Trials) -> Vec<usize> {
    let points = trials.rows.iter().map(|row| {
        let of = |name| row.shown(name).unwrap_or(f64::NAN);
        (of(ERROR), of(NLL))
    });
    sweeps::front(&points.collect::<Vec<_>>())
}

fn pareto(trials: &Trials, on_front: &[usize]) -> Html {
    let mut out = figure(trials, "pareto");
    if out.0.is_empty() {
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
    out.0.push_str(&table.html().0);
    out
}

/// One row per variant: mean and standard deviation over its seeds.
fn variants(trials: &Trials) -> Html {
    let columns = trials.columns();
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
            Cell::shown(done as f64, &format!("{done} of {}", rows.len())),
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
    table.html()
}

/// The values of one variant as one cell.
fn summarised(column: &str, values: &[f64]) -> Cell {
    let (mean, deviation) = mean_and_deviation(values);
    match (values, words(column, values)) {
        ([], _) => Cell::none(),
        ([one], _) => Cell::shown(*one, &shown(column, *one)),
        (_, Some(words)) => Cell::ranked(mean, text(words)),
        _ => Cell::shown(mean, &with_spread(mean, deviation)),
    }
}

/// One row per trial.
fn all(trials: &Trials, on_front: &[usize]) -> Html {
    let columns = trials.columns();
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
            Cell::shown(row.trial.seed as f64, &row.trial.seed.to_string()),
            Cell::of(standing(row)),
        ];
        for (value, numeric) in row.values.iter().zip(&numeric) {
            let words = told(value.as_ref());
            cells.push(match value {
                None if *numeric => Cell::none(),
                Some(value) if *numeric => Cell::shown(value.as_f64().unwrap_or(f64::NAN), &words),
                _ => Cell::text(words),
            });
        }
        for column in &columns {
            let cell = |value| Cell::shown(value, &shown(column, value));
            cells.push(row.figure(column).map_or_else(Cell::none, cell));
        }
        cells.push(Cell::text(if on_front.contains(&i) { "yes" } else { "" }));
        cells.push(
            row.standing
                .seconds
                .map_or_else(Cell::none, |s| Cell::shown(s, &duration(s))),
        );
        table.rows.push(cells);
    }
    table.html()
}

/// The name of a trial, linked to its report.
fn link(row: &TrialRow) -> Cell {
    let name = escaped(&row.trial.run);
    Cell::of(Html(match row.has_report {
        true => format!("<a href=\"../../runs/{name}/{}\">{name}</a>", REPORT),
        false => name,
    }))
}

fn standing(row: &TrialRow) -> Html {
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
    chip(state.word(), grade)
}

/// The trials without a result, and why.
fn unfinished(trials: &Trials) -> Html {
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
        let cells = [link(row), Cell::of(standing(row)), Cell::text(why)];
        table.rows.push(cells.into());
    }
    table.html()
}

fn provenance(trials: &Trials) -> Html {
    let record = &trials.record;
    let mut out = format!(
        "<p>From {}.</p>\n",
        code(record.file.display().to_string()).0
    );
    let mut table = Table::new("What the sweep asks for", &["what", "value"]);
    let mut add = |what: &str, value: String| {
        table.rows.push(vec![Cell::text(what), Cell::text(value)]);
    };
    for (i, axis) in record.axes.iter().enumerate() {
        let mut values: Vec<String> = Vec::new();
        for row in trials.rows.iter().filter(|row| row.values[i].is_some()) {
            let value = told(row.values[i].as_ref());
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
    out.push_str(&table.html().0);
    out.push_str(&note("table.parquet beside this file is the same table with all figures.").0);
    Html(out)
}
