//! A second likelihood: the exact NLL of another experiment's prior, compared with that of the flow.

use crate::project::Project;
use crate::tiny::{CONFIG, noise, plane, project};
use burn::tensor::Device;
use latent_align_hdf5::read_dataset_f32;
use latent_align_stages::priors::{Flow, Placement};
use polars::prelude::{DataFrame, ParquetReader, SerReader as _};
use std::f64::consts::TAU;

const MODEL: &str =
    "model: {kind: flow_matching, network: {width: 16, blocks: 1, frequencies: 8}, times: 8}";
const COUPLING: &str = "model: {kind: coupling, layers: 2, width: 8, depth: 1}";

/// The prior of `tiny.yaml` replaced by `model`, and no stage after it.
fn prior(model: &str) -> String {
    assert!(CONFIG.contains(MODEL));
    let stage = CONFIG.split("train_autoencoder:").next().unwrap();
    stage
        .replace("name: tiny", "name: other")
        .replace(MODEL, model)
}

/// `tiny.yaml` with a box, beside the witness `other`.
fn beside(project: &Project, other: &str) {
    project.write("other.yaml", other);
    let config = CONFIG.replace("points: 8,", "points: 16, witness: other.yaml,");
    project.write(
        "tiny.yaml",
        config.replace("box_points: 0", "box_points: 8"),
    );
}

fn table(project: &Project, name: &str) -> DataFrame {
    let path = format!("artifacts/runs/tiny/estimate-nll/{name}.parquet");
    let file = std::fs::File::open(project.path(&path)).unwrap();
    ParquetReader::new(file).finish().unwrap()
}

fn numbers(table: &DataFrame, column: &str) -> Vec<f64> {
    let column = table.column(column).unwrap().f64().unwrap();
    column.iter().map(|v| v.unwrap_or(f64::NAN)).collect()
}

fn texts(table: &DataFrame, column: &str) -> Vec<String> {
    let column = table.column(column).unwrap().str().unwrap();
    column.iter().map(|v| v.unwrap().to_owned()).collect()
}

/// The value of `figure` of `surrogate` against `reference` in `region`.
fn agreement(project: &Project, of: [&str; 4]) -> Option<f64> {
    let table = table(project, "agreement");
    let columns = ["region", "surrogate", "reference", "figure"].map(|name| texts(&table, name));
    let row = (0..table.height()).find(|&i| (0..4).all(|c| columns[c][i] == of[c]));
    row.map(|row| numbers(&table, "value")[row])
}

/// Fails if a witness is evaluated in other coordinates than its own, or its NLL is not converted back.
#[test]
fn a_witness_in_its_own_coordinates_gives_the_nll_of_the_points_of_the_flow() {
    let project = project();
    // another normalisation, and a density that is known
    let other = prior("model: {kind: normal}").replace(
        "  steps: 20",
        "  normalisation: {centre: false, whiten: global}\n  steps: 20",
    );
    beside(&project, &other);
    let run = project.run(&["run", "tiny.yaml"]);
    let expected = [
        "mean NLL, witness (nats)",
        "ODE against witness, Spearman",
        "uniform against witness, gradient cosine",
        "likelihood against witness, slope",
    ];
    run.expect(0, &expected);
    let place = Placement::on(&Device::flex());
    let [own, other] = ["tiny", "other"].map(|name| {
        let dir = project.path(&format!("artifacts/runs/{name}/pretrain-flow"));
        Flow::load(&dir, &place).unwrap()
    });
    let points = table(&project, "points");
    let found = numbers(&points, "nll_witness");
    let [x, y] = ["y0", "y1"].map(|name| numbers(&points, name));
    let change = own.log_abs_det().unwrap() - other.log_abs_det().unwrap();
    assert!(change.abs() > 0.1, "{change}: nothing is tested");
    for ((found, x), y) in found.iter().zip(x).zip(y) {
        let features = own.normaliser.inverse(&[x as f32, y as f32]).unwrap();
        let there = other.normaliser.apply(&features);
        let squares: f64 = there.iter().map(|v| f64::from(*v).powi(2)).sum();
        let expected = 0.5 * squares + TAU.ln() + change;
        assert!((found - expected).abs() < 1e-4, "{found} {expected}");
    }
    for region in ["test features", "test latents", "uniform box"] {
        for surrogate in ["ODE NLL", "likelihood-weighted bound"] {
            for figure in ["Pearson", "Kendall", "bias", "gradient cosine"] {
                let found = agreement(&project, [region, surrogate, "witness NLL", figure]);
                assert!(found.is_some_and(f64::is_finite), "{region} {surrogate}");
            }
        }
    }
    let report = std::fs::read_to_string(project.path("artifacts/runs/tiny/report.html")).unwrap();
    for text in ["ODE against witness", "witness NLL (nats)"] {
        assert!(report.contains(text), "{text}");
    }
}

