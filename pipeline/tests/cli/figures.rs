//! The figures of a run.

use crate::tiny::plane;
use roxmltree::Document;

/// Each figure and texts that it holds.
const FIGURES: [(&str, &[&str]); 9] = [
    (
        "heatmaps.svg",
        &[
            "alignment loss (uniform, sum)",
            "likelihood-weighted bound",
            "ODE NLL",
            "y₁",
        ],
    ),
    (
        "surrogate.svg",
        &[
            "test features: alignment loss (uniform, sum)",
            "uniform box: likelihood-weighted bound",
            "ODE NLL (nats)",
        ],
    ),
    (
        "hierarchy.svg",
        &[
            "negative ELBO",
            "NLL by the ODE",
            "levels",
            "nats per test feature",
        ],
    ),
    (
        "principal-plane.svg",
        &["features alone", "latents over features", "free points"],
    ),
    (
        "marginals.svg",
        &["dimension 0", "dimension 1", "density", "test features"],
    ),
    ("variances.svg", &["Variance of each dimension", "latents"]),
    (
        "timings.svg",
        &["pretrain-flow", "train-autoencoder", "estimate-nll"],
    ),
    (
        "trajectories.svg",
        &["Trajectories of free points", "start", "features"],
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
    let project = plane();
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
