//! `sweep`: processes, failures, signals and deaths.

use crate::project::{Project, signal, wait_until};
use crate::tiny::project;
use std::time::Duration;

const SWEEP: &str = "\
name: jobs
base: tiny.yaml
list:
  - {name: t, set: {estimate_nll.points: 8}}
grid:
  train_autoencoder.regulariser.weight: [0.1, 0.2, 0.3, 0.4]
columns:
  - \"train-autoencoder: held-out mean squared error\"
  - \"estimate-nll: encoder latents: mean NLL, ODE (nats)\"
";

fn with(text: &str) -> Project {
    let project = project();
    project.write("jobs.yaml", text);
    project
}

fn table(project: &Project) -> String {
    std::fs::read_to_string(project.path("artifacts/sweeps/jobs/table.md")).unwrap_or_default()
}

/// The table of a sweep that nothing disturbed.
fn undisturbed() -> String {
    let project = with(SWEEP);
    project.run(&["sweep", "jobs.yaml"]).expect(0, &["4 of 4"]);
    table(&project)
}

#[test]
fn trials_at_once_give_the_same_table_and_share_what_they_read() {
    let project = with(SWEEP);
    let swept = project.run(&["sweep", "jobs.yaml", "--jobs", "2"]);
    swept.expect(0, &["which several trials read", "(4 of 4)"]);
    assert_eq!(project.entries("artifacts/pretrain-flow").len(), 1);
    assert_eq!(project.entries("artifacts/train-autoencoder").len(), 4);
    assert_eq!(table(&project), undisturbed());
    // Every trial is an experiment that can be run by hand.
    let by_hand = "artifacts/sweeps/jobs/trials/jobs.t.weight-0.1.seed0.yaml";
    project.run(&["run", by_hand]).expect(0, &["Nothing to do"]);
    let log = project.path("artifacts/sweeps/jobs/logs/jobs.t.weight-0.4.seed0.log");
    assert!(
        std::fs::read_to_string(log)
            .unwrap()
            .contains("estimate-nll: done in")
    );
}

#[test]
fn a_sweep_killed_at_any_moment_ends_with_the_same_table() {
    let whole = undisturbed();
    for milliseconds in [150, 400, 700] {
        let project = with(SWEEP);
        let mut child = project.spawn(&["sweep", "jobs.yaml", "--jobs", "2"]);
        std::thread::sleep(Duration::from_millis(milliseconds));
        signal(&child, "KILL");
        child.wait().unwrap();
        // Its trials end with it.
        wait_until("end of the trials", || {
            let runs = project.entries("artifacts/runs");
            let attended = |run: &String| {
                project
                    .path(&format!("artifacts/runs/{run}/.running"))
                    .exists()
            };
            !runs.iter().any(attended)
        });
        project
            .run(&["sweep", "jobs.yaml", "--jobs", "2"])
            .expect(0, &[]);
        assert_eq!(table(&project), whole, "killed after {milliseconds} ms");
        assert_eq!(project.entries("artifacts/pretrain-flow").len(), 1);
    }
}

#[test]
fn two_sweeps_at_once_compute_each_stage_once() {
    let project = with(SWEEP);
    let other = SWEEP
        .replace("name: jobs", "name: other")
        .replace("[0.1, 0.2, 0.3, 0.4]", "[0.3, 0.4, 0.5]");
    project.write("other.yaml", other);
    let sweeps = ["jobs.yaml", "other.yaml", "jobs.yaml"]
        .map(|file| project.spawn(&["sweep", file, "--jobs", "2"]));
    for sweep in sweeps {
        let output = sweep.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
    }
    assert_eq!(project.entries("artifacts/pretrain-flow").len(), 1);
    assert_eq!(project.entries("artifacts/train-autoencoder").len(), 5);
    assert_eq!(table(&project), undisturbed());
}

