//! One run in full.

use crate::catalogue::{RunEntry, StageEntry};
use crate::config::MARK;
use crate::report::{RunView, of_stage, trees};
use crate::store::{Manifest, entry_name};
use crate::tables::{bytes, columns, duration};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Everything about `run`.
pub fn run_page(run: &RunEntry) -> String {
    let view = RunView::read(&run.folder);
    let mut page = head(run);
    for problem in &run.problems {
        let _ = writeln!(page, "  {problem}");
    }
    let settings = view.settings().into_iter().map(|setting| {
        let text = setting.value.as_str().map(str::to_owned);
        let text = text.unwrap_or_else(|| setting.value.to_string());
        vec![format!("  {}", setting.key), text]
    });
    page += &titled("settings other than the defaults", settings.collect());
    page += &titled("stages", stages(run));
    let read = |stage: &StageEntry| Some((stage.dir.clone(), Manifest::read(&stage.dir).ok()?));
    let manifests: Vec<(PathBuf, Manifest)> = run.stages.iter().filter_map(read).collect();
    for (_, stage) in &manifests {
        let _ = write!(page, "\n{}", of_stage(stage));
    }
    let files = view.files().into_iter();
    let files = files.map(|(name, size)| vec![format!("  {name}"), bytes(size)]);
    page += &titled("files", files.collect());
    let stages = manifests.iter().map(|(dir, stage)| (dir.clone(), stage));
    let trees = trees(&stages.collect::<Vec<_>>());
    if !trees.is_empty() {
        let _ = write!(page, "\nlineage\n{trees}");
    }
    page
}

/// A table below its title; empty without rows.
fn titled(title: &str, rows: Vec<Vec<String>>) -> String {
    match rows.is_empty() {
        true => String::new(),
        false => format!("\n{title}\n{}", columns(&rows)),
    }
}

fn head(run: &RunEntry) -> String {
    let mut rows = vec![("path", run.folder.path().display().to_string())];
    let earlier = run.folder.earlier();
    if !earlier.is_empty() {
        let names = earlier.iter().map(|number| entry_name(&run.name, *number));
        let names: Vec<String> = names.collect();
        rows.push((
            "entry",
            format!("{}, after {}", run.entry, names.join(", ")),
        ));
    }
    if let Some(record) = &run.record {
        rows.push(("started", format!("{} UTC", record.started.readable())));
        rows.extend(
            record
                .finished
                .as_ref()
                .map(|t| ("ended", format!("{} UTC", t.readable()))),
        );
        rows.extend(record.seconds.map(|s| ("took", duration(s))));
        rows.push(("file", record.file.display().to_string()));
        rows.push(("seed", record.seed.to_string()));
        rows.push(("device", record.device.clone()));
        rows.push(("process", format!("{} on {}", record.process, record.host)));
        rows.push(("identity", record.identity.clone()));
        rows.extend(
            record
                .failure
                .clone()
                .map(|why| ("failure", why.replace('\n', " "))),
        );
    }
    let rows: Vec<Vec<String>> = (rows.into_iter())
        .map(|(name, value)| vec![format!("  {name}"), value])
        .collect();
    let is_quick = run.record.as_ref().is_some_and(|record| record.quick);
    let mark = match is_quick {
        true => format!(", {MARK}"),
        false => String::new(),
    };
    format!("{}: {}{mark}\n{}", run.name, run.state(), columns(&rows))
}

/// Where each stage is, or what is wrong with it.
fn stages(run: &RunEntry) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for stage in &run.stages {
        let mut row = vec![format!("  {}", stage.stage), stage.fingerprint.clone()];
        match (&stage.problem, Manifest::read(&stage.dir)) {
            (None, Ok(manifest)) => row.extend([
                format!("{} UTC", manifest.finished.readable()),
                duration(manifest.seconds),
                bytes(manifest.size()),
            ]),
            (problem, _) => row.push(problem.clone().unwrap_or_default()),
        }
        rows.push(row);
    }
    rows
}
