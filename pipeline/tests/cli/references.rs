//! Experiments that read artifacts of other experiments.

use crate::project::{Outcome, Project};
use crate::tiny::{CONFIG, project};

/// `tiny.yaml` without a regulariser.
fn unaligned() -> String {
    let aligned = "regulariser: {kind: alignment, weight: 0.1, draws: 2}";
    assert!(CONFIG.contains(aligned));
    CONFIG
        .replace("name: tiny", "name: unaligned")
        .replace(aligned, "regulariser: {kind: none}")
}

/// `tiny.yaml`, compared with the latents of `unaligned.yaml`.
fn compared() -> Project {
    let project = project();
    project.write("unaligned.yaml", unaligned());
    let compared = CONFIG.replace("points: 8,", "points: 8, unaligned: unaligned.yaml,");
    project.write("tiny.yaml", compared);
    project
}

/// A flow on the latents of `tiny.yaml`.
const LATENTS: &str = "\
name: latents
pretrain_flow:
  features:
    from: {experiment: tiny.yaml, stage: train_autoencoder}
    file: latents.h5
    dataset: train_latents
  model: {kind: flow_matching, network: {width: 16, blocks: 1, frequencies: 8}, times: 8}
  steps: 10
  batch: 32
  evaluation_points: 64
  samples: 0
  nll_points: 0
";

fn counts(project: &Project) -> [usize; 3] {
    ["pretrain-flow", "train-autoencoder", "estimate-nll"]
        .map(|stage| project.entries(&format!("artifacts/{stage}")).len())
}

/// The stages that a plan says would run.
fn would_run(plan: &Outcome) -> Vec<String> {
    let lines = plan.stdout.lines().filter(|l| l.starts_with("  "));
    let lines = lines.filter(|l| l.contains("  run  "));
    let stage = |l: &str| l.trim().split("  ").next().unwrap().to_owned();
    lines.map(stage).collect()
}

#[test]
fn what_an_experiment_reads_runs_first_and_is_shared() {
    let project = compared();
    let plan = project.run(&["plan", "tiny.yaml"]);
    plan.expect(0, &["4 stages would run."]);
    let stages = [
        "pretrain-flow",
        "train-autoencoder",
        "train-autoencoder of unaligned",
        "estimate-nll",
    ];
    assert_eq!(would_run(&plan), stages);
    project
        .run(&["run", "tiny.yaml"])
        .expect(0, &["unaligned latents", "test latents"]);
    assert_eq!(counts(&project), [1, 2, 1]);
    assert_eq!(
        project.entries("artifacts/runs/unaligned"),
        [
            "config.yaml",
            "learning-curves.svg",
            "marginals.svg",
            "pretrain-flow",
            "principal-plane.svg",
            "reconstructions.svg",
            "report.html",
            "run.json",
            "summary.md",
            "timings.svg",
            "train-autoencoder",
            "variances.svg"
        ]
    );
    project
        .run(&["run", "tiny.yaml"])
        .expect(0, &["Nothing to do"]);
    // The other experiment finds its first two stages done.
    let other = project.run(&["run", "unaligned.yaml"]);
    other.expect(0, &["# unaligned", "## estimate-nll"]);
    assert_eq!(counts(&project), [1, 2, 2]);
    // Its own summary of all stages is kept.
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    let summary = std::fs::read_to_string(project.path("artifacts/runs/unaligned/summary.md"));
    assert!(summary.unwrap().contains("## estimate-nll"));
    project
        .run(&["show", "artifacts/runs/tiny/estimate-nll"])
        .expect(0, &["train-autoencoder (unaligned) "]);
}

