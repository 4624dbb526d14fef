//! `list`, `show`, `compare` and `clean`, and their former names, on stores written by hand: intact, damaged, old,
//! and with the store's index or without.

use crate::project::Project;
use serde_json::Value;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

/// A manifest of `stage`, with `figures` and `steps` as its only setting.
pub fn artifact(
    project: &Project,
    stage: &str,
    fingerprint: &str,
    steps: u32,
    figures: &str,
    upstream: &str,
) {
    let place = format!("artifacts/{stage}/{fingerprint}");
    std::fs::create_dir_all(project.path(&place)).unwrap();
    project.write(&format!("{place}/weights.safetensors"), "weights");
    let manifest = format!("{place}/manifest.json");
    let digest = blake3::hash(b"weights").to_hex();
    project.write(
        &manifest,
        crate::project::manifest(&format!(
            "format: 4\nstage: {stage}\nfingerprint: \"{fingerprint}\"\nstarted: \"2026-01-02T03:04:05Z\"\n\
             finished: \"2026-01-02T03:05:05Z\"\nseconds: 60.0\nfigures: {{{figures}}}\nwarnings: [few rows]\n\
             seed: 0\ndevice: cpu\nprogram: {{version: 0.1.0, revision: abc}}\nconfig: {{steps: {steps}}}\n\
             inputs: []\nupstream: [{upstream}]\n\
             outputs:\n  weights.safetensors: {{digest: {digest}, size: 7}}\n"
        )),
    );
    settle(project, &manifest);
}

/// Makes a file look as if it was written a while ago: the index trusts no younger one.
fn settle(project: &Project, name: &str) {
    let file = std::fs::File::options()
        .write(true)
        .open(project.path(name))
        .unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(60))
        .unwrap();
}

/// A run that leads to a flow and an autoencoder.
fn run(project: &Project, name: &str, state: &str, stages: &[(&str, &str)], weight: f64) {
    let folder = format!("artifacts/runs/{name}");
    std::fs::create_dir_all(project.path(&folder)).unwrap();
    let mut recorded = Vec::new();
    for (stage, fingerprint) in stages {
        symlink(
            format!("../../{stage}/{fingerprint}"),
            project.path(&format!("{folder}/{stage}")),
        )
        .unwrap();
        recorded.push(format!(
            "{{\"stage\": \"{stage}\", \"fingerprint\": \"{fingerprint}\"}}"
        ));
    }
    project.write(
        &format!("{folder}/run.json"),
        format!(
            "{{\"format\": 1, \"name\": \"{name}\", \"state\": \"{state}\", \"identity\": \"id-{name}\", \
             \"file\": \"/a/{name}.yaml\", \"seed\": 3, \"device\": \"cpu\", \"started\": \"2026-01-02T03:04:05Z\", \
             \"finished\": \"2026-01-02T03:08:05Z\", \"seconds\": 240.0, \"process\": 1, \"host\": \"here\", \
             \"failure\": null, \"stages\": [{}]}}\n",
            recorded.join(", ")
        ),
    );
    let config = format!("{folder}/config.yaml");
    project.write(
        &config,
        format!(
            "name: {name}\nseed: 3\ndevice: cpu\nflow: null\npretrain_flow:\n  features: {{file: /a/words.h5}}\n  \
             steps: 7\ntrain_autoencoder:\n  data: {{file: /a/digits.h5}}\n  latent: {{width: 4}}\n  \
             regulariser: {{kind: alignment, weight: {weight}}}\n"
        ),
    );
    settle(project, &config);
}

const MSE: &str = "held-out mean squared error";

/// Three runs that share a flow; the best autoencoder is that of `digits-b`.
pub fn project() -> Project {
    let project = Project::new();
    artifact(
        &project,
        "pretrain-flow",
        "aa00000000000001",
        7,
        "held-out loss: 2.5",
        "",
    );
    let flow = "{stage: pretrain-flow, fingerprint: aa00000000000001, contents: ff}";
    for (name, fingerprint, error, weight) in [
        ("digits-a", "bb00000000000001", "0.25", 0.1),
        ("digits-b", "bb00000000000002", "0.125", 0.01),
        ("moons", "bb00000000000003", "NaN", 0.001),
    ] {
        artifact(
            &project,
            "train-autoencoder",
            fingerprint,
            9,
            &format!("{MSE}: {error}, coverage: 0.5"),
            flow,
        );
        let stages = [
            ("pretrain-flow", "aa00000000000001"),
            ("train-autoencoder", fingerprint),
        ];
        run(&project, name, "finished", &stages, weight);
    }
    project
}

