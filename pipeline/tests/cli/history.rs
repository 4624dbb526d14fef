//! The history of a run keeps its earlier configurations, and each entry shows only its own.

use crate::project::{Project, change_manifest, signal, wait_until};
use crate::tiny::{CONFIG, project};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

const WEIGHT: &str = "train_autoencoder.regulariser.weight";

fn weighted(project: &Project, weight: &str, more: &[&str]) {
    let set = format!("{WEIGHT}={weight}");
    let arguments = [&["-q", "run", "tiny.yaml", "--set", &set], more].concat();
    project.run(&arguments).expect(0, &[]);
}

fn json(project: &Project, arguments: &[&str]) -> Vec<Value> {
    let outcome = project.run(&[arguments, &["--format", "json"]].concat());
    outcome.expect(0, &[]);
    serde_json::from_str(&outcome.stdout).unwrap()
}

/// One column of a table.
fn column(project: &Project, arguments: &[&str], name: &str) -> Vec<String> {
    let rows = json(project, &[arguments, &["--columns", name]].concat());
    let values = rows
        .iter()
        .flat_map(|row| row.as_object().unwrap().values());
    values.map(|v| v.to_string().replace('"', "")).collect()
}

/// Everything in a folder: files with their bytes, links with where they lead.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = folder.read_dir().unwrap().flatten();
    let entries = entries.map(|entry| {
        let path = entry.path();
        let bytes = match path.read_link() {
            Ok(target) => target.to_string_lossy().into_owned().into_bytes(),
            Err(_) => std::fs::read(&path).unwrap(),
        };
        (entry.file_name().into_string().unwrap(), bytes)
    });
    entries.collect()
}

