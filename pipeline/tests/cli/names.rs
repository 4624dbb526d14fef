//! Names of figures agree with `figures` of the stages, which reports use for lookups.

use crate::project::Project;
use crate::tiny::{CONFIG, noise, plane, project};
use latent_align_stages::figures::{
    FIGURES, HELD_OUT, INTERVAL, TEST, curves, energy_test, error_beside, estimate_nll,
    evaluate_latents, evaluate_likelihood, optimise_latents, pretrain_flow, sample,
    train_autoencoder, train_classifier, transport, two_samples,
};
use latent_align_stages::stages::Stage;
use polars::prelude::{ParquetReader, SerReader as _};
use std::fs::File;
use std::path::Path;

/// The stages, each with its figures.
const STAGES: [(&str, &[&[&str]]); 9] = [
    ("train-classifier", &[train_classifier::FIGURES]),
    (
        "pretrain-flow",
        &[
            pretrain_flow::FIGURES,
            energy_test::FIGURES,
            two_samples::FIGURES,
        ],
    ),
    (
        "train-autoencoder",
        &[
            train_autoencoder::FIGURES,
            energy_test::FIGURES,
            two_samples::FIGURES,
        ],
    ),
    (
        "transport",
        &[
            transport::FIGURES,
            pretrain_flow::FIGURES,
            train_autoencoder::FIGURES,
            energy_test::FIGURES,
            two_samples::FIGURES,
        ],
    ),
    (
        "estimate-nll",
        &[estimate_nll::FIGURES, estimate_nll::REGION_FIGURES],
    ),
    ("evaluate-likelihood", &[evaluate_likelihood::FIGURES]),
    ("sample", &[sample::FIGURES]),
    ("evaluate-latents", &[evaluate_latents::FIGURES]),
    ("optimise-latents", &[optimise_latents::FIGURES]),
];

/// The tables, each with its columns.
const TABLES: [(&str, &[&[&str]]); 9] = [
    (curves::TABLE, &[curves::COLUMNS]),
    (
        pretrain_flow::MARGINALS,
        &[pretrain_flow::MARGINALS_COLUMNS],
    ),
    (
        train_autoencoder::VARIANCES,
        &[train_autoencoder::VARIANCES_COLUMNS],
    ),
    (
        train_autoencoder::TRAJECTORY,
        &[train_autoencoder::TRAJECTORY_COLUMNS],
    ),
    (estimate_nll::POINTS_TABLE, &[estimate_nll::POINTS_COLUMNS]),
    (
        estimate_nll::HIERARCHY_TABLE,
        &[estimate_nll::HIERARCHY_COLUMNS],
    ),
    (
        estimate_nll::AGREEMENT_TABLE,
        &[&[estimate_nll::REGION], estimate_nll::AGREEMENT_COLUMNS],
    ),
    (evaluate_likelihood::TABLE, &[evaluate_likelihood::COLUMNS]),
    (optimise_latents::TABLE, &[optimise_latents::COLUMNS]),
];

#[test]
fn every_figure_and_column_of_a_run_has_a_name() {
    let project = project();
    // a Gaussian decoder of one layer, whose NLL is known exactly
    let vae = CONFIG
        .replace("name: tiny", "name: vae")
        .replace("widths: [8]", "widths: []")
        .replace(
            "{kind: alignment, weight: 0.1, draws: 2}",
            "{kind: kl}\n  posterior: {kind: gaussian}",
        );
    project.write(
        "vae.yaml",
        format!("{vae}evaluate_likelihood: {{samples: 16}}\n"),
    );
    let labels: Vec<i64> = (0..200).map(|row| i64::from(noise(row, 0) > 0.5)).collect();
    project.add_dataset("vectors.h5", "labels", &[200], &labels);
    project.write(
        "tiny.yaml",
        format!(
            "{CONFIG}\
train_classifier:
  data: {{file: vectors.h5, dataset: vectors}}
  architecture: {{kind: dense, widths: [8]}}
  features: 3
  steps: 10
  batch: 16
transport:
  model: {{kind: flow_matching, network: {{width: 16, blocks: 1, frequencies: 8}}, times: 8}}
  steps: 5
  batch: 16
sample: {{count: 32, decode: true}}
evaluate_latents:
  flow: {{network: {{width: 16, blocks: 1, frequencies: 8}}, steps: 5, batch: 16, times: 8}}
  samples: 32
  tolerance: 0.01
optimise_latents:
  objective: {{kind: expression}}
  initial: {{count: 5, best_left_out: 0.5, draws: 20}}
  calls: 4
"
        ),
    );
    for name in ["tiny", "vae"] {
        project
            .run(&["run", &format!("{name}.yaml")])
            .expect(0, &[]);
        all_have_names(&project, name);
    }
    let project = plane();
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    all_have_names(&project, "tiny");
}