fn sweep(project: &Project, objective: &str) {
    std::fs::create_dir_all(project.path("artifacts/sweeps/weights")).unwrap();
    let trial = |run: &str, identity: &str, weight: f64| {
        format!(
            "{{\"run\": \"{run}\", \"variant\": \"{run}\", \"seed\": 3, \"identity\": \"{identity}\", \
             \"settings\": {{\"train_autoencoder.regulariser.weight\": {weight}}}}}"
        )
    };
    let trials = [
        trial("digits-a", "id-digits-a", 0.1),
        trial("digits-b", "id-digits-b", 0.01),
        trial("moons", "id-moons", 0.001),
        trial("never", "id-never", 1.0),
    ];
    project.write(
        "artifacts/sweeps/weights/sweep.json",
        format!(
            "{{\"format\": 1, \"name\": \"weights\", \"file\": \"/a/weights.yaml\", \
             \"axes\": [\"train_autoencoder.regulariser.weight\"], \"objective\": {objective}, \"constraints\": [], \
             \"columns\": [], \"trials\": [{}]}}",
            trials.join(", ")
        ),
    );
}

fn json(project: &Project, arguments: &[&str]) -> Vec<Value> {
    let outcome = project.run(&[arguments, &["--format", "json"]].concat());
    outcome.expect(0, &[]);
    serde_json::from_str(&outcome.stdout).unwrap()
}

fn names(rows: &[Value], column: &str) -> Vec<String> {
    rows.iter()
        .map(|row| row[column].as_str().unwrap_or("-").to_owned())
        .collect()
}

#[test]
fn an_empty_store_says_what_fills_it() {
    let project = Project::new();
    project.run(&["list"]).expect(0, &["latent-align run"]);
    project
        .run(&["list", "sweeps"])
        .expect(0, &["latent-align sweep"]);
    project
        .run(&["list", "artifacts"])
        .expect(0, &["latent-align run"]);
    project.run(&["clean"]).expect(0, &["nothing to delete"]);
    project
        .run(&["list", "--format", "json"])
        .expect(0, &["[]"]);
}

#[test]
fn runs_are_filtered_sorted_and_cut() {
    let project = project();
    let weight = "train_autoencoder.regulariser.weight";
    let filtered = |more: &[&str]| names(&json(&project, &[&["list"], more].concat()), "name");
    assert_eq!(filtered(&[]), ["digits-a", "digits-b", "moons"]);
    assert_eq!(
        filtered(&["--filter", &format!("{weight}>=0.01")]),
        ["digits-a", "digits-b"]
    );
    assert_eq!(
        filtered(&["--filter", "weight<0.05", "--filter", "name~digits*"]),
        ["digits-b"]
    );
    // NaN comes last whichever way.
    let error = format!("train-autoencoder: {MSE}");
    assert_eq!(
        filtered(&["--sort", &error]),
        ["digits-b", "digits-a", "moons"]
    );
    let downwards = format!("--sort=-{error}");
    assert_eq!(filtered(&[&downwards]), ["digits-a", "digits-b", "moons"]);
    assert_eq!(filtered(&[&downwards, "--limit", "1"]), ["digits-a"]);
    let rows = json(
        &project,
        &[
            "list",
            "--columns",
            &format!("weight,{error},pretrain_flow.steps"),
        ],
    );
    assert_eq!(rows[0][weight], 0.1);
    assert_eq!(rows[0]["pretrain_flow.steps"], 7);
    assert_eq!(rows[2][&error], Value::Null);
}

#[test]
fn an_unknown_column_is_wrong_input_with_the_nearest() {
    let project = project();
    for option in ["--sort=stat", "--columns=stat", "--filter=stat=finished"] {
        project
            .run(&["list", option])
            .expect(2, &["did you mean `state`?"]);
    }
    project
        .run(&["list", "--filter", "weight=much"])
        .expect(2, &["holds numbers"]);
    project
        .run(&["show", "digits"])
        .expect(2, &["did you mean `digits-"]);
}