/// Fails if a feature that the witness splits into tokens is split differently, or counts as often as it has
/// tokens.
#[test]
fn a_witness_of_split_features_says_what_it_says_of_its_own() {
    let project = project();
    let tarflow = "model: {kind: tarflow, blocks: 2, layers: 1, channels: 8, head_width: 4}\n  rows: {split: 2}";
    let other = prior(tarflow).replace("nll_points: 8", "nll_points: 1000");
    beside(&project, &other);
    let all = ["run", "tiny.yaml", "--set", "estimate_nll.points=1000"];
    project.run(&all).expect(0, &["ODE against witness"]);
    let dir = project.path("artifacts/runs/tiny/pretrain-flow");
    let own = Flow::load(&dir, &Placement::on(&Device::flex())).unwrap();
    let points = table(&project, "points");
    let of_features = texts(&points, "region")
        .into_iter()
        .map(|r| r == "test features");
    let found: Vec<f64> = (of_features.zip(numbers(&points, "nll_witness")))
        .filter_map(|(here, nll)| here.then_some(nll))
        .collect();
    let found = found.iter().sum::<f64>() / found.len() as f64 - own.log_abs_det().unwrap();
    let shown = project.run(&["show", "other", "--format", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown.expect(0, &[]).stdout).unwrap();
    let expected = shown[0]["pretrain-flow: test NLL in feature space (nats)"].as_f64();
    let expected = expected.unwrap_or_else(|| panic!("{shown}"));
    assert!((found - expected).abs() < 1e-4, "{found} {expected}");
    let of = ["test features", "ODE NLL", "witness NLL", "gradient cosine"];
    assert!(agreement(&project, of).is_some_and(|cosine| cosine.abs() <= 1.0));
}

/// Fails if a prior does not agree with itself as a witness.
#[test]
fn a_prior_beside_itself_agrees_exactly() {
    let project = project();
    beside(&project, &prior(COUPLING));
    let own = CONFIG
        .replace(MODEL, COUPLING)
        .replace("points: 8,", "points: 16, witness: other.yaml,")
        .replace(
            "{kind: alignment, weight: 0.1, draws: 2}",
            "{kind: nll, weight: 0.1}",
        );
    project.write("tiny.yaml", own);
    let run = project.run(&["run", "tiny.yaml"]);
    run.expect(0, &["exact against witness, verdict"]);
    for (figure, expected) in [
        ("Spearman", 1.0),
        ("slope", 1.0),
        ("RMSE", 0.0),
        ("gradient cosine", 1.0),
    ] {
        for region in ["test features", "test latents"] {
            let found = agreement(&project, [region, "exact NLL", "witness NLL", figure]).unwrap();
            assert!(
                (found - expected).abs() < 1e-5,
                "{region} {figure}: {found}"
            );
        }
    }
}

/// Fails if NLLs of tokens are compared with that of their row without being summed.
#[test]
fn a_witness_of_whole_rows_is_compared_with_sums_over_tokens() {
    let project = project();
    let features: Vec<f32> = (0..400 * 6).map(|i| noise(i / 6, i % 6)).collect();
    project.write_dataset("features.h5", "features", &[400, 3, 2], &features);
    beside(
        &project,
        &prior("model: {kind: normal}").replace("  steps: 20", "  rows: sequences\n  steps: 20"),
    );
    let run = project.run(&[
        "run",
        "tiny.yaml",
        "--set",
        "train_autoencoder.latent.tokens=3",
    ]);
    run.expect(0, &["points of one NLL of the witness"]);
    let told = format!("{}{}", run.stdout, run.stderr);
    assert!(
        told.contains(
            "the witness scores whole rows with more tokens than the points grouped together in: uniform box;"
        ),
        "{run}"
    );
    let points = table(&project, "points");
    let (regions, witness) = (texts(&points, "region"), numbers(&points, "nll_witness"));
    let own = numbers(&points, "nll_ode");
    let mut bias = Vec::new();
    for row in (0..own.len()).step_by(3) {
        if regions[row] != "test latents" {
            continue;
        }
        assert_eq!(witness[row..row + 3], [witness[row]; 3]);
        bias.push(own[row..row + 3].iter().sum::<f64>() - witness[row]);
    }
    let expected = bias.iter().sum::<f64>() / bias.len() as f64;
    let of = ["test latents", "ODE NLL", "witness NLL", "bias"];
    let found = agreement(&project, of).unwrap();
    assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    let of = ["uniform box", "ODE NLL", "witness NLL", "bias"];
    assert_eq!(agreement(&project, of), None);
}

/// Fails if an unsuitable witness is detected only after training, or never.
#[test]
fn a_witness_that_cannot_be_one_is_refused_before_anything_is_trained() {
    let project = project();
    let more =
        |text: &str| prior(COUPLING).replace("  steps: 20", &format!("  {text}\n  steps: 20"));
    project.write_features("others.h5", "features", 400, 2, |i, j| noise(i + 1, j));
    project.write_features("same.h5", "features", 400, 2, noise);
    let random = "normalisation: {projection: {kind: random, width: 2}}";
    for (other, expected) in [
        (
            prior(COUPLING).replace("features.h5", "others.h5"),
            "other.yaml has a prior of other features: found `features` in a file of digest",
        ),
        (
            prior(MODEL),
            "other.yaml has a prior of `kind: flow_matching`, whose NLL needs an ODE",
        ),
        (
            more(random),
            "whose points cannot be computed from those of the flow here",
        ),
        (
            more("test: {fraction: 0.2}"),
            "other.yaml keeps other rows as its pretrain_flow.test",
        ),
        (
            more("noise: {kind: gaussian, sigma: 0.1}"),
            "other.yaml adds pretrain_flow.noise {\"kind\":\"gaussian\",\"sigma\":0.1} to features, expected none",
        ),
    ] {
        beside(&project, &other);
        for command in ["plan", "run"] {
            let refused = project.run(&[command, "tiny.yaml"]);
            refused.expect(2, &["estimate_nll.witness: ", expected]);
        }
        assert!(project.entries("artifacts/pretrain-flow").is_empty());
    }
    // the same content elsewhere is the same
    beside(&project, &prior(COUPLING).replace("features.h5", "same.h5"));
    project
        .run(&["plan", "tiny.yaml"])
        .expect(0, &["4 stages would run."]);
}

/// Fails if latents are aligned with the prior of another experiment without changing coordinates, or with the
/// flow.
#[test]
fn latents_are_held_to_the_prior_of_another_experiment() {
    let project = plane();
    // N(0, I) over the features as they are: its mode is the feature 0
    let other = prior("model: {kind: normal}").replace(
        "  steps: 20",
        "  normalisation: {centre: false, whiten: none}\n  steps: 20",
    );
    project.write("other.yaml", other);
    let config = std::fs::read_to_string(project.path("tiny.yaml")).unwrap();
    let config = config
        .replace(
            "{kind: alignment, weight: 0.1, draws: 2}",
            "{kind: nll, weight: 1.0, prior: other.yaml}",
        )
        .replace(
            "  steps: 20\n  batch: 16",
            "  optimiser: {learning_rate: 0.05, final_learning_rate: 1.0e-4}\n  steps: 400\n  batch: 16",
        );
    assert!(config.contains("prior: other.yaml") && config.contains("steps: 400"));
    project.write("tiny.yaml", &config);
    project
        .run(&["run", "tiny.yaml"])
        .expect(0, &["train-autoencoder"]);
    let runs = project.path("artifacts/runs");
    let own = Flow::load(
        &runs.join("tiny/pretrain-flow"),
        &Placement::on(&Device::flex()),
    )
    .unwrap();
    let mode = own.normaliser.apply(&[0.0, 0.0]);
    assert!(mode[0] < -1.0, "{mode:?}: nothing is tested");
    let latents = runs.join("tiny/train-autoencoder/latents.h5");
    let (_, points) = read_dataset_f32(&latents, "points").unwrap();
    for point in points.chunks_exact(2) {
        let near = point.iter().zip(&mode).all(|(x, m)| (x - m).abs() < 0.2);
        assert!(near, "{point:?}, expected {mode:?}");
    }
    let entropy = ["--set", "train_autoencoder.regulariser.entropy=1.0"];
    let refused = project.run(&[&["plan", "tiny.yaml"], &entropy[..]].concat());
    refused.expect(
        2,
        &[
            "train_autoencoder.posterior.kind: found deterministic, expected",
            "or an entropy",
        ],
    );
    let with = ["--set", "train_autoencoder.posterior={kind: gaussian}"];
    let plan = project.run(&[&["plan", "tiny.yaml"], &entropy[..], &with[..]].concat());
    plan.expect(0, &["train-autoencoder"]);
}

/// Fails if latents of too few tokens are accepted by a prior of whole rows.
#[test]
fn a_prior_of_rows_that_latents_are_not_is_refused_before_training() {
    let project = project();
    let features: Vec<f32> = (0..400 * 6).map(|i| noise(i / 6, i % 6)).collect();
    project.write_dataset("features.h5", "features", &[400, 3, 2], &features);
    let rows =
        prior("model: {kind: normal}").replace("  steps: 20", "  rows: sequences\n  steps: 20");
    project.write("other.yaml", rows);
    let nll = "{kind: nll, weight: 0.1, prior: other.yaml}";
    let config = CONFIG.replace("{kind: alignment, weight: 0.1, draws: 2}", nll);
    project.write(
        "tiny.yaml",
        config.replace("latent: {width: 2}", "latent: {tokens: 2, width: 2}"),
    );
    let refused = project.run(&["run", "tiny.yaml"]);
    let expected = [
        "train_autoencoder.regulariser.prior: found a prior over points of 6 numbers",
        "set train_autoencoder.latent.tokens to 3,",
    ];
    refused.expect(2, &expected);
    assert!(project.entries("artifacts/pretrain-flow").is_empty());
    project.write(
        "tiny.yaml",
        config.replace("latent: {width: 2}", "latent: {tokens: 3, width: 2}"),
    );
    project
        .run(&["run", "tiny.yaml"])
        .expect(0, &["test latents"]);
}
