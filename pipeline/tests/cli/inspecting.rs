//! `inspect`, on whole and on damaged artifacts.

use crate::project::Project;

const FLOW: &str = "00112233445566aa";
const AUTOENCODER: &str = "bb112233445566aa";

fn artifact(project: &Project, stage: &str, fingerprint: &str, more: &str) {
    let place = format!("artifacts/{stage}/{fingerprint}");
    std::fs::create_dir_all(project.path(&place)).unwrap();
    project.write(&format!("{place}/weights.safetensors"), "weights");
    let digest = blake3::hash(b"weights").to_hex();
    project.write(
        &format!("{place}/manifest.json"),
        crate::project::manifest(&format!(
            "format: 4\nstage: {stage}\nfingerprint: \"{fingerprint}\"\n\
             started: 2026-01-02T03:04:05Z\nfinished: 2026-01-02T03:05:05Z\nseconds: 60.0\n\
             figures: {{held-out loss: 2.5371, broken: NaN}}\nwarnings: [few rows]\nseed: 3\n\
             device: cpu\nprogram: {{version: 0.1.0, revision: abc}}\nconfig: {{steps: 12}}\n\
             inputs: [{{key: features.file, path: /data/a.h5, digest: 0123456789abcdef01, size: 2048}}]\n\
             outputs:\n  weights.safetensors: {{digest: {digest}, size: 7}}\n{more}"
        )),
    );
}

fn project() -> Project {
    let project = Project::new();
    artifact(&project, "pretrain-flow", FLOW, "");
    artifact(
        &project,
        "train-autoencoder",
        AUTOENCODER,
        &format!("upstream: [{{stage: pretrain-flow, fingerprint: \"{FLOW}\", contents: ff}}]\n"),
    );
    project
}

#[test]
fn without_artifacts_it_says_how_to_get_some() {
    Project::new()
        .run(&["list", "artifacts"])
        .expect(0, &["latent-align run"]);
}

#[test]
fn artifacts_are_a_table() {
    project().run(&["list", "artifacts"]).expect(
        0,
        &[
            "fingerprint",
            FLOW,
            AUTOENCODER,
            "2026-01-02 03:05:05",
            "1 min 00 s",
            "held-out loss 2.5371",
        ],
    );
}

#[test]
fn damaged_artifacts_are_rows_that_say_so() {
    let project = project();
    for (name, manifest) in [
        ("aa01", "{{{{"),
        ("aa02", "{\"format\": 4}"),
        ("aa03", "{\"format\": 77}"),
        ("aa04", "\u{0}\u{1}"),
    ] {
        std::fs::create_dir(project.path(&format!("artifacts/pretrain-flow/{name}"))).unwrap();
        project.write(
            &format!("artifacts/pretrain-flow/{name}/manifest.json"),
            manifest,
        );
    }
    std::fs::create_dir(project.path("artifacts/pretrain-flow/aa05")).unwrap();
    project.write("artifacts/pretrain-flow/aa06", "a file");
    let table = project.run(&["list", "artifacts"]);
    table.expect(0, &["newer version", FLOW, AUTOENCODER]);
    assert_eq!(table.stdout.matches("DAMAGED").count(), 6, "{table}");
    project.run(&["show", "aa01"]).expect(0, &["DAMAGED"]);
    project.run(&["verify", "aa05"]).expect(1, &["DAMAGED"]);
}

#[test]
fn one_artifact_is_shown_in_full_with_its_lineage() {
    let project = project();
    let by_prefix = project.run(&["show", "bb11"]);
    by_prefix.expect(
        0,
        &[
            "train-autoencoder bb112233445566aa",
            "seed",
            "few rows",
            "2.5371",
            "NaN",
            "steps: 12",
            "2.0 KiB",
            &blake3::hash(b"weights").to_hex(),
            "└─ pretrain-flow 00112233445566aa (recomputed since",
            "   └─ /data/a.h5 0123456789abcdef",
        ],
    );
    let path = format!("artifacts/train-autoencoder/{AUTOENCODER}");
    let by_path = project.run(&["show", &path]);
    assert_eq!(by_path.stdout, by_prefix.stdout);
    let by_manifest = project.run(&["show", &format!("{path}/manifest.json")]);
    assert_eq!(by_manifest.stdout, by_prefix.stdout);
}

#[test]
fn a_run_of_an_older_version_is_shown_with_its_artifacts() {
    let project = project();
    std::fs::create_dir_all(project.path("artifacts/runs/ring")).unwrap();
    std::os::unix::fs::symlink(
        format!("../../pretrain-flow/{FLOW}"),
        project.path("artifacts/runs/ring/pretrain-flow"),
    )
    .unwrap();
    let run = project.run(&["show", "artifacts/runs/ring"]);
    run.expect(0, &[FLOW]);
    assert!(!run.stdout.contains(AUTOENCODER));
    project
        .run(&["show", "artifacts/runs/ring/pretrain-flow"])
        .expect(0, &["pretrain-flow 00112233445566aa", "lineage"]);
}

#[test]
fn verify_finds_one_flipped_bit() {
    let project = project();
    project
        .run(&["verify"])
        .expect(0, &["verified: all 2 are as they were written"]);
    project
        .run(&["verify", FLOW])
        .expect(0, &["verified: all 1 are as they were written"]);
    let weights = format!("artifacts/pretrain-flow/{FLOW}/weights.safetensors");
    project.write(&weights, "weighus");
    let right = blake3::hash(b"weights").to_hex();
    let wrong = blake3::hash(b"weighus").to_hex();
    for arguments in [&["verify"][..], &["verify", FLOW]] {
        project
            .run(arguments)
            .expect(1, &["weights.safetensors", &right, &wrong]);
    }
}

#[test]
fn an_unknown_or_ambiguous_fingerprint_is_wrong_input() {
    let project = project();
    artifact(&project, "pretrain-flow", "0011aaaaaaaaaaaa", "");
    project.run(&["show", "ffff"]).expect(2, &["`ffff`"]);
    project
        .run(&["show", "0011"])
        .expect(2, &["give more characters"]);
    project.run(&["show", "nowhere"]).expect(2, &["nowhere"]);
}