#[test]
fn a_failure_ends_the_sweep_only_where_that_is_asked_for() {
    let wrong = SWEEP.replace(
        "grid:",
        "  - {name: wide, set: {train_autoencoder.latent.width: 3}}\ngrid:",
    );
    let wrong = wrong.replace(
        "list:\n  - {name: t",
        "list:\n  - {name: wider, set: {train_autoencoder.latent.width: 4}}\n  - {name: t",
    );
    let project = with(&wrong);
    let swept = project.run(&["sweep", "jobs.yaml", "--fail-fast"]);
    swept.expect(
        1,
        &[
            "jobs.wider.weight-0.1.seed0 failed: ",
            "--fail-fast: the other trials are stopped",
            "1 of 12 trials failed",
        ],
    );
    assert!(!swept.stderr.contains("(4 of"), "{swept}");
    let swept = project.run(&["sweep", "jobs.yaml"]);
    swept.expect(
        1,
        &[
            "8 of 12 trials failed",
            "| t.weight-0.4 ",
            "latent.width: found 3, expected 2",
        ],
    );
    let status = project.run(&["sweep", "status", "jobs"]);
    status.expect(
        0,
        &[
            "12 trials: 8 failed, 4 finished",
            "jobs.wide.weight-0.4.seed0",
        ],
    );
}

#[test]
fn a_stage_that_several_trials_read_fails_once() {
    let wrong = SWEEP.replace(
        "estimate_nll.points: 8",
        "pretrain_flow.optimiser.learning_rate: 1.0e+30",
    );
    let project = with(&wrong);
    let swept = project.run(&["sweep", "jobs.yaml"]);
    swept.expect(
        1,
        &[
            "4 of 4 trials failed",
            "what it reads failed in jobs.t.weight-0.1.seed0: ",
        ],
    );
    assert_eq!(swept.stderr.matches("seed0 failed: ").count(), 1, "{swept}");
}

#[test]
fn a_sweep_in_progress_can_be_watched() {
    let project = with(&SWEEP.replace(
        "estimate_nll.points: 8",
        "train_autoencoder.steps: 100000000",
    ));
    project
        .run(&["sweep", "status", "jobs"])
        .expect(2, &["no sweep of that name"]);
    let child = project.spawn(&["sweep", "jobs.yaml"]);
    let mut seen = String::new();
    wait_until("a trial in training", || {
        seen = project.run(&["sweep", "status", "jobs.yaml"]).stdout;
        seen.contains("train-autoencoder: training")
    });
    assert!(seen.contains("jobs.t.weight-0.1.seed0  running"), "{seen}");
    assert!(seen.contains("4 trials: 1 running, 3 waiting"), "{seen}");
    signal(&child, "INT");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    let status = project.run(&["sweep", "status", "jobs"]);
    status.expect(0, &["4 trials: 1 stopped, 3 waiting"]);
    assert!(!status.stdout.contains("training"), "{status}");
}

#[test]
fn a_run_stops_where_it_is_told_to() {
    let project = project();
    project
        .run(&["run", "tiny.yaml", "--until", "train-autoencoder"])
        .expect(0, &["train-autoencoder: done"]);
    assert_eq!(project.entries("artifacts/train-autoencoder").len(), 1);
    assert_eq!(project.entries("artifacts/estimate-nll").len(), 0);
    let record = std::fs::read_to_string(project.path("artifacts/runs/tiny/run.json")).unwrap();
    assert!(record.contains("\"state\": \"stopped\""), "{record}");
    project
        .run(&["run", "tiny.yaml", "--until", "estimate-nil"])
        .expect(2, &["did you mean `estimate-nll`?"]);
    project
        .run(&["run", "tiny.yaml"])
        .expect(0, &["estimate-nll: done"]);
    let record = std::fs::read_to_string(project.path("artifacts/runs/tiny/run.json")).unwrap();
    assert!(record.contains("\"state\": \"finished\""), "{record}");
}