/// Fails if steps of one are compared with steps of the other, or the baseline gets a regulariser.
#[test]
fn an_override_reaches_the_experiment_that_is_read_where_both_were_equal() {
    let project = compared();
    project.run(&["run", "unaligned.yaml"]).expect(0, &[]);
    let record = std::fs::read(project.path("artifacts/runs/unaligned/run.json")).unwrap();
    let set = "train_autoencoder.steps=9";
    let weight = "train_autoencoder.regulariser.weight=0.5";
    let ran = project.run(&["run", "tiny.yaml", "--set", set, "--set", weight]);
    ran.expect(
        0,
        &["train_autoencoder.steps: 20 -> 9", "unaligned latents"],
    );
    let manifest = |path: &str| -> serde_json::Value {
        let text = std::fs::read_to_string(project.path(path)).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let nll = manifest("artifacts/runs/tiny/estimate-nll/manifest.json");
    let mut upstream = nll["upstream"].as_array().unwrap().iter();
    let read = upstream.find(|read| read["role"] == "unaligned").unwrap();
    let fingerprint = read["fingerprint"].as_str().unwrap();
    let read = manifest(&format!(
        "artifacts/train-autoencoder/{fingerprint}/manifest.json"
    ));
    assert_eq!(read["config"]["steps"], 9);
    assert_eq!(read["config"]["regulariser"]["kind"], "none");
    // the run of the other experiment is another result, and stays
    let after = std::fs::read(project.path("artifacts/runs/unaligned/run.json")).unwrap();
    assert_eq!(record, after);
}

#[test]
fn a_changed_experiment_reruns_exactly_what_reads_it() {
    let project = compared();
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    project.write(
        "unaligned.yaml",
        unaligned().replace("widths: [8]", "widths: [9]"),
    );
    let plan = project.run(&["plan", "tiny.yaml"]);
    plan.expect(
        0,
        &[
            "train_autoencoder.architecture.widths: [8] -> [9]",
            "train-autoencoder (unaligned) changes: ",
            "2 stages would run.",
        ],
    );
    assert_eq!(
        would_run(&plan),
        ["train-autoencoder of unaligned", "estimate-nll"]
    );
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    assert_eq!(counts(&project), [1, 3, 2]);
    // Without the comparison there is one upstream less.
    project
        .run(&["plan", "tiny.yaml", "--set", "estimate_nll.unaligned=null"])
        .expect(0, &["train-autoencoder (unaligned) is gone"]);
}

#[test]
fn a_flow_is_pretrained_on_the_latents_of_another_experiment() {
    let project = project();
    project.write("latents.yaml", LATENTS);
    let plan = project.run(&["plan", "latents.yaml"]);
    let stages = [
        "pretrain-flow of tiny",
        "train-autoencoder of tiny",
        "pretrain-flow",
    ];
    assert_eq!(would_run(&plan), stages);
    project
        .run(&["run", "latents.yaml"])
        .expect(0, &["# latents", "held-out flow-matching loss"]);
    assert_eq!(counts(&project), [2, 1, 0]);
    project
        .run(&["run", "latents.yaml"])
        .expect(0, &["Nothing to do"]);
    // Stages of the other experiment that are not needed have not run; its folder leads to the
    // rest.
    let folder = project.entries("artifacts/runs/tiny");
    assert!(!folder.contains(&"estimate-nll".to_owned()), "{folder:?}");
    assert!(folder.contains(&"train-autoencoder".to_owned()));

    project.write("tiny.yaml", CONFIG.replace("weight: 0.1", "weight: 0.2"));
    let plan = project.run(&["plan", "latents.yaml"]);
    plan.expect(
        0,
        &[
            "train_autoencoder.regulariser.weight: 0.1 -> 0.2",
            "train-autoencoder (features) changes",
        ],
    );
    assert_eq!(
        would_run(&plan),
        ["train-autoencoder of tiny", "pretrain-flow"]
    );
}

#[test]
fn a_stage_that_reads_a_flow_of_unknown_width_is_prepared_in_its_turn() {
    let project = project();
    let autoencoder = "train_autoencoder:\n  data: {file: vectors.h5, dataset: vectors}\n  \
                       architecture: {kind: dense, widths: [8]}\n  latent: {width: 3}\n  \
                       steps: 5\n  batch: 16\n";
    project.write("latents.yaml", format!("{LATENTS}{autoencoder}"));
    let wrong = project.run(&["run", "latents.yaml"]);
    wrong.expect(2, &["train_autoencoder.latent.width: found 3, expected 2"]);
    assert_eq!(counts(&project), [2, 1, 0]);
    // Now that the latents are there, everything is found beforehand.
    project
        .run(&[
            "run",
            "latents.yaml",
            "--set",
            "pretrain_flow.features.dataset=latents",
        ])
        .expect(2, &["latents.h5", "train_latents"]);
    project
        .run(&[
            "run",
            "latents.yaml",
            "--set",
            "pretrain_flow.features.file=latnets.h5",
        ])
        .expect(
            2,
            &[
                "pretrain_flow.features.file: found latnets.h5",
                "`latents.h5` or `reconstructions.h5`",
                "did you mean `latents.h5`?",
            ],
        );
    assert_eq!(counts(&project), [2, 1, 0]);
    project
        .run(&[
            "run",
            "latents.yaml",
            "--set",
            "train_autoencoder.latent.width=2",
        ])
        .expect(0, &["## train-autoencoder"]);
}

#[test]
fn experiments_that_read_each_other_in_a_circle_are_named() {
    let project = project();
    project.write("latents.yaml", LATENTS);
    let from =
        "features: {from: {experiment: latents.yaml, stage: pretrain_flow}, file: samples.h5}";
    let circle = CONFIG.replace("features: {file: features.h5}", from);
    project.write("tiny.yaml", &circle);
    project.run(&["run", "tiny.yaml"]).expect(
        2,
        &[
            "read each other in a circle",
            &format!(
                "pretrain_flow of {}",
                project.path("latents.yaml").display()
            ),
            &format!(
                "train_autoencoder of {}",
                project.path("tiny.yaml").display()
            ),
        ],
    );
    let own = "features: {from: {stage: train_autoencoder}, file: latents.h5}";
    project.write(
        "tiny.yaml",
        CONFIG.replace("features: {file: features.h5}", own),
    );
    project.run(&["plan", "tiny.yaml"]).expect(
        2,
        &["in a circle", "train_autoencoder of", "pretrain_flow of"],
    );
    assert_eq!(counts(&project), [0, 0, 0]);
}

#[test]
fn experiments_may_compare_themselves_with_each_other() {
    let project = compared();
    let both = unaligned().replace("points: 8,", "points: 8, unaligned: tiny.yaml,");
    project.write("unaligned.yaml", both);
    for file in ["tiny.yaml", "unaligned.yaml"] {
        project
            .run(&["run", file])
            .expect(0, &["unaligned latents"]);
    }
    assert_eq!(counts(&project), [1, 2, 2]);
}

#[test]
fn another_seed_is_that_of_everything_it_reads() {
    let project = compared();
    let seeded = project.run(&["run", "tiny.yaml", "--set", "seed=3"]);
    seeded.expect(0, &["train-autoencoder of unaligned.seed3"]);
    // The results of its own seed keep the folder of its name.
    assert_eq!(project.entries("artifacts/runs/unaligned"), [""; 0]);
    assert!(!project.entries("artifacts/runs/unaligned.seed3").is_empty());
    assert_eq!(counts(&project), [1, 2, 1]);
}

#[test]
fn a_wrong_reference_names_its_key_and_its_file() {
    let project = compared();
    let set = |value: &str| project.run(&["plan", "tiny.yaml", "--set", value]);
    set("estimate_nll.unaligned=unalinged.yaml").expect(
        2,
        &[
            "estimate_nll.unaligned: ",
            "no such configuration file",
            "did you mean",
        ],
    );
    project.write(
        "flow.yaml",
        "name: flow\npretrain_flow: {features: {file: features.h5}}\n",
    );
    set("estimate_nll.unaligned=flow.yaml").expect(
        2,
        &[
            "estimate_nll.unaligned: ",
            "flow.yaml has no `train_autoencoder` section",
        ],
    );
    project.write("bad.yaml", unaligned().replace("steps: 20", "stesp: 20"));
    set("estimate_nll.unaligned=bad.yaml").expect(2, &["bad.yaml:5:3: unknown key `stesp`"]);
    project.write(
        "same.yaml",
        unaligned().replace("name: unaligned", "name: tiny"),
    );
    set("estimate_nll.unaligned=same.yaml")
        .expect(2, &["same.yaml: its name is `tiny`, as that of"]);
    project.write("gone.yaml", unaligned().replace("vectors.h5", "nowhere.h5"));
    set("estimate_nll.unaligned=gone.yaml").expect(
        2,
        &[
            "gone.yaml: train_autoencoder.data.file: ",
            "nowhere.h5: no such file",
        ],
    );
    set("pretrain_flow.features={from: {stage: estimate_nll}, file: a.h5}")
        .expect(2, &["unknown value `estimate_nll`", "`train_autoencoder`"]);
    project.write(
        "latents.yaml",
        LATENTS.replace("file: latents", "file: ../latents"),
    );
    project.run(&["plan", "latents.yaml"]).expect(
        2,
        &["pretrain_flow.features.file: found ../latents.h5, expected the name of a file"],
    );
}

#[test]
fn latents_of_another_width_are_refused_before_anything_is_trained() {
    let project = compared();
    let narrow = unaligned().replace("latent: {width: 2}", "latent: {width: 1}");
    assert_ne!(narrow, unaligned());
    project.write("unaligned.yaml", narrow);
    let refused = project.run(&["run", "tiny.yaml"]);
    refused.expect(2, &["estimate_nll.unaligned", "width 1, expected 2"]);
    assert!(project.entries("artifacts/pretrain-flow").is_empty());
}
