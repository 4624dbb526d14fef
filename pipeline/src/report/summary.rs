//! The summary of a run as Markdown that reads well in a terminal: `summary.md`.

use super::charts::Plots;
use crate::config::{Loaded, MARK};
use crate::store::{Manifest, RunFolder, Stage};
use crate::tables::{duration, figures_tables};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The figures of every stage of an experiment.
#[derive(Debug, Clone)]
pub struct Summary {
    title: String,
    description: String,
    stages: Vec<Manifest>,
    plots: Plots,
    folder: PathBuf,
}

impl Summary {
    /// The summary of `loaded`, whose stages wrote the manifests `stages`.
    pub fn new(loaded: &Loaded, folder: &RunFolder, stages: Vec<Manifest>) -> Self {
        let experiment = &loaded.experiment;
        let mut description = format!("seed {}", experiment.seed);
        if loaded.quick {
            let _ = write!(description, ", {MARK}");
        }
        if let Some(flow) = &experiment.flow {
            let _ = write!(description, ", flow {flow}");
        }
        Self {
            title: experiment.name.clone(),
            description,
            stages,
            plots: Plots::default(),
            folder: folder.path().to_owned(),
        }
    }

    /// Appends the run's figures.
    pub fn with_plots(self, plots: Plots) -> Self {
        Self { plots, ..self }
    }

    /// The folder of the run.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The figures of `stage`; none if the experiment has no such stage.
    pub fn figures(&self, stage: Stage) -> &[(String, f64)] {
        let found = self.stages.iter().find(|s| s.stage == stage);
        found.map_or(&[], |s| &s.figures.0)
    }

    /// The complete summary.
    pub fn markdown(&self) -> String {
        let mut out = format!("# {}\n\n{}\n", self.title, self.description);
        for stage in &self.stages {
            out.push('\n');
            out.push_str(&of_stage(stage));
        }
        let figures = self.plots.markdown();
        if !figures.is_empty() {
            let _ = write!(out, "\n{figures}");
        }
        out
    }
}

/// What `stage` did, its figures and its warnings.
pub fn of_stage(stage: &Manifest) -> String {
    let mut out = format!(
        "## {} {}\n\n{} on {}, {} UTC\n",
        stage.stage,
        stage.fingerprint,
        duration(stage.seconds),
        stage.device,
        stage.finished.readable()
    );
    if stage.quick {
        let _ = writeln!(out, "\n{MARK}");
    }
    if !stage.figures.0.is_empty() {
        let _ = write!(out, "\n{}", figures_tables(&stage.figures.0));
    }
    if !stage.warnings.is_empty() {
        out.push('\n');
        for warning in &stage.warnings {
            let _ = writeln!(out, "- warning: {}", warning.replace('\n', " "));
        }
    }
    out
}
