//! Provenance: stages, inputs, lineage, configuration.

use super::parts::{Cell, Part, Table};
use crate::report::view::RunView;
use crate::tables::{bytes, duration};
use std::collections::BTreeSet;

/// The provenance of a run.
pub fn provenance(found: &RunView) -> Vec<Part> {
    let mut out: Vec<Part> = stages(found).part().into_iter().collect();
    out.extend(titled("Inputs", inputs(found)));
    out.extend(configuration(found));
    let trees = found.lineage();
    if !trees.is_empty() {
        let summary = "Lineage: the artifacts that each stage read";
        out.push(Part::Details(summary, trees));
    }
    out
}

/// A table with a heading; empty without rows.
fn titled(title: &'static str, table: Table) -> Vec<Part> {
    let table = table.part();
    table.map_or(Vec::new(), |table| vec![Part::Heading(title), table])
}

fn stages(found: &RunView) -> Table {
    let mut table = Table::new(
        "The stages of the run",
        &[
            "stage",
            "fingerprint",
            "finished (UTC)",
            "took",
            "size",
            "device",
            "seed",
            "program",
        ],
    );
    for stage in &found.stages {
        let program = &stage.program;
        let program = match &program.revision {
            Some(revision) => format!("{} ({revision})", program.version),
            None => program.version.clone(),
        };
        table.rows.push(vec![
            Cell::text(stage.stage.name()),
            Cell::code(&stage.fingerprint),
            Cell::text(stage.finished.readable()),
            Cell::shown(stage.seconds, duration(stage.seconds)),
            Cell::shown(stage.size() as f64, bytes(stage.size())),
            Cell::text(&stage.device),
            Cell::text(stage.seed.to_string()),
            Cell::code(program),
        ]);
    }
    table
}

fn inputs(found: &RunView) -> Table {
    let mut table = Table::new(
        "The files that were read",
        &["stage", "key", "file", "size", "BLAKE3"],
    );
    let mut seen = BTreeSet::new();
    for stage in &found.stages {
        for input in &stage.inputs {
            if seen.insert((stage.stage, &input.key)) {
                table.rows.push(vec![
                    Cell::text(stage.stage.name()),
                    Cell::code(&input.key),
                    Cell::text(input.path.display().to_string()),
                    Cell::shown(input.size as f64, bytes(input.size)),
                    Cell::code(input.digest.get(..16).unwrap_or(&input.digest)),
                ]);
            }
        }
    }
    table
}

fn configuration(found: &RunView) -> Vec<Part> {
    let Some(experiment) = &found.experiment else {
        let why = "The configuration of this run cannot be read.";
        return vec![Part::Note(why.into())];
    };
    let mut table = Table::new(
        "Settings that differ from the defaults",
        &["key", "value", "default"],
    );
    for setting in found.settings() {
        let default = setting
            .default
            .map(|default| Cell::code(default.to_string()));
        table.rows.push(vec![
            Cell::code(&setting.key),
            Cell::code(setting.value.to_string()),
            default.unwrap_or_else(|| Cell::text("none")),
        ]);
    }
    let mut out = titled("Settings that differ from the defaults", table);
    let whole = serde_yaml::to_string(experiment).ok();
    out.extend(whole.map(|whole| Part::Details("The whole resolved configuration", whole)));
    out
}
