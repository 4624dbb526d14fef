//! Runs killed at random moments, and resumed: nothing is lost, and results have the same bits.

use crate::project::{Project, start, wait_until};
use crate::resuming::{STAGES, outputs};
use crate::tiny::{self, CONFIG};
use rand::{RngExt as _, SeedableRng as _};
use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Kills: `LATENT_ALIGN_KILLS` of them (`make torture` asks for 200).
fn kills() -> u64 {
    let asked = std::env::var("LATENT_ALIGN_KILLS").ok();
    asked.map_or(20, |n| n.parse().expect("LATENT_ALIGN_KILLS is a number"))
}

fn project() -> Project {
    let project = tiny::project();
    let config = CONFIG.replace("steps: 20\n", "steps: 60\n");
    project.write(
        "tiny.yaml",
        format!("{config}checkpoints: {{every_steps: 9}}\n"),
    );
    project
}

/// Starts a run, lets it work for `time`, and kills it; false if it had already finished.
fn run_for(project: &Project, time: Duration) -> bool {
    let mut command = project.command(&["run", "tiny.yaml"]);
    let mut child = start(command.stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
    std::thread::sleep(time);
    child.kill().unwrap();
    !child.wait().unwrap().success()
}

#[test]
fn a_run_killed_at_any_moment_is_resumed_to_the_same_bits() {
    let whole = project();
    let started = Instant::now();
    whole.run(&["run", "tiny.yaml"]).expect(0, &[]);
    let duration = started.elapsed();
    let expected = outputs(&whole);
    let seed: u64 = std::env::var("LATENT_ALIGN_SEED").map_or_else(
        |_| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.unwrap().as_nanos() as u64
        },
        |seed| seed.parse().expect("LATENT_ALIGN_SEED is a number"),
    );
    let mut rng = rand_pcg::Pcg64::seed_from_u64(seed);
    let (mut killed, mut kept) = (0, 0);
    while killed < kills() {
        let project = project();
        // sometimes killed again while it resumes
        loop {
            let time = duration.mul_f64(rng.random::<f64>());
            let before = outputs(&project);
            killed += u64::from(run_for(&project, time));
            let after = outputs(&project);
            let lost: Vec<&String> = before.keys().filter(|k| !after.contains_key(*k)).collect();
            assert!(lost.is_empty(), "seed {seed}: lost {lost:?}");
            kept += after.len();
            for (name, found) in &after {
                assert_eq!(Some(found), expected.get(name), "seed {seed}: {name}");
            }
            if rng.random::<f64>() < 0.6 {
                break;
            }
        }
        let last = project.run(&["run", "tiny.yaml"]);
        assert_eq!(last.code, Some(0), "seed {seed}: {last}");
        assert_eq!(outputs(&project), expected, "seed {seed}");
        project.run(&["verify"]).expect(0, &[]);
        for stage in STAGES {
            let left = project.entries(&format!("artifacts/{stage}"));
            assert!(
                left.iter().all(|name| !name.starts_with('.')),
                "seed {seed}: {left:?}"
            );
        }
    }
    eprintln!("{killed} kills with seed {seed}: {kept} artifacts were kept, none lost");
}

#[test]
fn a_killed_holder_of_a_lock_frees_it_for_those_that_wait() {
    let project = project();
    let forever = ["run", "tiny.yaml", "--set", "pretrain_flow.steps=100000000"];
    let mut first = project.spawn(&forever);
    let folder = project.path("artifacts/pretrain-flow");
    wait_until("training", || {
        assert_eq!(first.try_wait().unwrap(), None, "the run ended");
        crate::project::starting_with(&folder, ".training-").is_some()
    });
    let mut second = project.spawn(&forever);
    let run = project.path("artifacts/runs/tiny");
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(second.try_wait().unwrap(), None, "it waits for the first");
    assert!(run.exists());
    first.kill().unwrap();
    first.wait().unwrap();
    let name = |path: std::path::PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    wait_until("second", || {
        let found = crate::project::starting_with(&folder, ".tmp-").map(name);
        found.is_some_and(|name| name.ends_with(&format!("-{}", second.id())))
    });
    crate::project::signal(&second, "INT");
    let output = second.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("waiting for process"), "{stderr}");
    assert!(
        stderr.contains("resuming from the checkpoint of step"),
        "{stderr}"
    );
}

/// Sweeps that overlap, `count` at once: each stage is computed once, and all succeed.
fn sweeps_at_once(count: usize) {
    let project = project();
    for number in 0..count {
        let weights = ["0.1, 0.2", "0.2, 0.3"][number % 2];
        project.write(
            &format!("sweep{number}.yaml"),
            format!(
                "name: sweep{number}\nbase: tiny.yaml\ngrid:\n  \
                 train_autoencoder.regulariser.weight: [{weights}]\n"
            ),
        );
    }
    let files: Vec<String> = (0..count).map(|n| format!("sweep{n}.yaml")).collect();
    let sweeps: Vec<_> = files
        .iter()
        .map(|file| project.spawn(&["sweep", file]))
        .collect();
    let mut computed: BTreeMap<String, usize> = BTreeMap::new();
    for sweep in sweeps {
        let output = sweep.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        count_done(&stderr, &mut computed); // what trials share
    }
    for entry in project.path("artifacts/sweeps").read_dir().unwrap() {
        for log in logs(&entry.unwrap().path()) {
            count_done(&std::fs::read_to_string(log).unwrap(), &mut computed);
        }
    }
    // one flow; an autoencoder and its likelihoods for each of three weights
    let expected = [
        ("pretrain-flow", 1),
        ("train-autoencoder", 3),
        ("estimate-nll", 3),
    ];
    for (stage, times) in expected {
        assert_eq!(
            project.entries(&format!("artifacts/{stage}")).len(),
            times,
            "{stage}"
        );
        assert_eq!(computed.get(stage), Some(&times), "{computed:?}");
    }
    project.run(&["verify"]).expect(0, &[]);
}

/// Counts the stages that a log says were computed.
fn count_done(log: &str, computed: &mut BTreeMap<String, usize>) {
    for line in log.lines().filter(|line| line.contains(": done in")) {
        let stage = line.split(": done in").next().unwrap();
        let stage = stage.rsplit(' ').next().unwrap();
        *computed.entry(stage.to_owned()).or_default() += 1;
    }
}

fn logs(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(logs(&path));
        } else if path.extension().is_some_and(|e| e == "log") {
            found.push(path);
        }
    }
    found
}

#[test]
fn two_sweeps_at_once_compute_each_stage_once() {
    sweeps_at_once(2);
}

#[test]
fn eight_sweeps_at_once_compute_each_stage_once() {
    sweeps_at_once(8);
}
