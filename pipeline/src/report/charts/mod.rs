//! Figures of a run and of a sweep: as SVG in its folder, in its report, and optionally as PNG.
//!
//! They are drawn from the tables of the artifacts that the folder leads to, each time a run ends, so
//! that they always match the summary. A figure that cannot be drawn is a warning and never fails a
//! run.

mod agreements;
mod colour_bar;
mod colours;
mod figure;
mod heatmaps;
mod hierarchy;
mod histogram;
mod learning_curves;
mod legend;
mod marginals;
mod palette;
mod panel;
mod pixels;
mod png;
mod point_sets;
mod principal;
mod reconstructed;
mod regions;
mod scale;
mod searches;
mod surrogate;
mod svg;
pub mod sweeps;
mod tables;
mod timings;
mod trajectories;
mod variances;
pub mod write_png;

pub use figure::Figure;

pub use tables::Table;

use crate::store::{RunFolder, RunStages};
use anyhow::Result;
use std::fmt::Write as _;

/// A kind of figure of a run.
pub struct Kind {
    /// The name of its file without the extension.
    pub name: &'static str,
    /// A description in one line.
    pub about: &'static str,
    /// Draws it from the artifacts of a run; none if it does not apply.
    pub draw: fn(&RunStages) -> Result<Option<Figure>>,
}

/// All figures of a run.
pub const KINDS: [Kind; 11] = [
    Kind {
        name: "heatmaps",
        about: "alignment losses and NLLs over the plane, with features and latents",
        draw: heatmaps::draw,
    },
    Kind {
        name: "surrogate",
        about: "how well the alignment losses follow the NLL in each region, and the verdicts",
        draw: surrogate::draw,
    },
    Kind {
        name: "hierarchy",
        about: "the flow as a hierarchical VAE: its negative ELBO by the number of levels",
        draw: hierarchy::draw,
    },
    Kind {
        name: "principal-plane",
        about: "latents and features in the plane of the features' first two principal components",
        draw: principal::draw,
    },
    Kind {
        name: "marginals",
        about: "the first dimensions of latents and features as densities",
        draw: marginals::draw,
    },
    Kind {
        name: "variances",
        about: "the variance of each dimension of latents and features",
        draw: variances::draw,
    },
    Kind {
        name: "trajectories",
        about: "how the free points moved",
        draw: trajectories::draw,
    },
    Kind {
        name: "reconstructions",
        about: "reconstructions of values that were not trained on",
        draw: reconstructed::draw,
    },
    Kind {
        name: "best-so-far",
        about: "the best score of the search by its calls",
        draw: searches::draw,
    },
    Kind {
        name: "learning-curves",
        about: "the metrics of each training by step",
        draw: learning_curves::draw,
    },
    Kind {
        name: "timings",
        about: "how long each stage took",
        draw: timings::draw,
    },
];

/// The figures of a run.
#[derive(Debug, Clone, Default)]
pub struct Plots {
    /// Lines of a Markdown list.
    lines: Vec<String>,
}

impl Plots {
    /// Draws all figures that apply into `folder` and removes those that no longer apply.
    pub fn draw(folder: &RunFolder) -> Self {
        let mut lines = Vec::new();
        let stages = folder.stages();
        for Kind { name, about, draw } in KINDS {
            let file = &format!("{name}.svg");
            let drawn = draw(&stages).and_then(|figure| {
                if let Some(figure) = &figure {
                    folder.write(file, &figure.file())?;
                }
                Ok(figure.is_some())
            });
            match drawn {
                Ok(true) => {
                    lines.push(format!("- [{file}]({file}): {about}"));
                    continue;
                }
                Ok(false) => {}
                Err(e) => {
                    let why = format!("{e:#}").replace('\n', " ");
                    lines.push(format!("- warning: {file} is missing: {why}"));
                }
            }
            // a figure of an earlier run would not match the summary
            let _ = std::fs::remove_file(folder.path().join(file));
        }
        Self { lines }
    }

    /// A section of the summary, empty without figures.
    pub fn markdown(&self) -> String {
        if self.lines.is_empty() {
            return String::new();
        }
        let mut out = "## figures\n\n".to_owned();
        for line in &self.lines {
            let _ = writeln!(out, "{line}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::tables::write_table;
    use latent_align_stages::context::Table;

    #[test]
    fn a_damaged_table_is_a_warning_and_costs_only_its_own_figures() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::of(&Store::at(dir.path()), "ring");
        let file = |name: &str| folder.path().join(name);
        for stage in ["pretrain-flow", "train-autoencoder", "estimate-nll"] {
            std::fs::create_dir_all(file(stage)).unwrap();
        }
        let mut metrics = Table::default();
        metrics.int("step", vec![1, 2]);
        metrics.float("train_loss", vec![2.0, 1.0]);
        write_table(&file("pretrain-flow/metrics.parquet"), &metrics).unwrap();
        write_table(&file("train-autoencoder/trajectory.parquet"), &metrics).unwrap();
        let whole = std::fs::read(file("pretrain-flow/metrics.parquet")).unwrap();
        let points = file("estimate-nll/points.parquet");
        std::fs::write(&points, &whole[..whole.len() / 2]).unwrap();
        std::fs::write(file("heatmaps.svg"), "of an earlier run").unwrap();

        let summary = Plots::draw(&folder).markdown();
        assert!(summary.contains("- [learning-curves.svg](learning-curves.svg): "));
        for missing in ["heatmaps.svg", "surrogate.svg"] {
            let warning = format!("- warning: {missing} is missing: reading ");
            assert!(summary.contains(&warning), "{summary}");
            assert!(!file(missing).exists());
        }
        std::fs::remove_file(&points).unwrap();
        let summary = Plots::draw(&folder).markdown();
        assert!(
            summary.contains("points.parquet: No such file"),
            "{summary}"
        );
    }

    #[test]
    fn a_run_without_tables_has_no_figures() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::of(&Store::at(dir.path()), "ring");
        assert_eq!(Plots::draw(&folder).markdown(), "");
    }
}