#[test]
fn every_format_has_the_same_rows() {
    let project = project();
    project
        .run(&["list"])
        .expect(0, &["digits-a  finished  2026-01-02 03:04:05  4 min 00 s"]);
    project
        .run(&["list", "--format", "markdown"])
        .expect(0, &["| name ", "| digits-a | finished"]);
    let csv = project.run(&["list", "--format", "csv", "--columns", "name,seconds"]);
    assert_eq!(
        csv.stdout,
        "name,seconds\ndigits-a,240\ndigits-b,240\nmoons,240\n"
    );
    project
        .run(&["list", "--format", "parquet"])
        .expect(2, &["--out"]);
    let table = ["list", "--format", "parquet", "--out", "runs.parquet"];
    project.run(&table).expect(0, &["3 rows in runs.parquet"]);
    let bytes = std::fs::read(project.path("runs.parquet")).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    project.run(&["list", "--out", "no/where.csv"]).expect(
        2,
        &["no/where.csv: cannot be written (there is no folder no)"],
    );
    assert_eq!(project.entries("."), ["artifacts", "runs.parquet"]);
}

#[test]
fn a_comparison_shows_only_what_differs() {
    let project = project();
    let outcome = project.run(&["compare", "digits-a", "digits-b"]);
    outcome.expect(
        0,
        &[
            "0.12500 (-0.12500)",
            "regulariser.weight",
            "0.01",
            "differences from digits-a",
        ],
    );
    assert!(
        !outcome.stdout.contains("coverage") && !outcome.stdout.contains("steps"),
        "{outcome}"
    );
    let rows = json(&project, &["compare", "digits-*", "--baseline", "digits-b"]);
    assert_eq!(names(&rows, "name"), ["digits-b", "digits-a"]);
    assert_eq!(
        rows[1][format!("train-autoencoder: {MSE} (difference)")],
        0.125
    );
}

#[test]
fn the_best_trial_is_first_and_what_is_left_out_is_told() {
    let project = project();
    sweep(&project, "null");
    project
        .run(&["show", "weights", "--objective"])
        .expect(2, &["has no objective", "--objective"]);
    let by_hand = [
        "show",
        "weights",
        "--objective",
        MSE,
        "--direction",
        "maximise",
    ];
    assert_eq!(names(&json(&project, &by_hand), "run")[0], "digits-a");
    sweep(
        &project,
        &format!("{{\"figure\": \"train-autoencoder: {MSE}\", \"direction\": \"minimise\"}}"),
    );
    let outcome = project.run(&["show", "weights", "--objective"]);
    outcome.expect(
        0,
        &[
            "left out: moons",
            "NaN",
            "left out: never: it has not run yet",
        ],
    );
    let place = |run| outcome.stdout.find(run).unwrap();
    assert!(place("digits-b") < place("digits-a"), "{outcome}");
    let all = json(&project, &["show", "weights", "--objective"]);
    assert_eq!(
        names(&all, "run"),
        ["digits-b", "digits-a", "moons", "never"]
    );
    let sweeps = json(&project, &["list", "sweeps", "--columns", "*"]);
    assert_eq!(names(&sweeps, "best run"), ["digits-b"]);
    assert_eq!(sweeps[0]["unfinished"], 1);
    let file = "artifacts/sweeps/weights/sweep.json";
    let text = std::fs::read_to_string(project.path(file)).unwrap();
    let bound = format!(
        "\"constraints\": [{{\"figure\": \"train-autoencoder: {MSE}\", \"at_least\": 0.2}}]"
    );
    project.write(file, text.replace("\"constraints\": []", &bound));
    let bounded = project.run(&["show", "weights", "--objective"]);
    bounded.expect(
        0,
        &["left out: digits-b", "is 0.125, expected at least 0.2"],
    );
    project
        .run(&["show", "weight", "--objective"])
        .expect(2, &["did you mean `weights`?"]);
}

