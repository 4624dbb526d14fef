//! The list of devices, in all places that show it.

use crate::project::{Project, output};
use crate::python::python;
use crate::tiny;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

const NAMES: &str = "cpu, cuda, cuda:N, wgpu, wgpu:N or remote:URL";

#[test]
fn help_schema_errors_and_completions_tell_the_same_list_of_devices() {
    let project = Project::new();
    let quoted = "`cpu`, `cuda`, `cuda:N`, `wgpu`, `wgpu:N` or `remote:URL`";
    for command in [vec!["run", "--help"], vec!["import", "--help"]] {
        // the terminal's width breaks lines
        let help = project.run(&command);
        help.expect(0, &[]);
        let words = help.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(NAMES), "{command:?}: {words}");
    }
    let schema = project.run(&["config", "--schema", "experiment"]);
    schema.expect(0, &[&format!("Where tensors live: {quoted}.")]);
    project.write(
        "a.yaml",
        "name: a\npretrain_flow: {features: {file: a.h5}}\n",
    );
    let error = project.run(&["config", "a.yaml", "--device", "tpu"]);
    error.expect(2, &["device: found tpu", quoted]);
    for shell in ["bash", "zsh", "fish"] {
        let outcome = project.run(&["completions", shell]);
        let script = &outcome.expect(0, &[]).stdout;
        assert!(
            script.contains("cuda") && script.contains("wgpu"),
            "{shell}"
        );
    }
}

#[test]
fn the_devices_of_this_machine_are_listed_with_what_this_binary_lacks() {
    let project = Project::new();
    let table = project.run(&["devices"]);
    table.expect(0, &["cpu", "ready"]);
    for kind in ["cuda", "wgpu", "remote"] {
        assert!(table.stdout.contains(kind), "{}", table.stdout);
    }
    let json = project.run(&["devices", "--format", "json"]);
    json.expect(0, &[]);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(rows[0]["device"], "cpu");
    assert_eq!(
        (&rows[0]["bf16"], &rows[0]["f64"]),
        (&"yes".into(), &"yes".into())
    );
    if !cfg!(feature = "cuda") {
        let cuda = rows
            .iter()
            .find(|row| row["device"].as_str().unwrap().starts_with("cuda"));
        let state = cuda.unwrap()["state"].as_str().unwrap();
        assert!(state.contains("cargo build --features cuda"), "{state}");
    }
}

/// Fails if `devices` is ignored, changes what is trained, or makes another artifact of the same training.
#[test]
fn devices_share_the_batches_of_a_training_and_train_the_same_networks() {
    let project = tiny::project();
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    let losses = |artifacts: &str| {
        let shown = project.run(&[
            "--artifacts",
            artifacts,
            "show",
            "tiny",
            "--format",
            "markdown",
        ]);
        shown.expect(0, &[]);
        ["test flow-matching loss", "test reconstruction"].map(|name| shown.figure(name))
    };
    let shared = ["--set", "devices=[cpu, cpu, cpu, cpu]"];
    let again = project.run(&[&["run", "tiny.yaml"], &shared[..]].concat());
    again.expect(0, &["Nothing to do"]);
    let run = [&["--artifacts", "shared", "run", "tiny.yaml"], &shared[..]].concat();
    let outcome = project.run(&run);
    outcome.expect(0, &["estimate-nll uses only the first of `devices`, cpu"]);
    for (one, four) in losses("artifacts").iter().zip(losses("shared")) {
        assert!((one - four).abs() < 1e-4 * one.abs(), "{one} {four}");
    }
    for stage in ["pretrain-flow", "train-autoencoder"] {
        let alone = format!("{stage} uses only");
        assert!(!outcome.stderr.contains(&alone), "{}", outcome.stderr);
        let [artifact] = &project.entries(&format!("shared/{stage}"))[..] else {
            panic!("one artifact");
        };
        let used = project.run(&["--artifacts", "shared", "show", artifact]);
        used.expect(0, &["cpu, cpu, cpu, cpu"]);
    }
}

