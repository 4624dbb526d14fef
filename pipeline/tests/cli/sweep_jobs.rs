//! `sweep`: processes, failures, signals and deaths.

use crate::project::{Project, output, signal, skipped, start, wait_until};
use crate::tiny::project;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
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
  - \"estimate-nll: test latents: mean NLL, ODE (nats)\"
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

/// Fails if the process of a trial gets one device in place of those that share its training.
#[test]
fn a_trial_runs_on_the_devices_of_its_experiment() {
    let project = with(
        "name: jobs\nbase: tiny.yaml\nset: {estimate_nll: null, train_autoencoder: null}\n\
         list:\n  - {name: one}\n  - {name: two, set: {devices: [cpu, cpu], pretrain_flow.steps: 10}}\n",
    );
    project
        .run(&["sweep", "jobs.yaml"])
        .expect(0, &["(2 of 2)"]);
    for (name, device) in [("one", "cpu"), ("two", "cpu, cpu")] {
        let record = format!("artifacts/runs/jobs.{name}.seed0/run.json");
        let record = std::fs::read(project.path(&record)).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        assert_eq!(record["device"], device, "{name}");
    }
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
    let status = project.run(&["show", "jobs"]);
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
        .run(&["show", "jobs"])
        .expect(2, &["jobs: no run, sweep"]);
    let child = project.spawn(&["sweep", "jobs.yaml"]);
    let mut seen = String::new();
    wait_until("a trial in training", || {
        seen = project.run(&["show", "jobs.yaml"]).stdout;
        seen.contains("train-autoencoder: training")
    });
    assert!(seen.contains("jobs.t.weight-0.1.seed0  running"), "{seen}");
    assert!(seen.contains("4 trials: 1 running, 3 waiting"), "{seen}");
    signal(&child, "INT");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    let status = project.run(&["show", "jobs"]);
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

/// A library with which the processes of trials stop themselves at the start, until they are sent
/// SIGCONT.
const STOP_AT_START: &str = r#"
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
__attribute__((constructor)) static void stop(void) {
    const char *parent = getenv("LATENT_ALIGN_PARENT");
    if (parent && atol(parent) == getppid()) raise(SIGSTOP);
}
"#;

/// A sweep by the program at `program` whose trials stop themselves when they start.
fn sweep_of_stopped_trials(project: &Project, program: &str, more: &[&str]) -> Child {
    project.write("stop.c", STOP_AT_START);
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o", "stop.so", "stop.c"]);
    let compiled = output(compiler.current_dir(project.path("."))).unwrap();
    assert!(compiled.status.success(), "{compiled:?}");
    let mut sweep = Command::new(program);
    sweep
        .args(["sweep", "jobs.yaml"])
        .args(more)
        .current_dir(project.path("."))
        .env("LD_PRELOAD", project.path("stop.so"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    start(&mut sweep).unwrap()
}

/// The processes that `parent` started, each with its state: `T` stopped, `Z` ended.
fn children(parent: &Child) -> Vec<(String, char)> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = entries.filter_map(|e| std::fs::read_to_string(e.path().join("stat")).ok());
    let mut found = Vec::new();
    for stat in stats {
        // The name, in parentheses, may hold anything.
        let (number, rest) = stat.split_once(" (").unwrap();
        let mut rest = rest.rsplit_once(") ").unwrap().1.split(' ');
        let state = rest.next().unwrap().chars().next().unwrap();
        if rest.next() == Some(&parent.id().to_string()) {
            found.push((number.to_owned(), state));
        }
    }
    found
}

fn send(name: &str, process: &str) {
    let mut kill = Command::new("sh");
    output(kill.arg("-c").arg(format!("kill -{name} {process}"))).unwrap();
}

#[test]
fn trials_that_end_in_the_moment_of_a_failure_count() {
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() < 2) {
        skipped("one processor runs one trial at a time");
        return;
    }
    // The flow is there already, so that the two trials are all that runs.
    let project = with(
        "\
name: jobs
base: tiny.yaml
list:
  - {name: wrong, set: {train_autoencoder.latent.width: 4}}
  - {name: right, set: {estimate_nll.points: 9}}
columns: [\"estimate-nll: test latents: points\"]
",
    );
    let flow = ["run", "tiny.yaml", "--until", "pretrain-flow"];
    project.run(&flow).expect(0, &[]);
    let program = env!("CARGO_BIN_EXE_latent-align");
    let sweep = sweep_of_stopped_trials(&project, program, &["--jobs", "2", "--fail-fast"]);
    let both_are = |state: char| {
        let found = children(&sweep);
        found.len() == 2 && found.iter().all(|child| child.1 == state)
    };
    wait_until("two trials", || both_are('T'));
    signal(&sweep, "STOP");
    for (trial, _) in children(&sweep) {
        send("CONT", &trial);
    }
    wait_until("end of both while the sweep does not look", || {
        both_are('Z')
    });
    signal(&sweep, "CONT");
    let swept = sweep.wait_with_output().unwrap();
    let (said, printed) = (
        String::from_utf8(swept.stderr).unwrap(),
        String::from_utf8(swept.stdout).unwrap(),
    );
    assert_eq!(swept.status.code(), Some(1), "{said}");
    assert!(said.contains("1 of 2 trials failed"), "{said}");
    let row = printed.lines().find(|line| line.starts_with("| right"));
    assert!(row.is_some_and(|row| row.contains("| 8 ")), "{printed}");
}

#[test]
fn a_sweep_whose_program_is_replaced_goes_on_with_its_own() {
    let project = with(SWEEP);
    let program: PathBuf = project.path("program");
    std::fs::copy(env!("CARGO_BIN_EXE_latent-align"), &program).unwrap();
    let mut sweep = sweep_of_stopped_trials(&project, &program.to_string_lossy(), &[]);
    wait_until("a trial", || children(&sweep).iter().any(|c| c.1 == 'T'));
    project.write("rebuilt", "not even a program");
    std::fs::rename(project.path("rebuilt"), &program).unwrap();
    let mut ended = None;
    wait_until("end of the sweep", || {
        for (trial, _) in children(&sweep).iter().filter(|c| c.1 == 'T') {
            send("CONT", trial);
        }
        ended = sweep.try_wait().unwrap();
        ended.is_some()
    });
    assert_eq!(ended.unwrap().code(), Some(0));
    assert_eq!(table(&project), undisturbed());
}