#[test]
fn two_runs_share_a_flow_and_differ_in_a_setting() {
    let project = project();
    let rows = json(&project, &["compare", "digits-a", "digits-b"]);
    assert_eq!(rows[1]["train_autoencoder.regulariser.weight"], 0.01);
    assert_eq!(rows[1]["pretrain-flow: shared"], "shared");
    // their manifests are equal, their fingerprints are not
    let other = "computed from the same";
    assert_eq!(rows[1]["train-autoencoder: shared"], other);
    let text = project.run(&["compare", "digits-a", "digits-b"]);
    text.expect(0, &["pretrain-flow      shared", other]);
    let column = "pretrain-flow: artifact";
    let rows = json(&project, &["compare", "digits-*", "--columns", column]);
    assert_eq!(rows[0][column], rows[1][column]);
    let artifacts = json(
        &project,
        &["compare", "aa00000000000001", "bb00000000000001"],
    );
    let steps = artifacts.iter().find(|row| row["name"] == "steps").unwrap();
    assert_eq!(
        (&steps["aa00000000000001"], &steps["bb00000000000001"]),
        (&"7".into(), &"9".into())
    );
    project
        .run(&["compare", "aa00000000000001", "aa00"])
        .expect(0, &["no difference"]);
    project
        .run(&["compare", "digits-a", "nowhere"])
        .expect(2, &["nowhere"]);
}

#[test]
fn a_run_is_shown_with_what_was_set_and_what_it_was_made_from() {
    let project = project();
    project.run(&["show", "digits-a"]).expect(
        0,
        &[
            "digits-a: finished",
            "settings other than the defaults",
            "train_autoencoder.regulariser.weight",
            "held-out mean squared error",
            "warning: few rows",
            "config.yaml",
            "└─ pretrain-flow aa00000000000001",
        ],
    );
    assert_eq!(json(&project, &["show", "digits-a"])[0]["seed"], 3);
    let by_prefix = json(&project, &["show", "aa00"]);
    assert_eq!(by_prefix[0]["fingerprint"], "aa00000000000001");
    project
        .run(&["show", "artifacts/runs/digits-a/"])
        .expect(0, &["digits-a"]);
    project
        .run(&["show", "elsewhere/runs/digits-a"])
        .expect(2, &["elsewhere/runs/digits-a: no run"]);
    project
        .run(&["compare", "elsewhere/runs/digits-a"])
        .expect(2, &["no run of this store", "--artifacts"]);
}

/// Fails if `show` resolves a name wrongly, or accepts an option that does not apply.
#[test]
fn whatever_is_shown_is_found_by_its_name_and_takes_its_own_options_only() {
    let project = project();
    sweep(&project, "null");
    for command in ["show", "metrics", "best"] {
        let told = project.run(&[command]);
        told.expect(2, &["THING: found nothing"]);
    }
    project
        .run(&["show", "digits-c"])
        .expect(2, &["did you mean `digits-a`?", "latent-align list"]);
    for (thing, option, expected) in [
        ("digits-a", "--rows=1", "an HDF5 file"),
        ("digits-a", "--objective", "a sweep"),
        ("weights", "--curves", "a run"),
        ("aa00", "--chart", "a run"),
        ("weights", "--dataset=x", "an HDF5 file"),
    ] {
        let option_only = option.split('=').next().unwrap();
        project
            .run(&["show", thing, option])
            .expect(2, &[option_only, "found a", expected]);
    }
    // in a folder with an entry of the same name, the name means the run; a path means the entry
    project.write("digits-a", "not a run");
    project
        .run(&["show", "digits-a"])
        .expect(0, &["digits-a: finished"]);
    project
        .run(&["show", "./digits-a"])
        .expect(2, &["found another kind of file"]);
    for folder in ["artifacts", "artifacts/"] {
        let all = project.run(&["show", folder]);
        assert_eq!(all.stdout, project.run(&["list", "artifacts"]).stdout);
    }
    let folder = project.run(&["show", "artifacts/sweeps/weights"]);
    folder.expect(0, &["never"]);
    std::fs::create_dir(project.path("artifacts/runs/weights")).unwrap();
    for command in ["show", "report"] {
        project
            .run(&[command, "weights"])
            .expect(2, &["is a run and a sweep"]);
    }
}

