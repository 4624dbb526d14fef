//! Whether the loss is a surrogate, and the remedies against collapse, on tiny inputs.

use crate::project::{Outcome, Project};
use crate::tiny;
use polars::prelude::{ParquetReader, SerReader as _};

/// Samples of the ring and an experiment with free points on it.
fn ring() -> Project {
    let project = Project::new();
    let generate = [
        "generate",
        "gaussian_ring",
        "--out",
        "ring.h5",
        "--count",
        "1000",
    ];
    project.run(&generate).expect(0, &[]);
    project.write(
        "ring.yaml",
        "\
name: ring
pretrain_flow:
  features: {file: ring.h5}
  normalisation: {centre: false, whiten: global}
  model: {kind: flow_matching, network: {width: 16, blocks: 1, frequencies: 16}, times: 16}
  batch: 64
  steps: 40
  evaluation_points: 256
  samples: 16
  nll_points: 16
train_autoencoder:
  architecture: {kind: points, count: 64}
  latent: {width: 2}
  regulariser: {kind: alignment, weight: 1.0}
  steps: 20
estimate_nll: {points: 64, box_points: 16, grid_cells: 5, draws: 1024, gradient_points: 8}
",
    );
    project
}

fn run(project: &Project, sets: &[&str]) -> Outcome {
    let mut arguments = vec!["run", "ring.yaml"];
    for set in sets {
        arguments.extend(["--set", set]);
    }
    project.run(&arguments)
}