fn all_have_names(project: &Project, run: &str) {
    let mut unnamed = Vec::new();
    let folder = project.path("artifacts/runs").join(run);
    for stage in Stage::ALL.map(Stage::name) {
        let known = STAGES.iter().find(|known| known.0 == stage);
        let (_, names) = known.unwrap_or_else(|| panic!("{stage} is not in the list"));
        let stage = folder.join(stage);
        if !stage.exists() {
            continue;
        }
        let (figures, columns) = (figures(&stage), columns(&stage));
        assert!(!figures.is_empty(), "{}", stage.display());
        unnamed.extend(figures.into_iter().filter(|name| !is_figure(name, names)));
        for (table, column) in columns {
            let known = TABLES.iter().find(|known| known.0 == table);
            if !known.is_some_and(|(_, names)| is_one_of(&column, names)) {
                unnamed.push(format!("{table}: {column}"));
            }
        }
    }
    assert!(unnamed.is_empty(), "{run}: no constant names {unnamed:#?}");
}

/// The names of the figures in the manifest of `stage`.
fn figures(stage: &Path) -> Vec<String> {
    let manifest = std::fs::read_to_string(stage.join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let figures = manifest["figures"].as_object().unwrap();
    figures.keys().cloned().collect()
}

/// The columns of each table of `stage`.
fn columns(stage: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in stage.read_dir().unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|ending| ending != "parquet") {
            continue;
        }
        let table = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let frame = ParquetReader::new(File::open(&file).unwrap());
        for column in frame.finish().unwrap().columns() {
            found.push((table.clone(), column.name().to_string()));
        }
    }
    found
}

/// Whether `figure` is one of `names`, for some region and rows, or an end of its interval.
fn is_figure(figure: &str, names: &[&[&str]]) -> bool {
    let mut name = figure;
    if let Some((region, rest)) = figure.split_once(": ")
        && estimate_nll::REGIONS.contains(&region)
    {
        name = rest;
    }
    let error = error_beside("");
    for end in [INTERVAL[0], INTERVAL[1], &error] {
        name = name.strip_suffix(end).unwrap_or(name);
    }
    let of_rows = [TEST, HELD_OUT]
        .iter()
        .find_map(|rows| name.strip_prefix(rows));
    let is = |name: &str| is_one_of(name, names) || is_one_of(name, &[FIGURES]);
    is(name) || of_rows.is_some_and(is) || is_agreement(name)
}

/// Whether `name` is a figure of agreement, with the compared quantities before it.
fn is_agreement(name: &str) -> bool {
    let surrogates = [
        "uniform".to_owned(),
        "likelihood".to_owned(),
        estimate_nll::ODE_AGAINST_ANALYTIC.to_owned(),
        format!(
            "{}, {}",
            estimate_nll::EXACT_VELOCITY,
            estimate_nll::UNIFORM_LOSS
        ),
        format!("{}, {}", estimate_nll::EXACT_VELOCITY, estimate_nll::BOUND),
    ];
    surrogates.iter().any(|surrogate| {
        let rest = name.strip_prefix(surrogate.as_str());
        let rest = rest.and_then(|rest| rest.strip_prefix(", "));
        rest.is_some_and(|rest| estimate_nll::AGREEMENT.contains(&rest))
    })
}

fn is_one_of(text: &str, names: &[&[&str]]) -> bool {
    names.iter().copied().flatten().any(|name| fits(text, name))
}

/// Whether `text` is `name`, with anything in place of its `{}`.
fn fits(text: &str, name: &str) -> bool {
    let mut parts = name.split("{}");
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut ends = rest.is_empty();
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        // a last hole takes all that is left
        rest = &rest[at + part.len()..];
        ends = part.is_empty() || rest.is_empty();
    }
    ends
}