/// Fails if a sweep runs trials with `devices` on one of them, a variation cannot set one key in place of the other, or an
/// experiment whose flow is read is not checked for them.
#[test]
fn devices_count_in_sweeps_variations_and_experiments_that_are_read() {
    let project = tiny::project();
    project.write(
        "shared.yaml",
        format!("devices: [cpu, cpu]\n{}", tiny::CONFIG),
    );
    let sweep = "name: s\nbase: shared.yaml\nset: {train_autoencoder: null, estimate_nll: null}\ngrid: {pretrain_flow.steps: [5]}\n";
    project.write("s.yaml", sweep);
    project.run(&["sweep", "s.yaml"]).expect(0, &[]);
    let [artifact] = &project.entries("artifacts/pretrain-flow")[..] else {
        panic!("one flow");
    };
    project.run(&["show", artifact]).expect(0, &["cpu, cpu"]);
    project.write("one.yaml", "name: one\nbase: shared.yaml\ndevice: cpu\n");
    let one = project.run(&["config", "one.yaml"]);
    one.expect(0, &["device: cpu"]);
    assert!(!one.stdout.contains("devices:"), "{one}");
    let other = tiny::CONFIG.replace("batch: 16", "batch: 18");
    project.write("other.yaml", other.replace("name: tiny", "name: other"));
    let asked = other
        .replace("times: 8", "times: 6")
        .replace("batch: 32", "batch: 36")
        .replace("{points: 8,", "{unaligned: other.yaml, points: 8,");
    project.write("asked.yaml", format!("devices: [cpu, cpu, cpu]\n{asked}"));
    let told = [
        "other.yaml: pretrain_flow.model.times: found 8",
        "a multiple of 3",
    ];
    project.run(&["plan", "asked.yaml"]).expect(2, &told);
}

#[test]
fn devices_that_cannot_share_a_batch_are_refused_with_their_key() {
    let project = tiny::project();
    let refused = |set: &[&str], parts: &[&str]| {
        let sets = set.iter().flat_map(|set| ["--set", set]);
        let run: Vec<&str> = ["run", "tiny.yaml"].into_iter().chain(sets).collect();
        project.run(&run).expect(2, parts);
    };
    let three = [
        "pretrain_flow.model.times: found 8",
        "a multiple of 3, the number of `devices`",
    ];
    refused(&["devices=[cpu, cpu, cpu]"], &three);
    let rows = ["train_autoencoder.batch: found 18", "a multiple of 4"];
    let four = ["devices=[cpu, cpu, cpu, cpu]", "train_autoencoder.batch=18"];
    refused(&four, &rows);
    refused(
        &["devices=[cpu, wgpu:0]"],
        &["devices: found cpu, wgpu:0", "devices of one kind"],
    );
    refused(&["devices=[cpu, gpu]"], &["devices: found gpu"]);
    let both = format!("device: wgpu\ndevices: [cpu]\n{}", tiny::CONFIG);
    project.write("both.yaml", both);
    let told = ["device: found wgpu", "no `device` beside `devices`"];
    project.run(&["plan", "both.yaml"]).expect(2, &told);
    assert!(!project.path("artifacts/pretrain-flow").exists());
}

/// A program of `project`.
fn program(project: &Project, name: &str, script: &str) {
    project.write(name, script);
    let everybody = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(project.path(name), everybody).unwrap();
}

/// `pipeline/scripts/check_device.py` of the processor with `binary` of `project`: whether it succeeded, and
/// its output.
fn check(project: &Project, binary: &str) -> Option<(bool, String)> {
    let mut command = Command::new(python("json")?);
    command.arg(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/scripts/check_device.py"
    ));
    command
        .args(["--device", "cpu", "--binary"])
        .arg(project.path(binary));
    let done = output(&mut command).unwrap();
    Some((
        done.status.success(),
        String::from_utf8_lossy(&done.stdout).into_owned(),
    ))
}

