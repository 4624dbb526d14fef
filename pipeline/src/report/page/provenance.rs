//! Provenance: stages, inputs, lineage, configuration.

use super::found::Found;
use super::html::{Cell, Html, Table, code, details, note, text};
use crate::catalogue::lineage;
use crate::config::differing;
use crate::tables::{bytes, duration};
use std::collections::BTreeSet;

/// The provenance of a run.
pub fn provenance(found: &Found) -> Html {
    let mut out = String::new();
    out.push_str(&stages(found).0);
    let inputs = inputs(found);
    if !inputs.0.is_empty() {
        out.push_str("<h3>Inputs</h3>\n");
        out.push_str(&inputs.0);
    }
    out.push_str(&configuration(found).0);
    let trees = found.stages.iter().map(|stage| {
        let folder = found.path().join(stage.stage.name());
        lineage::tree(&folder, stage)
    });
    let trees: Vec<String> = trees.collect();
    if !trees.is_empty() {
        let tree = Html(format!(
            "<pre tabindex=\"0\">{}</pre>\n",
            text(trees.join("\n")).0
        ));
        out.push_str(&details("Lineage: the artifacts that each stage read", &tree).0);
    }
    Html(out)
}

fn stages(found: &Found) -> Html {
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
            Cell::of(code(&stage.fingerprint)),
            Cell::text(stage.finished.readable()),
            Cell::shown(stage.seconds, &duration(stage.seconds)),
            Cell::shown(stage.size() as f64, &bytes(stage.size())),
            Cell::text(&stage.device),
            Cell::text(stage.seed.to_string()),
            Cell::of(code(program)),
        ]);
    }
    table.html()
}

fn inputs(found: &Found) -> Html {
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
                    Cell::of(code(&input.key)),
                    Cell::text(input.path.display().to_string()),
                    Cell::shown(input.size as f64, &bytes(input.size)),
                    Cell::of(code(input.digest.get(..16).unwrap_or(&input.digest))),
                ]);
            }
        }
    }
    table.html()
}

fn configuration(found: &Found) -> Html {
    let Some(experiment) = &found.experiment else {
        return note("The configuration of this run cannot be read.");
    };
    let mut out = String::new();
    let mut table = Table::new(
        "Settings that differ from the defaults",
        &["key", "value", "default"],
    );
    for setting in differing(experiment) {
        let default = setting
            .default
            .map_or_else(|| text("none"), |d| code(d.to_string()));
        table.rows.push(vec![
            Cell::of(code(&setting.key)),
            Cell::of(code(setting.value.to_string())),
            Cell::of(default),
        ]);
    }
    let table = table.html();
    if !table.0.is_empty() {
        out.push_str("<h3>Settings that differ from the defaults</h3>\n");
        out.push_str(&table.0);
    }
    if let Ok(whole) = serde_yaml::to_string(experiment) {
        let whole = Html(format!("<pre tabindex=\"0\">{}</pre>\n", text(whole).0));
        out.push_str(&details("The whole resolved configuration", &whole).0);
    }
    Html(out)
}