/// Fails if such a name is refused although only one of the two is possible.
#[test]
fn a_run_and_a_sweep_may_have_one_name() {
    let project = project();
    sweep(&project, "null");
    let [runs, sweeps] = ["runs", "sweeps"].map(|kind| project.path(&format!("artifacts/{kind}")));
    std::fs::rename(sweeps.join("weights"), sweeps.join("moons")).unwrap();
    assert!(runs.join("moons").is_dir());
    project
        .run(&["show", "moons"])
        .expect(2, &["is a run and a sweep", "runs/moons", "sweeps/moons"]);
    for command in [
        &["show", "moons", "--curves"][..],
        &["verify", "moons"],
        &["metrics", "moons"],
    ] {
        let told = project.run(command);
        assert!(!told.stderr.contains("a sweep"), "{told}");
    }
    for command in [
        &["sweep", "status", "moons"][..],
        &["best", "moons"],
        &["show", "moons", "--objective"],
    ] {
        let told = project.run(command);
        assert!(!told.stderr.contains("is a run"), "{told}");
    }
}

/// Fails if the name in a sweep's file is used as a path: what lies beside the store would be written.
#[test]
fn a_file_names_no_sweep_outside_the_store_and_that_of_an_experiment_names_its_run() {
    let project = project();
    std::fs::create_dir(project.path("evil")).unwrap();
    project.write("evil/sweep.json", "{}");
    project.write(
        "evil.yaml",
        "name: ../../evil\nbase: a.yaml\nlist: [{name: a}]\n",
    );
    for command in ["show", "report"] {
        let told = project.run(&[command, "evil.yaml"]);
        told.expect(2, &["evil.yaml: name: found ../../evil", "1 to 64"]);
    }
    let kept = std::fs::read_dir(project.path("evil")).unwrap();
    assert_eq!(kept.count(), 1);
    project.write("e.yaml", crate::tiny::CONFIG);
    project
        .run(&["show", "e.yaml"])
        .expect(2, &["e.yaml: found the file of an experiment", "`tiny`"]);
    let wrong = crate::tiny::CONFIG.replace("pretrain_flow:", "pretrain_flow:\n  stepz: 3");
    project.write("e.yaml", &wrong);
    project
        .run(&["show", "e.yaml"])
        .expect(2, &["e.yaml", "stepz", "did you mean `steps`?"]);
}

/// Fails if a message names an option that was not given, or only says that no run has the name.
#[test]
fn a_thing_of_another_kind_is_told_as_what_it_is() {
    let project = project();
    sweep(&project, "null");
    project.write_features("rows.h5", "features", 20, 2, crate::tiny::noise);
    for (command, expected) in [
        ("best digits-a", "digits-a: found a run, expected a sweep"),
        ("metrics weights", "weights: found a sweep, expected a run"),
        (
            "features scan aa00",
            "found an artifact, expected an HDF5 file",
        ),
        (
            "compare digits-a weights",
            "weights: found a sweep, expected runs, or two artifacts; its trials are runs",
        ),
        (
            "compare digits-a aa00",
            "aa00: found an artifact, expected runs",
        ),
        (
            "compare rows.h5",
            "rows.h5: found an HDF5 file, expected runs",
        ),
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        let told = project.run(&words);
        told.expect(2, &[expected]);
        assert!(!told.stderr.contains("--"), "{told}");
    }
}

/// Fails if the sweep is taken for the figure.
#[test]
fn a_sweep_may_stand_behind_the_option_that_may_have_a_figure() {
    let project = project();
    let objective = format!("{{\"figure\": \"train-autoencoder: {MSE}\"}}");
    sweep(&project, &objective);
    let [before, behind] = [
        ["show", "weights", "--objective"],
        ["show", "--objective", "weights"],
    ]
    .map(|words| project.run(&words));
    assert_eq!(
        (before.code, &before.stdout),
        (Some(0), &behind.stdout),
        "{behind}"
    );
    project
        .run(&["show", "--objective", "train-autoencoder: nothing"])
        .expect(2, &["THING: found nothing"]);
}

#[test]
fn runs_that_do_not_differ_are_told_to_have_no_difference() {
    let project = Project::new();
    for name in ["one", "two"] {
        run(&project, name, "finished", &[], 1.0);
    }
    project
        .run(&["compare", "one", "two"])
        .expect(0, &["no difference from one"]);
}