#[test]
fn the_check_of_a_device_passes_what_agrees_and_misses_what_does_not() {
    let project = Project::new();
    let binary = |name: &str, other: &str| {
        let ours = env!("CARGO_BIN_EXE_latent-align");
        // all but the first run are the device's
        let script = format!(
            "#!/bin/sh\ncase \" $* \" in\n*' run '*) echo >> \"$0.runs\"\n\
             [ $(wc -l < \"$0.runs\") = 1 ] || set -- \"$@\" {other};;\nesac\nexec {ours} \"$@\"\n"
        );
        program(&project, name, &script);
    };
    binary("same", "");
    let Some((passed, table)) = check(&project, "same") else {
        return;
    };
    assert!(passed && table.contains("No misses."), "{table}");
    for figure in [
        "train-classifier: test cross-entropy (nats)",
        "pretrain-flow: test flow-matching loss",
        "pretrain-flow: test NLL (nats)",
        "pretrain-flow: test squared MMD, samples to features",
        "pretrain-flow: test coverage of features by samples",
        "pretrain-flow: test p-value of the kernel test, samples",
        "train-autoencoder: test mean squared error",
        "estimate-nll: test latents: mean NLL, ODE (nats)",
        "estimate-nll: test latents: mean NLL, likelihood-weighted bound",
        "estimate-nll: test latents: mean alignment loss (uniform, sum)",
        "evaluate-latents: test Fréchet distance of samples",
        "evaluate-latents: held-out Fréchet distance of reconstructions",
    ] {
        let (stage, figure) = figure.split_once(": ").unwrap();
        let row = |line: &str| {
            line.starts_with(&format!("| {stage} |")) && line.contains(&format!("| {figure} |"))
        };
        assert!(table.lines().any(row), "{figure}: {table}");
    }
    binary("other", "--set pretrain_flow.optimiser.learning_rate=1e-5");
    let (passed, table) = check(&project, "other").unwrap();
    assert!(!passed, "{table}");
    for figure in [
        "test flow-matching loss",
        "test coverage of features by samples",
    ] {
        let row = |line: &str| line.contains(figure) && line.ends_with(", a miss |");
        assert!(table.lines().any(row), "{figure}: {table}");
    }
    // a stage that fails also fails the stages that need it, and no others
    let fails = "; case \"$*\" in *'--until train-autoencoder'*) echo no kernel >&2; exit 7;; esac";
    binary("broken", fails);
    let (passed, table) = check(&project, "broken").unwrap();
    assert!(!passed, "{table}");
    for told in [
        "| train-autoencoder | none | | | | exit code 7: no kernel |",
        "| evaluate-latents | none | | | | train-autoencoder is missing |",
        "| test cross-entropy (nats) |",
        "Misses: train-autoencoder on `cpu`: exit code 7: no kernel; ",
    ] {
        assert!(table.contains(told), "{told}: {table}");
    }
}

/// Fails if a device that lacks a precision may use another one instead, or may refuse it under one key of
/// three.
#[test]
fn the_check_of_a_device_asks_for_the_precisions_that_it_lacks() {
    let project = Project::new();
    let binary = |name: &str, told: &str| {
        let ours = env!("CARGO_BIN_EXE_latent-align");
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in\n*devices*) {ours} \"$@\" | sed 's/\"bf16\": *\"yes\"/\"bf16\": \"no\"/';;\n\
             *bf16*) {told};;\n*) exit 7;;\nesac\n"
        );
        program(&project, name, &script);
    };
    let lines = |keys: &[&str]| {
        let line = |key: &&str| format!("echo '  {key}: found `bf16`, expected `f32`' >&2; ");
        keys.iter().map(line).collect::<String>() + "exit 2"
    };
    let [flow, autoencoder, latents] = [
        "pretrain_flow.model.precision",
        "train_autoencoder.precision",
        "evaluate_latents.flow.precision",
    ];
    binary("refuses", &lines(&[flow, autoencoder, latents]));
    let Some((_, table)) = check(&project, "refuses") else {
        return;
    };
    assert!(
        table.contains("\n`bf16` is refused: exit code 2: "),
        "{table}"
    );
    assert!(!table.contains("is not refused"), "{table}");
    for (name, told, unnamed) in [
        ("runs", "exit 0", flow),
        ("half", &lines(&[flow, latents]), autoencoder),
    ] {
        binary(name, told);
        let (_, table) = check(&project, name).unwrap();
        let miss = format!("Miss: `bf16` is not refused by {unnamed}");
        assert!(table.contains(&miss), "{name}: {table}");
    }
}
