//! Kinds of prior through the ordinary stages: trained, scored, inverted, sampled, and used as the target of
//! alignment.

use crate::project::Project;
use crate::tiny;
use latent_align_hdf5::{read_dataset_f32, read_dataset_i64};
use latent_align_stages::comparison::energy_test;
use latent_align_stages::random::Streams;
use std::f64::consts::TAU;
use std::path::Path;

/// Rows of the target, their tokens and width, and classes.
const ROWS: usize = 6000;
const CLASSES: usize = 4;
/// Numbers in a row: 2 tokens of width 2.
const SIZE: usize = 4;

/// A row of class c: independent normal numbers, sheared into a banana across tokens, and moved to the corner of
/// the class. Shears keep volumes, so that the density is that of the normal numbers.
fn row(noise: &[f32], class: usize) -> [f32; SIZE] {
    let [a, b] = corner(class);
    let x = 0.5 * noise[0] + a;
    let y = 0.5 * noise[1] + b;
    // token 1 bends with token 0
    [
        x,
        y,
        0.7 * noise[2] + 0.6 * x * x,
        0.7 * noise[3] - 0.5 * x * y,
    ]
}

fn corner(class: usize) -> [f32; 2] {
    [
        if class.is_multiple_of(2) { -1.5 } else { 1.5 },
        if class < 2 { -1.5 } else { 1.5 },
    ]
}

/// The analytic NLL of a row given its class, in nats.
fn analytic(row: &[f32], class: usize) -> f64 {
    let [a, b] = corner(class);
    let [x, y, u, v] = [row[0], row[1], row[2], row[3]].map(f64::from);
    let noise = [
        (x - f64::from(a)) / 0.5,
        (y - f64::from(b)) / 0.5,
        (u - 0.6 * x * x) / 0.7,
        (v + 0.5 * x * y) / 0.7,
    ];
    let squares: f64 = noise.iter().map(|z| 0.5 * (z * z + TAU.ln())).sum();
    squares + 2.0 * 0.5f64.ln() + 2.0 * 0.7f64.ln()
}

fn rows(seed: u64, count: usize, class: impl Fn(usize) -> usize) -> Vec<f32> {
    let noise = Streams::new(seed).normal("rows", 0, SIZE * count);
    (noise.chunks_exact(SIZE).enumerate())
        .flat_map(|(i, noise)| row(noise, class(i)))
        .collect()
}

const COUPLING: &str = "\
name: classes
pretrain_flow:
  features: {file: classes.h5}
  model: {kind: coupling, layers: 8, width: 64, depth: 2}
  rows: sequences
  condition: {dataset: labels, dropout: 0.1}
  held_out: {fraction: 0.05}
  test: {fraction: 0.2}
  optimiser: {learning_rate: 2.0e-3}
  steps: 1500
  batch: 256
  samples: 2000
  nll_points: 1200
estimate_nll: {points: 400, box_points: 50}
";