#[test]
fn former_names_of_commands_do_what_those_of_today_do() {
    let project = project();
    let objective = format!("{{\"figure\": \"train-autoencoder: {MSE}\"}}");
    sweep(&project, &objective);
    project.write_features("rows.h5", "features", 20, 2, crate::tiny::noise);
    for (former, today) in [
        ("ls", "list"),
        (
            "ls artifacts --format md",
            "list artifacts --format markdown",
        ),
        ("gc", "clean"),
        ("inspect", "list artifacts"),
        ("inspect aa00", "show aa00"),
        ("inspect rows.h5", "show rows.h5"),
        ("features scan rows.h5", "show rows.h5 --rows 0"),
        ("best weights", "show weights --objective"),
        ("sweep status weights", "show weights"),
        ("diff digits-a digits-b", "compare digits-a digits-b"),
        ("diff aa00 bb00", "compare aa00 bb00"),
        ("metrics digits-a --plot", "show digits-a --curves --chart"),
        ("features generate moons", "generate moons"),
    ] {
        let [was, is] = [former, today].map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            project.run(&words)
        });
        let generated = former.contains("generate"); // whose usage names the command
        let same = generated || (&was.stdout, &was.stderr) == (&is.stdout, &is.stderr);
        assert!(was.code == is.code && same, "{former}\n{was}\n{is}");
    }
}

/// The output of each command for a store.
fn everything(project: &Project) -> Vec<(String, i32, String)> {
    let commands: [&[&str]; 11] = [
        &["list"],
        &["list", "--columns", "*", "--format", "json"],
        &["list", "artifacts", "--columns", "*", "--format", "csv"],
        &["list", "sweeps", "--format", "json"],
        &["show", "digits-a"],
        &["compare", "*", "--format", "json"],
        &["show", "weights", "--objective"],
        &["compare", "digits-a", "digits-b"],
        &["clean"],
        &["list", "artifacts"],
        &["show", "digits-a", "--curves"],
    ];
    let answers = commands.iter().map(|command| {
        let outcome = project.run(command);
        (command.join(" "), outcome.code.unwrap(), outcome.stdout)
    });
    answers.collect()
}