fn file(project: &Project, run: &str, name: &str) -> String {
    let path = project.path("artifacts/runs").join(run).join(name);
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn three_weights_are_three_entries_that_can_be_compared() {
    let project = project();
    weighted(&project, "0.1", &[]);
    let first = contents(&project.path("artifacts/runs/tiny"));
    weighted(&project, "0.2", &[]);
    weighted(&project, "0.3", &[]);
    assert_eq!(column(&project, &["list"], "name"), ["tiny"]);
    project
        .run(&["list"])
        .expect(0, &["2 older entries of these runs; --all shows them"]);
    let all = ["list", "--all"];
    assert_eq!(column(&project, &all, "name"), ["tiny@1", "tiny@2", "tiny"]);
    assert_eq!(column(&project, &all, "entry"), ["1", "2", "3"]);
    assert_eq!(column(&project, &all, WEIGHT), ["0.1", "0.2", "0.3"]);
    assert_eq!(column(&project, &all, "state"), ["finished"; 3]);
    // the older one is what it was, with its summary and report
    assert_eq!(contents(&project.path("artifacts/runs/tiny@1")), first);
    assert_eq!(
        column(&project, &["compare", "tiny@1", "tiny@2"], WEIGHT),
        ["0.1", "0.2"]
    );
    // the newest also has its number
    assert_eq!(
        column(&project, &["compare", "tiny@3", "tiny@2"], "name"),
        ["tiny", "tiny@2"]
    );
    assert_eq!(column(&project, &["compare", "tiny@*"], "name").len(), 3);
    assert_eq!(column(&project, &["compare", "tiny*"], "name"), ["tiny"]);
    project
        .run(&["show", "tiny@1"])
        .expect(0, &["tiny@1: finished", "regulariser.weight     0.1"]);
    project
        .run(&["show", "tiny"])
        .expect(0, &["3, after tiny@1, tiny@2"]);
    project
        .run(&["show", "tiny@7"])
        .expect(2, &["no run `tiny@7`", "list --all"]);
    project
        .run(&["compare", "tiny@1", "tiny"])
        .expect(0, &[WEIGHT, "0.3"]);
    project
        .run(&["report", "tiny@2"])
        .expect(0, &["runs/tiny@2/report.html"]);
    project
        .run(&["show", "tiny@1", "--curves"])
        .expect(0, &["train-autoencoder"]);
    project.run(&["verify"]).expect(0, &["tiny@1"]);
    // the artifacts of an older entry are in use
    project.run(&["clean"]).expect(0, &["nothing to delete"]);
    project.run(&["clean", "--delete"]).expect(0, &[]);
    assert_eq!(project.entries("artifacts/train-autoencoder").len(), 3);
    assert_eq!(project.entries("artifacts/estimate-nll").len(), 3);
    // a configuration that was computed before is found again, and becomes the newest entry
    let again = project.run(&["run", "tiny.yaml"]);
    again.expect(0, &["Nothing to do"]);
    assert_eq!(column(&project, &all, WEIGHT), ["0.1", "0.2", "0.3", "0.1"]);
    // repeating it adds no entry
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    assert_eq!(column(&project, &all, "entry").len(), 4);
}

#[test]
fn what_a_run_shows_is_of_one_configuration() {
    let project = project();
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    assert!(file(&project, "tiny", "report.html").contains("NLL of latents (nats)"));
    weighted(&project, "0.3", &["--until", "train-autoencoder"]);
    let names: Vec<String> = contents(&project.path("artifacts/runs/tiny"))
        .into_keys()
        .collect();
    assert!(names.contains(&"train-autoencoder".to_owned()), "{names:?}");
    for name in ["estimate-nll", "surrogate.svg"] {
        assert!(!names.contains(&name.to_owned()), "{name} in {names:?}");
    }
    for name in ["summary.md", "report.html"] {
        let text = file(&project, "tiny", name);
        assert!(!text.contains("mean NLL"), "{name}");
        assert!(text.contains("held-out mean squared error"), "{name}");
    }
    assert!(!file(&project, "tiny", "report.html").contains("NLL of latents (nats)"));
    assert!(file(&project, "tiny@1", "report.html").contains("NLL of latents (nats)"));
    // a plan names the changes since the stage last ran, even if the newest entry did not reach it
    let set = format!("{WEIGHT}=0.3");
    project
        .run(&["plan", "tiny.yaml", "--set", &set])
        .expect(0, &["train-autoencoder changes: "]);
    // the remaining stages of the same configuration belong to the same entry
    weighted(&project, "0.3", &[]);
    assert_eq!(
        column(&project, &["list", "--all"], "state"),
        ["finished"; 2]
    );
    // and a part of it keeps earlier results
    weighted(&project, "0.3", &["--until", "train-autoencoder"]);
    assert!(file(&project, "tiny", "summary.md").contains("mean NLL"));
}

#[test]
fn what_read_an_earlier_result_is_left_out_and_told() {
    let project = project();
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    let folder = project.path("artifacts/runs/tiny");
    // as if the autoencoder had been recomputed elsewhere with another result
    let autoencoder = folder.join("train-autoencoder").canonicalize().unwrap();
    std::fs::write(autoencoder.join("note.txt"), "new").unwrap();
    let manifest = autoencoder.join("manifest.json");
    change_manifest(&manifest, |manifest| {
        let digest = blake3::hash(b"new").to_hex().to_string();
        manifest["outputs"]["note.txt"] = serde_json::json!({"digest": digest, "size": 3});
    });
    project.run(&["report", "tiny"]).expect(0, &[]);
    let page = file(&project, "tiny", "report.html");
    assert!(page.contains("train-autoencoder was recomputed since, with another result"));
    assert!(!page.contains("NLL of latents (nats)") && !page.contains("id=\"figure-surrogate\""));
    let until = ["run", "tiny.yaml", "--until", "train-autoencoder"];
    project.run(&until).expect(0, &["Nothing to do"]);
    assert!(!file(&project, "tiny", "summary.md").contains("mean NLL"));
    assert!(!folder.join("estimate-nll").is_symlink() && !folder.join("surrogate.svg").exists());
    project
        .run(&["run", "tiny.yaml"])
        .expect(0, &["computed again with another result", "mean NLL"]);
}

#[test]
fn a_link_to_what_another_configuration_made_is_left_out_of_the_report() {
    let project = project();
    weighted(&project, "0.3", &[]);
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    // as left by versions without a history
    let [own, other] = ["tiny", "tiny@1"].map(|run| {
        project
            .path("artifacts/runs")
            .join(run)
            .join("estimate-nll")
    });
    std::fs::remove_file(&own).unwrap();
    std::os::unix::fs::symlink(other.read_link().unwrap(), &own).unwrap();
    project.run(&["report", "tiny"]).expect(0, &[]);
    let page = file(&project, "tiny", "report.html");
    assert!(page.contains("it is of another configuration than this run"));
    assert!(!page.contains("NLL of latents (nats)") && !page.contains("id=\"figure-surrogate\""));
    // a run repairs it
    project
        .run(&["run", "tiny.yaml"])
        .expect(0, &["Nothing to do"]);
    assert!(file(&project, "tiny", "report.html").contains("NLL of latents (nats)"));
}

#[test]
fn a_run_that_fails_before_it_starts_changes_nothing() {
    let project = project();
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    let before = contents(&project.path("artifacts/runs/tiny"));
    for (setting, why) in [
        ("train_autoencoder.data.dataset=vectrs", "vectrs"),
        ("train_autoencoder.stesp=3", "did you mean"),
        ("train_autoencoder.data.file=no.h5", "no.h5"),
    ] {
        let wrong = project.run(&["run", "tiny.yaml", "--set", setting]);
        wrong.expect(2, &[why]);
        assert_eq!(contents(&project.path("artifacts/runs/tiny")), before);
    }
    assert_eq!(column(&project, &["list", "--all"], "state"), ["finished"]);
    // if nothing is replaced, the failure is recorded
    let wrong = [
        "--set",
        "name=new",
        "--set",
        "train_autoencoder.data.dataset=vectrs",
    ];
    project
        .run(&[&["run", "tiny.yaml"], &wrong[..]].concat())
        .expect(2, &["vectrs"]);
    assert_eq!(column(&project, &["list"], "state"), ["failed", "finished"]);
    let import = ["import", "features.h5", "--into", "tiny"];
    project
        .run(&import)
        .expect(2, &["`tiny` is the run of an experiment"]);
}

#[test]
fn a_run_that_another_process_works_on_is_not_replaced_under_its_hands() {
    let project = project();
    let long = CONFIG.replace("  steps: 20\n  batch: 16", "  steps: 10000000\n  batch: 16");
    project.write("tiny.yaml", long);
    let mut child = project.spawn(&["-q", "run", "tiny.yaml"]);
    let states = || column(&project, &["list"], "state");
    wait_until("running run", || states() == ["running"]);
    let other = ["run", "tiny.yaml", "--set", "seed=3"];
    project.run(&other).expect(
        2,
        &[
            "is working on it with another configuration",
            "--set name=NAME",
        ],
    );
    assert_eq!(column(&project, &["list", "--all"], "state"), ["running"]);
    signal(&child, "INT");
    child.wait().unwrap();
    assert_eq!(states(), ["stopped"]);
}

#[test]
fn killed_when_its_newest_entry_had_just_become_an_older_one_a_run_goes_on_from_that() {
    let project = project();
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    let [newest, older] = ["tiny", "tiny@1"].map(|n| project.path("artifacts/runs").join(n));
    std::fs::rename(&newest, &older).unwrap();
    assert_eq!(column(&project, &["list"], "name"), ["tiny@1"]);
    project
        .run(&["show", "tiny"])
        .expect(0, &["tiny@1: finished"]);
    project.run(&["clean"]).expect(0, &["nothing to delete"]);
    project
        .run(&["run", "tiny.yaml"])
        .expect(0, &["Nothing to do"]);
    assert_eq!(column(&project, &["list", "--all"], "entry"), ["1", "2"]);
}