/// The number of a region, a column of one of the tables, in the row `label`.
fn figure_of(outcome: &Outcome, region: &str, label: &str) -> f64 {
    let cells = |line: &str| -> Vec<String> {
        line.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let mut column = None;
    for line in outcome.stdout.lines().map(cells) {
        match line.get(1).map(String::as_str) {
            Some("") => column = line.iter().position(|cell| cell == region),
            Some(row) if row == label => {
                if let Some(column) = column {
                    let number = line[column].split_whitespace().next().unwrap();
                    return number.parse().unwrap();
                }
            }
            _ => (),
        }
    }
    panic!("no `{label}` of {region} in\n{outcome}")
}

/// The numbers in the rows of the summary that start with `label`, region by region.
fn figures(outcome: &Outcome, label: &str) -> Vec<f64> {
    (outcome.stdout.lines())
        .filter(|line| line.starts_with(&format!("| {label} ")))
        .flat_map(|line| line.split('|').skip(2))
        .filter_map(|cell| cell.split_whitespace().next()?.parse().ok())
        .collect()
}

#[test]
fn every_region_is_measured_under_both_weightings() {
    let project = ring();
    let found = run(&project, &[]);
    let mut parts = vec!["test features", "free points", "uniform box", "grid"];
    let labels: Vec<String> = ["uniform", "likelihood"]
        .iter()
        .flat_map(|w| {
            [
                "Pearson",
                "Spearman",
                "Kendall",
                "slope",
                "gradient cosine",
                "verdict",
            ]
            .map(|figure| format!("{w}, {figure}"))
        })
        .collect();
    parts.extend(labels.iter().map(String::as_str));
    found.expect(0, &parts);
    // the exact velocity owes nothing to training
    let exact = |figure_of: &str| {
        found.figure(&format!(
            "exact velocity, likelihood-weighted bound, {figure_of}"
        ))
    };
    assert!(exact("Spearman") >= 0.99 && exact("RMSE") <= 0.15 && exact("bias").abs() <= 0.1);
    assert!(found.figure("exact velocity, alignment loss (uniform, sum), Spearman") < 0.9);
    assert!(found.figure("largest change of an NLL with halved steps (nats)") < 0.01);
    assert_eq!(
        found.figure("points whose quadrature stopped at 2048 intervals"),
        0.0
    );
    // of all regions, and of each
    let halved = figures(&found, "largest change of an NLL with halved steps (nats)");
    assert_eq!(halved.len(), 5, "{halved:?}");
    let tables = "artifacts/runs/ring/";
    for file in [
        "estimate-nll/points.parquet",
        "estimate-nll/agreement.parquet",
        "train-autoencoder/trajectory.parquet",
        "train-autoencoder/variances.parquet",
    ] {
        assert!(project.path(tables).join(file).is_file(), "{file}");
    }
}

/// Away from the data the ODE of a flow of 40 steps is inaccurate: a verdict about it says nothing about the
/// loss.
#[test]
fn where_a_density_is_known_verdicts_are_about_the_analytic_nll() {
    let project = ring();
    let found = run(&project, &[]);
    found.expect(0, &[]);
    let folder = project.path("artifacts/runs/ring");
    let table = std::fs::File::open(folder.join("estimate-nll/agreement.parquet")).unwrap();
    let frame = ParquetReader::new(table).finish().unwrap();
    let text = |row: usize, name: &str| {
        let column = frame.column(name).unwrap().str().unwrap();
        column.get(row).unwrap().to_owned()
    };
    let of = |region: &str, reference: &str, figure: &str| {
        let wanted = [
            ("region", region),
            ("surrogate", "likelihood-weighted bound"),
            ("reference", reference),
            ("figure", figure),
        ];
        let row = (0..frame.height())
            .find(|&row| wanted.iter().all(|(name, value)| text(row, name) == *value))
            .unwrap_or_else(|| panic!("no row {wanted:?}"));
        frame
            .column("value")
            .unwrap()
            .f64()
            .unwrap()
            .get(row)
            .unwrap()
    };
    let regions = ["test features", "free points", "uniform box", "grid"];
    let shown = figures(&found, "likelihood, slope");
    assert_eq!(shown.len(), regions.len());
    for (region, shown) in regions.into_iter().zip(shown) {
        let [analytic, ode] = ["analytic NLL", "ODE NLL"].map(|r| of(region, r, "slope"));
        // numbers are rounded to the precision of their intervals
        let near = (shown - analytic).abs() < 0.5 * (ode - analytic).abs();
        assert!(near, "{region}: {shown}, analytic {analytic}, ODE {ode}");
    }
    let drawn = std::fs::read_to_string(folder.join("surrogate.svg")).unwrap();
    assert!(drawn.contains("analytic NLL (nats)") && !drawn.contains("ODE NLL (nats)"));
}

#[test]
fn every_remedy_moves_free_points() {
    let project = ring();
    let without = "estimate_nll=null";
    let fast = "train_autoencoder.optimiser.learning_rate=0.05";
    for remedy in [
        &["train_autoencoder.regulariser.weighting=likelihood"][..],
        &[
            "train_autoencoder.posterior={kind: gaussian}",
            "train_autoencoder.regulariser={kind: flow_kl}",
        ],
        &["train_autoencoder.posterior={kind: fixed_noise, scale: 0.1}"],
        &["train_autoencoder.regulariser={kind: distribution_matching, weight: 1.0}"],
    ] {
        let found = run(&project, &[&[without, fast], remedy].concat());
        found.expect(
            0,
            &[
                "test p-value, same distribution",
                "test energy distance over that of a fresh sample",
                "latents in a mode over its mass, smallest",
            ],
        );
        let moved = farthest_move(&project);
        assert!(moved > 0.05, "{remedy:?}: {moved}");
    }
}

/// The largest distance of the followed points along the first axis.
fn farthest_move(project: &Project) -> f64 {
    let table = project.path("artifacts/runs/ring/train-autoencoder/trajectory.parquet");
    let frame = ParquetReader::new(std::fs::File::open(table).unwrap());
    let frame = frame.finish().unwrap();
    let points = frame.column("point").unwrap().i64().unwrap();
    let values = frame.column("y0").unwrap().f64().unwrap();
    // the points of a snapshot, before the first of them comes again
    let again = points.iter().skip(1).position(|p| p == points.get(0));
    let count = again.unwrap() + 1;
    let (rows, value) = (frame.height(), |row| values.get(row).unwrap());
    (0..count)
        .map(|point| (value(rows - count + point) - value(point)).abs())
        .fold(0.0, f64::max)
}

#[test]
fn a_vae_with_a_flow_prior_reports_bits_a_dimension() {
    let project = tiny::project();
    let levels: Vec<u8> = (0..100 * 16)
        .map(|i| (tiny::noise(i, 0) * 17.0) as u8)
        .collect();
    project.write_dataset("images.h5", "images", &[100, 1, 4, 4], &levels);
    let mut arguments = vec!["run", "tiny.yaml"];
    for set in [
        "estimate_nll=null",
        "train_autoencoder.data={file: images.h5, dataset: images, maximum: 16}",
        "train_autoencoder.posterior={kind: gaussian}",
        "train_autoencoder.reconstruction=discretised_logistic",
        "train_autoencoder.regulariser={kind: flow_kl}",
    ] {
        arguments.extend(["--set", set]);
    }
    let found = project.run(&arguments);
    found.expect(0, &["KL to the prior, the flow"]);
    let bits = found.figure("test negative ELBO (bits/dim)");
    let nats = found.figure("test negative ELBO (nats)");
    assert!(
        (nats / 16.0 / 2f64.ln() / bits - 1.0).abs() < 1e-3,
        "{nats} {bits}"
    );

    let vectors = [
        "--set",
        "train_autoencoder.reconstruction=discretised_logistic",
    ];
    let refused = project.run(&[&["run", "tiny.yaml"], &vectors[..]].concat());
    refused.expect(2, &["vectors.h5", "u8", "discretised_logistic"]);
}

/// Fails if p(z), q(z|x) or a constant is left out of the importance weights, or draws are shared.
#[test]
fn a_linear_vae_is_measured_against_its_evidence() {
    let project = tiny::project();
    let mut arguments = vec!["run", "tiny.yaml"];
    for set in [
        "estimate_nll=null",
        "train_autoencoder.architecture={kind: dense, widths: []}",
        "train_autoencoder.posterior={kind: gaussian}",
        "train_autoencoder.regulariser={kind: kl, weight: 0.05}",
        "train_autoencoder.steps=400",
        "train_autoencoder.held_out.fraction=0.4",
        "train_autoencoder.test.fraction=0",
    ] {
        arguments.extend(["--set", set]);
    }
    let found = project.run(&arguments);
    found.expect(0, &["exact NLL of 64 rows, linear decoder (nats)"]);
    let name = "importance-weighted NLL of 64 rows, S =";
    let apart = |what: &str| found.figure(&format!("{name} {what} (standard errors)"));
    assert!(apart("1 less their negative ELBO").abs() < 3.0, "{found}");
    assert!(apart("32 less the exact one").abs() < 3.0, "{found}");
    let nll = |samples: u32| found.figure(&format!("{name} {samples} (nats)"));
    assert!(nll(1) > nll(32) + 0.01, "{found}");
}

/// Fails if a decoder of two levels is taken for a linear one, if its weights of draws are not those of the ELBO,
/// or if nothing is left below the top.
#[test]
fn a_vae_of_two_levels_has_an_elbo_but_no_evidence_in_closed_form() {
    let project = tiny::project();
    let run = |top: &str| {
        let top = format!("train_autoencoder.latent.top={top}");
        let mut arguments = vec!["run", "tiny.yaml", "--set", &top];
        for set in [
            "estimate_nll=null",
            "train_autoencoder.architecture={kind: dense, widths: []}",
            "train_autoencoder.posterior={kind: gaussian}",
            "train_autoencoder.regulariser={kind: kl, weight: 0.05}",
            "train_autoencoder.steps=200",
        ] {
            arguments.extend(["--set", set]);
        }
        project.run(&arguments)
    };
    run("{numbers: 2}").expect(2, &["latent.top.numbers", "found 2", "fewer than the 2"]);
    let found = run("{numbers: 1, widths: [8]}");
    found.expect(0, &["negative ELBO"]);
    assert!(!found.stdout.contains("linear decoder"), "{found}");
}

/// Fails if the error of decoded means is exchanged with that of draws, or the NLL of draws with that of means.
#[test]
fn a_posterior_with_noise_is_shown_by_its_means_and_by_its_draws() {
    let project = tiny::project();
    let run = |posterior: &str| {
        let posterior = format!("train_autoencoder.posterior={posterior}");
        project.run(&["run", "tiny.yaml", "--set", &posterior])
    };
    let noisy = run("{kind: fixed_noise, scale: 2}");
    noisy.expect(0, &[]);
    let error = |which: &str| noisy.figure(&format!("held-out mean squared error{which}"));
    assert!(error(", decoded draws") > error("") + 0.01, "{noisy}");
    // noise of scale 2 is most of a draw's distance from the target
    let nll = |region| figure_of(&noisy, region, "mean NLL, ODE (nats)");
    assert!(
        nll("test latents") > nll("posterior means") + 1.0,
        "{noisy}"
    );
    noisy.expect(
        0,
        &[
            "coverage of features by posterior means",
            "energy distance of posterior means over that of a fresh sample",
        ],
    );
    let without = run("{kind: deterministic}");
    without.expect(0, &[]);
    for figure in ["decoded draws", "posterior means"] {
        assert!(!without.stdout.contains(figure), "{without}");
    }
}

#[test]
fn hutchinsons_estimate_in_double_precision_agrees_with_the_exact_divergence() {
    let project = ring();
    let sets = ["train_autoencoder=null", "estimate_nll.precision=f64"];
    let exact = run(&project, &sets);
    exact.expect(0, &[]);
    let divergence = "estimate_nll.divergence={kind: hutchinson, probes: 32}";
    let estimated = run(&project, &[&sets[..], &[divergence]].concat());
    estimated.expect(0, &[]);
    let mean = |outcome: &Outcome| outcome.figure("mean NLL, ODE (nats)");
    let error = estimated.figure("standard error of a point's NLL, from the probes") / 8.0; // of 64 points
    let difference = mean(&exact) - mean(&estimated);
    assert!(difference.abs() < 4.0 * error, "{difference} {error}");
}

#[test]
fn values_out_of_range_name_what_is_expected() {
    let project = ring();
    let wrong = run(
        &project,
        &[
            "estimate_nll.truncation=0",
            "estimate_nll.tolerance=1e-9",
            "estimate_nll.divergence={kind: hutchinson, probes: 1}",
            "train_autoencoder.posterior={kind: fixed_noise, scale: 0}",
            "train_autoencoder.regulariser={kind: flow_kl, draws: 0}",
        ],
    );
    wrong.expect(
        2,
        &[
            "estimate_nll.truncation: found 0",
            "precision: f64",
            "estimate_nll.divergence.probes: found 1",
            "train_autoencoder.posterior.scale: found 0",
            "train_autoencoder.regulariser.draws: found 0",
        ],
    );
}
