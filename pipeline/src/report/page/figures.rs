//! Figures in their sections of a report, and all figures of the stages as one table.

use super::parts::{Cell, Part, Table};
use crate::report::charts::KINDS;
use crate::report::view::RunView;
use crate::tables::{duration, is_bound, short_name, shown};
use latent_align_stages::figures::INTERVAL;

/// The figures called `names` that apply to `found`. One that cannot be drawn is a note.
pub fn drawn(found: &RunView, names: &[&str]) -> Vec<Part> {
    let mut out = Vec::new();
    for kind in KINDS.iter().filter(|kind| names.contains(&kind.name)) {
        match (kind.draw)(&found.places) {
            Ok(Some(figure)) => out.push(Part::Chart(figure.html(kind.name, kind.about))),
            Ok(None) => {}
            Err(why) => {
                let why = format!("The figure of {} is missing: {why:#}", kind.about);
                out.push(Part::Note(why));
            }
        }
    }
    out
}

/// Every figure of every stage.
pub fn table(found: &RunView) -> Vec<Part> {
    let mut table = Table::new(
        "Every figure of every stage",
        &["stage", "figure", "value", "2.5 %", "97.5 %"],
    );
    for stage in &found.stages {
        let figures = &stage.figures.0;
        let bound = |name: &str, end: &str| {
            let found = figures.iter().find(|f| f.0 == format!("{name}{end}"));
            found.map_or_else(Cell::none, |f| Cell::number(f.1))
        };
        for (name, value) in figures.iter().filter(|f| !is_bound(&f.0)) {
            table.rows.push(vec![
                Cell::text(stage.stage.name()),
                Cell::text(short_name(name)),
                Cell::shown(*value, shown(name, *value)),
                bound(name, INTERVAL[0]),
                bound(name, INTERVAL[1]),
            ]);
        }
    }
    table.part().into_iter().collect()
}

/// A figure of the stages' times, and the total.
pub fn timings(found: &RunView) -> Vec<Part> {
    let mut out = drawn(found, &["timings"]);
    let all: f64 = found.stages.iter().map(|s| s.seconds).sum();
    if found.stages.len() > 1 {
        let text = format!(
            "{} in all, the time of stages that were computed earlier and reused included.",
            duration(all)
        );
        out.push(Part::Paragraph(text));
    }
    out
}
