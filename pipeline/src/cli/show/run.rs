//! One run in full.

use crate::catalogue::{RunEntry, StageEntry, lineage};
use crate::config;
use crate::config::{Experiment, differing};
use crate::store::{Manifest, Stage, entry_name};
use crate::tables::{bytes, columns, duration, figures_tables};
use std::fmt::Write as _;

/// Everything about `run`.
pub fn run_page(run: &RunEntry) -> String {
    let mut page = head(run);
    for problem in &run.problems {
        let _ = writeln!(page, "  {problem}");
    }
    page.push_str(&settings(run));
    page.push_str(&stages(run));
    for stage in &run.stages {
        let Ok(manifest) = Manifest::read(&stage.dir) else {
            continue;
        };
        if !manifest.figures.0.is_empty() {
            let _ = write!(
                page,
                "\n{}\n\n{}",
                stage.stage,
                figures_tables(&manifest.figures.0)
            );
        }
        if !manifest.warnings.is_empty() {
            page.push('\n');
        }
        for warning in &manifest.warnings {
            let _ = writeln!(page, "warning: {}", warning.replace('\n', " "));
        }
    }
    page.push_str(&files(run));
    page.push_str(&lineages(run));
    page
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
    format!("{}: {}\n{}", run.name, run.state(), columns(&rows))
}

fn settings(run: &RunEntry) -> String {
    if !run.config.exists() {
        return String::new();
    }
    let read: latent_align_stages::Result<Experiment> = config::read(&run.config);
    let Ok(experiment) = read else {
        return String::new(); // return String::new(); // listed among its problems
    };
    let rows: Vec<Vec<String>> = (differing(&experiment).into_iter())
        .map(|setting| {
            let text = setting.value.as_str().map(str::to_owned);
            let text = text.unwrap_or_else(|| setting.value.to_string());
            vec![format!("  {}", setting.key), text]
        })
        .collect();
    format!("\nsettings other than the defaults\n{}", columns(&rows))
}

fn stages(run: &RunEntry) -> String {
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
    format!("\nstages\n{}", columns(&rows))
}

fn files(run: &RunEntry) -> String {
    let entries = run.folder.path().read_dir().into_iter().flatten().flatten();
    let files = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_file()));
    let mut rows: Vec<Vec<String>> = files
        .filter_map(|e| {
            let name = e.file_name().to_string_lossy().into_owned();
            let size = e.metadata().map_or(0, |m| m.len());
            (!name.starts_with('.')).then(|| vec![format!("  {name}"), bytes(size)])
        })
        .collect();
    rows.sort();
    format!("\nfiles\n{}", columns(&rows))
}

/// The trees of the stages that no other stage of the run reads.
fn lineages(run: &RunEntry) -> String {
    let manifests: Vec<(&StageEntry, Manifest)> = (run.stages.iter())
        .filter_map(|stage| Some((stage, Manifest::read(&stage.dir).ok()?)))
        .collect();
    let is_read = |stage: Stage, fingerprint: &str| {
        let mut upstream = manifests.iter().flat_map(|m| &m.1.upstream);
        upstream.any(|u| u.stage == stage && u.fingerprint == fingerprint)
    };
    let last = manifests
        .iter()
        .filter(|(s, _)| !is_read(s.stage, &s.fingerprint));
    let trees: Vec<String> = last.map(|(s, m)| lineage::tree(&s.dir, m)).collect();
    match trees.is_empty() {
        true => String::new(),
        false => format!("\nlineage\n{}", trees.concat()),
    }
}