#[test]
fn the_index_changes_no_answer() {
    let project = project();
    sweep(
        &project,
        &format!("{{\"figure\": \"train-autoencoder: {MSE}\"}}"),
    );
    let index = project.path("artifacts/.index");
    let mut without = Vec::new();
    for _ in 0..2 {
        let _ = std::fs::remove_file(&index);
        without = everything(&project);
    }
    assert!(index.exists());
    assert_eq!(everything(&project), without);
    let whole = std::fs::read(&index).unwrap();
    std::fs::write(&index, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(everything(&project), without);
    // Changes are detected, although the index has the old contents.
    artifact(
        &project,
        "train-autoencoder",
        "bb00000000000001",
        9,
        &format!("{MSE}: 0.0625"),
        "",
    );
    let rows = json(
        &project,
        &["list", "--filter", "name=digits-a", "--columns", "*"],
    );
    assert_eq!(rows[0][format!("train-autoencoder: {MSE}")], 0.0625);
}

#[test]
fn many_processes_may_list_at_once() {
    let project = project();
    let children: Vec<_> = (0..8)
        .map(|_| project.spawn(&["list", "--format", "csv"]))
        .collect();
    let outputs = children
        .into_iter()
        .map(|child| child.wait_with_output().unwrap());
    let outputs: Vec<_> = outputs.map(|o| (o.status.code(), o.stdout)).collect();
    assert!(outputs.iter().all(|o| *o == outputs[0] && o.0 == Some(0)));
    assert_eq!(
        project
            .entries("artifacts")
            .iter()
            .filter(|n| n.starts_with('.'))
            .count(),
        1
    );
}

#[test]
fn one_truncated_manifest_of_a_thousand_is_one_flagged_row_and_every_command_works() {
    let project = project();
    let flow = "{stage: pretrain-flow, fingerprint: aa00000000000001, contents: ff}";
    for number in 3..1000 {
        let fingerprint = format!("cc{number:014x}");
        let error = format!("{MSE}: {}", 1.0 + f64::from(number));
        artifact(&project, "train-autoencoder", &fingerprint, 9, &error, flow);
        let stages = [
            ("pretrain-flow", "aa00000000000001"),
            ("train-autoencoder", fingerprint.as_str()),
        ];
        run(&project, &format!("run-{number}"), "finished", &stages, 0.5);
    }
    sweep(
        &project,
        &format!("{{\"figure\": \"train-autoencoder: {MSE}\"}}"),
    );
    let manifest = "artifacts/train-autoencoder/bb00000000000001/manifest.json";
    let text = std::fs::read_to_string(project.path(manifest)).unwrap();
    project.write(manifest, &text[..text.len() / 3]);
    for (command, code, stdout) in everything(&project) {
        let has_curves = !command.ends_with("--curves");
        assert_eq!(code, if has_curves { 0 } else { 2 }, "{command}: {stdout}");
    }
    let flagged = |arguments: &[&str]| {
        let rows = json(&project, arguments);
        names(&rows, "problem")
            .iter()
            .filter(|p| p.contains("DAMAGED"))
            .count()
    };
    assert_eq!(json(&project, &["list"]).len(), 1000);
    assert_eq!(flagged(&["list"]), 1);
    assert_eq!(flagged(&["list", "artifacts"]), 1);
    project.run(&["list"]).expect(
        0,
        &[
            "DAMAGED: manifest.json does not end with its digest",
            "digits-b",
        ],
    );
    project
        .run(&["show", "weights", "--objective"])
        .expect(0, &["left out: digits-a"]);
}

#[test]
fn records_and_configurations_may_be_damaged_missing_or_lead_nowhere() {
    let project = project();
    project.write("artifacts/runs/digits-a/run.json", "{\"format\": 1, \"na");
    std::fs::remove_file(project.path("artifacts/runs/digits-b/config.yaml")).unwrap();
    std::fs::create_dir_all(project.path("artifacts/runs/old")).unwrap();
    symlink(
        "../../pretrain-flow/aa00000000000001",
        project.path("artifacts/runs/old/pretrain-flow"),
    )
    .unwrap();
    std::fs::create_dir_all(project.path("artifacts/runs/dangling")).unwrap();
    symlink(
        "../../pretrain-flow/ffff",
        project.path("artifacts/runs/dangling/pretrain-flow"),
    )
    .unwrap();
    let stages = [("pretrain-flow", "aa00000000000001")];
    run(&project, "killed", "running", &stages, 1.0);
    project.write("artifacts/runs/moons/config.yaml", "name: [");
    std::fs::create_dir_all(project.path("artifacts/sweeps/broken")).unwrap();
    project.write("artifacts/sweeps/broken/sweep.json", "{");
    let rows = json(&project, &["list", "--columns", "*"]);
    let told: Vec<String> = rows
        .iter()
        .map(|r| format!("{}: {}", r["name"], r["state"]).replace('"', ""))
        .collect();
    let expected = [
        "dangling: unrecorded",
        "digits-a: damaged",
        "digits-b: finished",
        "killed: interrupted",
        "moons: finished",
        "old: unrecorded",
    ];
    assert_eq!(told, expected);
    let problem = |row: usize| rows[row]["problem"].as_str().unwrap_or_default().to_owned();
    assert!(problem(0).contains("not there"), "{}", problem(0));
    assert!(problem(1).contains("run.json"), "{}", problem(1));
    assert!(
        problem(2).contains("config.yaml is missing"),
        "{}",
        problem(2)
    );
    assert!(problem(4).contains("config.yaml"), "{}", problem(4));
    // The settings of stages replace a missing configuration.
    assert_eq!(rows[2]["pretrain_flow.steps"], 7);
    assert_eq!(rows[1][format!("train-autoencoder: {MSE}")], 0.25);
    for name in ["dangling", "digits-a", "digits-b", "killed", "moons", "old"] {
        project.run(&["show", name]).expect(0, &[name]);
        project.run(&["compare", name, "digits-b"]).expect(0, &[]);
    }
    project.run(&["compare", "*"]).expect(0, &[]);
    project.run(&["clean"]).expect(0, &[]);
    project
        .run(&["list", "sweeps"])
        .expect(0, &["broken", "DAMAGED"]);
    project
        .run(&["show", "broken", "--objective"])
        .expect(2, &["sweep.json"]);
}

#[test]
fn what_nothing_refers_to_goes_only_when_asked_and_damage_only_when_named() {
    let project = project();
    artifact(&project, "pretrain-flow", "dd00000000000001", 7, "", "");
    let upstream = "{stage: pretrain-flow, fingerprint: dd00000000000001, contents: ff}";
    artifact(
        &project,
        "train-autoencoder",
        "dd00000000000002",
        9,
        "",
        upstream,
    );
    std::fs::create_dir_all(project.path("artifacts/pretrain-flow/dd00000000000003")).unwrap();
    project.write(
        "artifacts/pretrain-flow/dd00000000000003/manifest.json",
        "{\"format\": 4",
    );
    std::fs::create_dir_all(project.path("artifacts/pretrain-flow/.tmp-ee00000000000001-1"))
        .unwrap();
    project.write(
        "artifacts/pretrain-flow/.lock-ee00000000000001",
        "process 1",
    );
    let artifacts = |project: &Project| {
        let stages = ["artifacts/pretrain-flow", "artifacts/train-autoencoder"];
        stages.map(|stage| project.entries(stage)).concat()
    };
    let before = artifacts(&project);
    let dry = project.run(&["clean"]);
    dry.expect(
        0,
        &[
            "dd00000000000001",
            "dd00000000000002",
            "stays without --damaged",
            "4 things",
            "--delete",
        ],
    );
    assert!(!dry.stdout.contains("bb0000"), "{dry}");
    assert_eq!(artifacts(&project), before);
    project
        .run(&["clean", "--delete", "--filter", "stage=train-autoencoder"])
        .expect(0, &["deleted"]);
    assert!(!artifacts(&project).contains(&"dd00000000000002".to_owned()));
    assert!(artifacts(&project).contains(&"dd00000000000001".to_owned()));
    project
        .run(&["clean", "--delete"])
        .expect(0, &["deleted", "stays without --damaged"]);
    let kept = ["aa00000000000001", "dd00000000000003"];
    let trained = ["bb00000000000001", "bb00000000000002", "bb00000000000003"];
    assert_eq!(artifacts(&project), [&kept[..], &trained].concat());
    project
        .run(&["clean", "--delete", "--damaged"])
        .expect(0, &["deleted"]);
    assert_eq!(artifacts(&project), [&kept[..1], &trained].concat());
}

#[test]
fn temporary_files_of_dead_processes_are_found_by_their_age() {
    let project = project();
    let left = "artifacts/pretrain-flow/.probe.tmp-1-2-3";
    project.write(left, "");
    let young = project.run(&["clean"]);
    assert!(!young.stdout.contains(".probe"), "{young}");
    let file = std::fs::File::options()
        .write(true)
        .open(project.path(left))
        .unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(7200))
        .unwrap();
    project
        .run(&["clean", "--delete"])
        .expect(0, &[".probe.tmp-1-2-3", "a temporary file"]);
    assert!(!project.path(left).exists());
}

