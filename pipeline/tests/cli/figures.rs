//! The figures of a run.

use crate::project::Project;
use crate::tiny::{CONFIG, noise};
use roxmltree::Document;

/// Free points in the plane with a grid: every figure applies.
fn project() -> Project {
    let config = CONFIG
        .replace("  data: {file: vectors.h5, dataset: vectors}\n", "")
        .replace("{kind: dense, widths: [8]}", "{kind: points, count: 40}")
        .replace(
            "box_points: 0, grid_cells: 0",
            "box_points: 8, grid_cells: 4",
        );
    let project = Project::new();
    project.write("tiny.yaml", config);
    project.write_features("features.h5", "features", 400, 2, noise);
    project
}

/// Each figure and texts that it holds.
const FIGURES: [(&str, &[&str]); 8] = [
    (
        "heatmaps.svg",
        &[
            "alignment loss (uniform)",
            "likelihood-weighted bound",
            "ODE NLL",
            "y₁",
        ],
    ),
    (
        "surrogate.svg",
        &[
            "held-out features: alignment loss (uniform)",
            "uniform box: likelihood-weighted bound",
            "ODE NLL (nats)",
        ],
    ),
    (
        "principal-plane.svg",
        &[
            "features alone",
            "latents over features",
            "held-out latents",
        ],
    ),
    (
        "marginals.svg",
        &["dimension 0", "dimension 1", "density", "held-out features"],
    ),
    ("variances.svg", &["Variance of each dimension", "latents"]),
    (
        "timings.svg",
        &["pretrain-flow", "train-autoencoder", "estimate-nll"],
    ),
    (
        "trajectories.svg",
        &["Trajectories of free points", "start", "held-out features"],
    ),
    (
        "learning-curves.svg",
        &[
            "pretrain-flow: loss",
            "train-autoencoder: regulariser",
            "training step",
        ],
    ),
];

#[test]
fn figures_are_drawn_listed_and_kept() {
    let project = project();
    let first = project.run(&["run", "tiny.yaml"]);
    first.expect(0, &["never run", "## figures"]);
    let folder = project.path("artifacts/runs/tiny");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let drawn = FIGURES.map(|(name, texts)| {
        let svg = read(name);
        assert!(svg.len() < 500_000, "{name}: {} bytes", svg.len());
        let document = Document::parse(&svg).unwrap_or_else(|e| panic!("{name}: {e}"));
        let found: Vec<&str> = document.descendants().filter_map(|n| n.text()).collect();
        for text in texts {
            assert!(found.contains(text), "{name}: no `{text}` in {found:?}");
        }
        for place in document.descendants().flat_map(|n| n.attributes()) {
            let numbers = ["x", "y", "d", "width", "height"].contains(&place.name());
            let finite = !["NaN", "inf"]
                .iter()
                .any(|word| place.value().contains(word));
            assert!(!numbers || finite, "{name}: {place:?}");
        }
        let link = format!("- [{name}]({name}): ");
        assert!(read("summary.md").contains(&link), "{name}");
        svg
    });

    std::fs::remove_file(folder.join("surrogate.svg")).unwrap();
    let second = project.run(&["run", "tiny.yaml"]);
    second.expect(0, &["Nothing to do", "## figures"]);
    assert_eq!(FIGURES.map(|(name, _)| read(name)), drawn);

    let without = project.run(&["run", "tiny.yaml", "--set", "estimate_nll.grid_cells=0"]);
    without.expect(0, &["surrogate.svg"]);
    assert!(!folder.join("heatmaps.svg").exists());
    assert!(!read("summary.md").contains("heatmaps.svg"));
}