/// Fails if a condition is lost in training, scoring or sampling, if a token is dropped from a point, or if a
/// log-determinant has the wrong sign.
#[test]
fn a_conditional_coupling_flow_is_trained_scored_inverted_and_sampled_by_the_ordinary_stages() {
    let project = Project::new();
    let class = |i: usize| i % CLASSES;
    let features = rows(1, ROWS, class);
    let labels: Vec<u8> = (0..ROWS).map(|i| class(i) as u8).collect();
    project.write_dataset("classes.h5", "features", &[ROWS, 2, 2], &features);
    project.add_dataset("classes.h5", "labels", &[ROWS], &labels);
    project.write("classes.yaml", COUPLING);
    project.run(&["run", "classes.yaml"]).expect(0, &["exact"]);

    let flow = project.path("artifacts/runs/classes/pretrain-flow");
    let shown = project.run(&["show", "classes", "--format", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown.expect(0, &[]).stdout).unwrap();
    let figure = |name: &str| {
        let value = shown[0][name].as_f64();
        value.unwrap_or_else(|| panic!("no figure `{name}` in {shown}"))
    };

    // within 0.05 nats of the analytic NLL of the same rows
    let (_, items) = read_dataset_i64(&flow.join("test.h5"), "items").unwrap();
    let of_rows: Vec<f64> = (items.iter().step_by(2))
        .map(|&item| {
            let item = item as usize;
            analytic(&features[item * SIZE..(item + 1) * SIZE], class(item))
        })
        .collect();
    assert!(of_rows.len() > 1000, "{}", of_rows.len());
    let expected = of_rows.iter().sum::<f64>() / of_rows.len() as f64;
    let found = figure("pretrain-flow: test NLL in feature space (nats)");
    println!("NLL {found:.4}, analytic {expected:.4} nats");
    assert!((found - expected).abs() < 0.05, "{found} {expected}");

    let round_trip = figure("estimate-nll: largest error of a round trip to noise and back");
    println!("round trip {round_trip:.1e}");
    assert!(round_trip < 1e-5, "{round_trip}");

    let shape =
        samples_are_of_their_class(&flow, |seed, count, class| rows(seed, count, |_| class));
    assert_eq!(shape, [2000, 2, 2]);
}

/// Samples of a class are like fresh rows of it, which `fresh` draws by seed, count and class, and unlike those of
/// another. The shape of all samples.
fn samples_are_of_their_class(
    flow: &Path,
    fresh: impl Fn(u64, usize, usize) -> Vec<f32>,
) -> Vec<usize> {
    let samples = flow.join("samples.h5");
    let (shape, drawn) = read_dataset_f32(&samples, "features").unwrap();
    let size = drawn.len() / shape[0];
    let (_, of_samples) = read_dataset_i64(&samples, "labels").unwrap();
    let of_class = |wanted: usize| -> Vec<f32> {
        let rows = drawn.chunks_exact(size).zip(&of_samples);
        let of_it = rows
            .filter(|&(_, &label)| label as usize == wanted)
            .take(200);
        of_it.flat_map(|(row, _)| row.iter().copied()).collect()
    };
    for wanted in 0..CLASSES {
        let drawn = of_class(wanted);
        let count = drawn.len() / size;
        assert!(count >= 150, "{count}");
        let test = |class: usize| {
            let fresh = fresh(7 + class as u64, count, class);
            energy_test(&drawn, &fresh, size, 1, 199, Streams::new(3)).p_value
        };
        let (own, other) = (test(wanted), test((wanted + 1) % CLASSES));
        println!("class {wanted}: p {own} against itself, {other} against another");
        assert!(own > 0.01 && other < 0.01, "{wanted}: {own} {other}");
    }
    shape
}

const CONDITIONAL_FLOW: &str = "\
name: corners
pretrain_flow:
  features: {file: corners.h5}
  model: {kind: flow_matching, network: {width: 48, blocks: 2, frequencies: 16, time_scale: 10}, times: 64}
  condition: {dataset: labels, dropout: 0.1}
  held_out: {fraction: 0.05}
  test: {fraction: 0.2}
  optimiser: {learning_rate: 3.0e-3}
  steps: 1500
  batch: 256
  samples: 800
  nll_points: 400
estimate_nll: {points: 64, draws: 192, box_points: 0, grid_cells: 0, gradient_points: 4}
";

/// Fails if the velocity network ignores a condition in training, in the ODE of the NLL or in that of samples.
#[test]
fn a_conditional_flow_is_trained_scored_and_sampled_by_the_ordinary_stages() {
    let project = Project::new();
    let class = |i: usize| i % CLASSES;
    // the first token of a row: a normal distribution about the corner of its class
    let corners = |seed: u64, count: usize, class: &dyn Fn(usize) -> usize| -> Vec<f32> {
        let rows = rows(seed, count, class);
        let first = rows.chunks_exact(SIZE).flat_map(|row| &row[..2]);
        first.copied().collect()
    };
    let features = corners(1, ROWS, &class);
    let labels: Vec<u8> = (0..ROWS).map(|i| class(i) as u8).collect();
    project.write_dataset("corners.h5", "features", &[ROWS, 2], &features);
    project.add_dataset("corners.h5", "labels", &[ROWS], &labels);
    project.write("corners.yaml", CONDITIONAL_FLOW);
    project.run(&["run", "corners.yaml"]).expect(0, &["ODE"]);

    // under its class a row is normal: the entropy of N(0, 0.5^2 I) in 2 dimensions
    let shown = project.run(&["show", "corners", "--format", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown.expect(0, &[]).stdout).unwrap();
    let name = "pretrain-flow: test NLL in feature space (nats)";
    let found = shown[0][name].as_f64().unwrap();
    let expected = (TAU * 0.25).ln() + 1.0;
    println!("NLL {found:.4}, entropy {expected:.4} nats");
    assert!((found - expected).abs() < 0.05, "{found} {expected}");

    let flow = project.path("artifacts/runs/corners/pretrain-flow");
    let fresh = |seed, count, class| corners(seed, count, &|_| class);
    let shape = samples_are_of_their_class(&flow, fresh);
    assert_eq!(shape, [800, 2]);

    let text = CONDITIONAL_FLOW.replace("dropout: 0.1", "dropout: 0, guidance: 2");
    project.write("corners.yaml", text);
    project
        .run(&["run", "corners.yaml"])
        .expect(2, &["condition.guidance", "a dropout such as 0.1"]);
    let guided = COUPLING.replace("dropout: 0.1", "dropout: 0.1, guidance: 2");
    project.write("classes.yaml", guided.replace("classes.h5", "corners.h5"));
    project.run(&["run", "classes.yaml"]).expect(
        2,
        &["condition.guidance", "kind: coupling", "flow_matching"],
    );
}

/// The tiny experiment with another prior and regulariser.
fn with(model: &str, regulariser: &str) -> Project {
    let project = tiny::project();
    let config = tiny::CONFIG
        .replace(
            "{kind: flow_matching, network: {width: 16, blocks: 1, frequencies: 8}, times: 8}",
            model,
        )
        .replace("{kind: alignment, weight: 0.1, draws: 2}", regulariser);
    assert!(config.contains(model) && config.contains(regulariser));
    project.write("tiny.yaml", config);
    project
}

#[test]
fn every_kind_of_prior_goes_through_all_stages_with_a_regulariser_that_it_offers() {
    for (model, regulariser, nll) in [
        (
            "{kind: normal}",
            "{kind: alignment, weight: 0.1, draws: 2}",
            "exact",
        ),
        (
            "{kind: mixture, components: 3}",
            "{kind: flow_kl, draws: 2}",
            "exact",
        ),
        (
            "{kind: mixture, components: 3}",
            "{kind: nll, weight: 0.1}",
            "exact",
        ),
        (
            "{kind: coupling, layers: 2, width: 8, depth: 1}",
            "{kind: nll, weight: 0.1}",
            "exact",
        ),
        (
            "{kind: starflow, shallow_blocks: 1, deep_layers: 1, channels: 8, head_width: 4}",
            "{kind: nll, weight: 0.1}",
            "exact",
        ),
        (
            "{kind: flow_matching, network: {width: 8, blocks: 1, frequencies: 8}, times: 8}",
            "{kind: nll, weight: 0.1, tolerance: 0.1}",
            "ODE",
        ),
    ] {
        let project = with(model, regulariser);
        if regulariser.contains("flow_kl") {
            let text = std::fs::read_to_string(project.path("tiny.yaml")).unwrap();
            let noisy = text.replace(
                "  latent: {width: 2}\n",
                "  latent: {width: 2}\n  posterior: {kind: gaussian}\n",
            );
            project.write("tiny.yaml", noisy);
        }
        let mean = format!("mean NLL, {nll} (nats)");
        project
            .run(&["run", "tiny.yaml"])
            .expect(0, &["test latents", &mean]);
        project.run(&["report", "tiny"]).expect(0, &[]);
    }
}

#[test]
fn a_regulariser_that_the_prior_does_not_offer_is_refused_before_anything_runs() {
    for (regulariser, model) in [
        ("{kind: alignment, weight: 0.1}", "{kind: coupling}"),
        ("{kind: distribution_matching}", "{kind: coupling}"),
    ] {
        let project = with(model, regulariser);
        let kind = model.trim_matches(['{', '}']);
        project.run(&["run", "tiny.yaml"]).expect(
            2,
            &[
                "train_autoencoder.regulariser.kind",
                kind,
                "expected",
                "`nll`",
            ],
        );
        assert!(!project.path("artifacts").exists());
    }
}

/// Fails if the levels of a flow without a velocity are found out after its training.
#[test]
fn levels_of_a_hierarchy_need_a_velocity_and_more_than_one() {
    for (model, levels, found) in [
        ("{kind: coupling}", "[10]", "kind: coupling"),
        ("{kind: flow_matching}", "[1]", "2 to 100000"),
    ] {
        let project = with(model, "{kind: nll}");
        let set = format!("estimate_nll.levels={levels}");
        project
            .run(&["run", "tiny.yaml", "--set", &set])
            .expect(2, &["estimate_nll.levels", found, "expected"]);
        assert!(!project.path("artifacts").exists());
    }
}

#[test]
fn keys_that_moved_into_the_model_say_where_they_stand_now() {
    let project = tiny::project();
    let text = std::fs::read_to_string(project.path("tiny.yaml")).unwrap();
    project.write(
        "old.yaml",
        text.replace(
            "  steps: 20\n  batch: 32\n",
            "  steps: 20\n  batch: 32\n  times: 8\n",
        ),
    );
    let hint = "did you mean `model: {kind: flow_matching, times: ...}`?";
    project
        .run(&["run", "old.yaml"])
        .expect(2, &["unknown key `times`", hint]);
}

#[test]
fn conditions_that_do_not_fit_are_refused_with_what_was_found() {
    let project = Project::new();
    project.write_dataset(
        "classes.h5",
        "features",
        &[400, 2, 2],
        &rows(1, 400, |i| i % 4),
    );
    project.add_dataset("classes.h5", "labels", &[399], &[0u8; 399]);
    project.add_dataset("classes.h5", "embeddings", &[400, 3], &[0.5f32; 1200]);
    let run = |change: &dyn Fn(String) -> String| {
        project.write("classes.yaml", change(COUPLING.to_owned()));
        project.run(&["run", "classes.yaml"])
    };
    run(&|text| text).expect(2, &["`labels`", "shape [399]", "400 items"]);
    run(&|text| {
        text.replace("dataset: labels", "dataset: embeddings")
            .replace("  rows: sequences\n", "")
    })
    .expect(2, &["2 tokens per item", "`rows: sequences`"]);
    run(&|text| {
        text.replace(
            "{kind: coupling, layers: 8, width: 64, depth: 2}",
            "{kind: mixture}",
        )
    })
    .expect(2, &["pretrain_flow.condition", "kind: mixture", "coupling"]);
}

/// Latents of two tokens that form one point of a prior over whole rows.
#[test]
fn latents_of_several_tokens_are_held_to_a_prior_over_whole_rows() {
    let project = Project::new();
    project.write_dataset(
        "rows.h5",
        "features",
        &[400, 2, 2],
        &rows(1, 400, |i| i % 4),
    );
    project.write_features("vectors.h5", "vectors", 200, 4, tiny::noise);
    let flow = tiny::CONFIG
        .replace("features.h5}", "rows.h5}\n  rows: sequences")
        .replace("latent: {width: 2}", "latent: {tokens: 2, width: 2}")
        .replace("points: 8, draws", "points: 20, draws");
    let matched = |latents: &str| {
        let student = format!("{{kind: distribution_matching, latents: {latents}}}");
        let config = flow.replace("{kind: alignment, weight: 0.1, draws: 2}", &student);
        project.write("flow.yaml", config.replace("name: tiny", "name: flow"));
        project.run(&["run", "flow.yaml"])
    };
    matched("whole").expect(0, &["test latents", "mean NLL, ODE (nats)", "Spearman"]);
    matched("tokens").expect(2, &["train_autoencoder.regulariser.latents", "`whole`"]);
    let config = flow.replace(
        "{kind: flow_matching, network: {width: 16, blocks: 1, frequencies: 8}, times: 8}",
        "{kind: mixture, components: 3}",
    );
    project.write("tiny.yaml", &config);
    let outcome = project.run(&["run", "tiny.yaml"]);
    outcome.expect(0, &["test latents", "mean NLL, exact (nats)", "Spearman"]);
    let one = config.replace("latent: {tokens: 2, width: 2}", "latent: {width: 2}");
    project.write("one.yaml", one.replace("name: tiny", "name: one"));
    project.run(&["run", "one.yaml"]).expect(
        2,
        &[
            "train_autoencoder.latent.tokens",
            "expected 2",
            "`pretrain_flow.rows: tokens`",
        ],
    );
}