#[test]
fn what_a_process_works_on_stays() {
    let project = project();
    artifact(&project, "pretrain-flow", "dd00000000000001", 7, "", "");
    std::fs::create_dir_all(project.path("artifacts/pretrain-flow/.tmp-ee00000000000001-1"))
        .unwrap();
    let lock = |fingerprint: &str| {
        let file = project.path(&format!("artifacts/pretrain-flow/.lock-{fingerprint}"));
        let file = std::fs::File::create(file).unwrap();
        file.lock().unwrap();
        file
    };
    let held = [lock("dd00000000000001"), lock("ee00000000000001")];
    project
        .run(&["clean", "--delete"])
        .expect(0, &["in use by a process"]);
    let left = project.entries("artifacts/pretrain-flow");
    assert_eq!(left.len(), 5, "{left:?}");
    drop(held);
    project.run(&["clean", "--delete"]).expect(0, &["deleted"]);
    assert_eq!(
        project.entries("artifacts/pretrain-flow"),
        ["aa00000000000001"]
    );
}

#[test]
fn a_run_in_progress_keeps_what_its_record_names() {
    let project = project();
    artifact(&project, "pretrain-flow", "dd00000000000001", 7, "", "");
    run(
        &project,
        "planned",
        "running",
        &[("pretrain-flow", "dd00000000000001")],
        1.0,
    );
    std::fs::remove_file(project.path("artifacts/runs/planned/pretrain-flow")).unwrap();
    let outcome = project.run(&["clean"]);
    assert!(!outcome.stdout.contains("dd00"), "{outcome}");
}
