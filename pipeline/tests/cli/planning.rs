//! Plans: what would run, and why.

use crate::project::{Project, manifest as manifest_of, output};

const CONFIG: &str = "name: ring\npretrain_flow:\n  features: {file: a.h5}\n\
                      train_autoencoder:\n  data: {file: b.h5}\n  latent: {width: 2}\nestimate_nll: {}\n";

fn project() -> Project {
    let project = Project::new();
    project.write("ring.yaml", CONFIG);
    project.write("a.h5", "features");
    project.write("b.h5", "images");
    project
}

/// The fingerprint that a plan gives a stage.
fn fingerprint(plan: &str, stage: &str) -> String {
    let line = plan.lines().find(|l| l.contains(stage)).unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

/// An artifact as a stage would have left it, linked from the run `ring`.
fn commit(project: &Project, stage: &str, fingerprint: &str, manifest: &str) {
    let place = format!("artifacts/{stage}/{fingerprint}");
    std::fs::create_dir_all(project.path(&place)).unwrap();
    std::fs::create_dir_all(project.path("artifacts/runs/ring")).unwrap();
    project.write(&format!("{place}/weights.safetensors"), "12345");
    let digest = blake3::hash(b"12345").to_hex();
    project.write(
        &format!("{place}/manifest.json"),
        manifest_of(&format!(
            "format: 4\nstage: {stage}\nfingerprint: \"{fingerprint}\"\n\
             started: 2026-01-01T00:00:00Z\nfinished: 2026-01-01T00:00:01Z\nseconds: 1.0\n\
             figures: {{held-out loss: 2.5}}\nseed: 0\ndevice: cpu\nprogram: {{version: 0.1.0}}\n\
             outputs:\n  weights.safetensors: {{digest: {digest}, size: 5}}\n{manifest}"
        )),
    );
    let link = project.path(&format!("artifacts/runs/ring/{stage}"));
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(format!("../../{stage}/{fingerprint}"), link).unwrap();
}

/// The section `pretrain_flow` of the resolved configuration, its path blanked.
fn flow_config(project: &Project) -> String {
    let resolved = project.run(&["config", "ring.yaml"]).stdout;
    let from = resolved.find("pretrain_flow:").unwrap();
    let to = resolved.find("train_autoencoder:").unwrap();
    let section = &resolved[from..to];
    let path = project.path("a.h5").display().to_string();
    section
        .replace("pretrain_flow:", "config:")
        .replace(&path, "\"\"")
}

fn input(project: &Project) -> String {
    let bytes = std::fs::read(project.path("a.h5")).unwrap();
    format!(
        "inputs:\n- {{key: features.file, path: /a.h5, digest: {}, size: {}}}\n",
        blake3::hash(&bytes).to_hex(),
        bytes.len()
    )
}

fn commit_flow(project: &Project) -> String {
    let plan = project.run(&["plan", "ring.yaml"]).stdout;
    let flow = fingerprint(&plan, "pretrain-flow");
    let manifest = flow_config(project) + &input(project);
    commit(project, "pretrain-flow", &flow, &manifest);
    flow
}

#[test]
fn at_first_every_stage_runs_because_it_never_ran() {
    let project = project();
    let plan = project.run(&["plan", "ring.yaml"]);
    plan.expect(0, &["3 stages would run."]);
    assert_eq!(plan.stdout.matches("never run").count(), 3, "{plan}");
    assert!(!project.path("artifacts").exists());
}

#[test]
fn a_committed_stage_is_up_to_date() {
    let project = project();
    commit_flow(&project);
    let plan = project.run(&["plan", "ring.yaml"]);
    plan.expect(0, &["up to date", "2 stages would run."]);
}

#[test]
fn a_changed_key_is_the_reason() {
    let project = project();
    let before = commit_flow(&project);
    let plan = project.run(&["plan", "ring.yaml", "--set", "pretrain_flow.steps=4000"]);
    plan.expect(
        0,
        &[
            "pretrain_flow.steps: 3000 -> 4000",
            "3 stages would run. Last time 1 of them took ",
        ],
    );
    let after = fingerprint(&plan.stdout, "pretrain-flow");
    assert_ne!(before, after);
    project
        .run(&["plan", "ring.yaml", "--set", "seed=7"])
        .expect(0, &["seed: 0 -> 7"]);
    let projected = "pretrain_flow.normalisation.projection={kind: pca, width: 1}";
    project
        .run(&["plan", "ring.yaml", "--set", projected])
        .expect(
            0,
            &[
                "projection.kind: none -> pca",
                "projection.width: (absent) -> 1",
            ],
        );
}

#[test]
fn a_changed_input_is_the_reason_with_both_digests() {
    let project = project();
    commit_flow(&project);
    project.write("a.h5", "other features");
    let digest = |text: &str| blake3::hash(text.as_bytes()).to_hex()[..16].to_owned();
    let change = format!("{} -> {}", digest("features"), digest("other features"));
    project.run(&["plan", "ring.yaml"]).expect(
        0,
        &["pretrain_flow.features.file", "changed, digest", &change],
    );
}

#[test]
fn a_key_of_one_stage_leaves_the_others_alone() {
    let project = project();
    commit_flow(&project);
    let plan = project.run(&["plan", "ring.yaml", "--set", "train_autoencoder.steps=9"]);
    plan.expect(0, &["up to date", "2 stages would run."]);
    let other = project.run(&["plan", "ring.yaml"]);
    for (stage, changes) in [
        ("pretrain-flow", false),
        ("train-autoencoder", true),
        ("estimate-nll", true),
    ] {
        let (a, b) = (
            fingerprint(&plan.stdout, stage),
            fingerprint(&other.stdout, stage),
        );
        assert_eq!(a != b, changes, "{stage}");
    }
}

#[test]
fn the_device_and_the_name_are_not_part_of_the_identity() {
    let project = project();
    commit_flow(&project);
    project
        .run(&[
            "plan",
            "ring.yaml",
            "--device",
            "cuda",
            "--set",
            "name=other",
        ])
        .expect(0, &["up to date"]);
}

#[test]
fn a_changed_upstream_is_the_reason() {
    let project = project();
    let old = commit_flow(&project);
    let plan = project.run(&["plan", "ring.yaml"]).stdout;
    let autoencoder = fingerprint(&plan, "train-autoencoder");
    let resolved = project.run(&["config", "ring.yaml"]).stdout;
    let from = resolved.find("train_autoencoder:").unwrap();
    let to = resolved.find("estimate_nll:").unwrap();
    let config = resolved[from..to]
        .replace("train_autoencoder:", "config:")
        .replace(&project.path("b.h5").display().to_string(), "\"\"");
    let manifest = format!(
        "{config}upstream:\n- {{role: flow, stage: pretrain-flow, fingerprint: \"{old}\", contents: ff}}\n"
    );
    commit(&project, "train-autoencoder", &autoencoder, &manifest);

    // The same fingerprint, but the flow holds other bytes than those that were read.
    project
        .run(&["plan", "ring.yaml"])
        .expect(0, &["computed again with another result", "ff -> "]);
    let plan = project.run(&["plan", "ring.yaml", "--set", "pretrain_flow.steps=9"]);
    let new = fingerprint(&plan.stdout, "pretrain-flow");
    plan.expect(0, &[&format!("pretrain-flow changes: {old} -> {new}")]);
}

#[test]
fn missing_or_shortened_outputs_are_the_reason() {
    let project = project();
    let flow = commit_flow(&project);
    let weights = format!("artifacts/pretrain-flow/{flow}/weights.safetensors");
    project.write(&weights, "123");
    project.run(&["plan", "ring.yaml"]).expect(
        0,
        &[
            "its artifact is damaged",
            "weights.safetensors has 3 bytes, its manifest says 5",
        ],
    );
    std::fs::remove_file(project.path(&weights)).unwrap();
    project
        .run(&["plan", "ring.yaml"])
        .expect(0, &["weights.safetensors is missing"]);
    std::fs::remove_dir_all(project.path(&format!("artifacts/pretrain-flow/{flow}"))).unwrap();
    project
        .run(&["plan", "ring.yaml"])
        .expect(0, &["its artifact was deleted"]);
}

#[test]
fn a_manifest_of_a_newer_version_is_refused_with_advice() {
    let project = project();
    let flow = commit_flow(&project);
    project.write(
        &format!("artifacts/pretrain-flow/{flow}/manifest.json"),
        "{\"format\": 99}",
    );
    project
        .run(&["plan", "ring.yaml"])
        .expect(0, &["newer version", "update latent-align"]);
}

/// Detects: an artifact of an older version counts as damaged, or is passed over without a word.
#[test]
fn what_an_older_version_made_is_computed_anew_and_told() {
    let project = project();
    let flow = commit_flow(&project);
    let [stage, run] = ["artifacts/pretrain-flow", "artifacts/runs/ring"].map(|p| project.path(p));
    let before = stage.join("0123456789abcdef");
    std::fs::rename(stage.join(&flow), &before).unwrap();
    std::fs::rename(before.join("manifest.json"), before.join("manifest.yaml")).unwrap();
    std::fs::remove_file(run.join("pretrain-flow")).unwrap();
    std::os::unix::fs::symlink(&before, run.join("pretrain-flow")).unwrap();
    project
        .run(&["plan", "ring.yaml"])
        .expect(0, &["the format of artifacts changed"]);
    let advice = "made by an older version, whose manifest.yaml this one does not read; run its experiment again";
    project.run(&["show", "0123"]).expect(0, &[advice]);
    project.run(&["list", "artifacts"]).expect(0, &[advice]);
}

#[test]
fn a_finished_flow_is_given_by_fingerprint_or_path() {
    let project = project();
    let flow = commit_flow(&project);
    let text = |flow: &str| {
        format!(
            "name: other\nflow: \"{flow}\"\ntrain_autoencoder:\n  data: {{file: b.h5}}\n  latent: {{width: 2}}\n"
        )
    };
    let path = format!("artifacts/pretrain-flow/{flow}");
    let mut autoencoders = Vec::new();
    for given in [&flow[..6], &path] {
        project.write("other.yaml", text(given));
        let plan = project.run(&["plan", "other.yaml"]);
        plan.expect(0, &[&flow, "given", "1 stage would run."]);
        autoencoders.push(fingerprint(&plan.stdout, "train-autoencoder"));
    }
    assert_eq!(autoencoders[0], autoencoders[1]);
    project.write("other.yaml", text("0000ffff0000"));
    project
        .run(&["plan", "other.yaml"])
        .expect(2, &["flow: no pretrain-flow in artifacts"]);
    project.write("other.yaml", text("./nowhere"));
    project
        .run(&["plan", "other.yaml"])
        .expect(2, &["no such folder"]);
}

#[test]
fn a_store_that_cannot_be_written_is_found_before_anything_runs() {
    let project = project();
    project.write("file", "");
    project
        .run(&["run", "ring.yaml", "--artifacts", "file/artifacts"])
        .expect(2, &["--artifacts file/artifacts: cannot write there"]);
    project
        .run(&["plan", "ring.yaml", "--artifacts", "file/artifacts"])
        .expect(0, &["never run"]);
}

#[test]
fn the_store_is_chosen_by_the_environment_too() {
    let project = project();
    let flow = commit_flow(&project);
    std::fs::rename(project.path("artifacts"), project.path("elsewhere")).unwrap();
    let mut command = project.command(&["list", "artifacts"]);
    let output = output(command.env("LATENT_ALIGN_ARTIFACTS", "elsewhere")).unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains(&flow));
}
