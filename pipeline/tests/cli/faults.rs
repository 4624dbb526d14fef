//! Failing disks: any single write, sync or rename, a full disk, a limit on the size of files. After each
//! failure the store holds the old or the new state, and the next run finishes normally.

use crate::project::{Outcome, Project, output, skipped};
use crate::resuming::{STAGES, outputs};
use crate::tiny;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

const EIO: i32 = Errno::IO.raw_os_error();
const ENOSPC: i32 = Errno::NOSPC.raw_os_error();

/// Every stage, in as few operations as possible.
const CONFIG: &str = "\
name: tiny
checkpoints: {every_steps: 2}
train_classifier:
  data: {file: vectors.h5, dataset: vectors}
  architecture: {kind: dense, widths: [8]}
  features: 4
  steps: 3
  batch: 16
pretrain_flow:
  features: {file: features.h5}
  model: {kind: flow_matching, network: {width: 8, blocks: 1, frequencies: 8}, times: 8}
  steps: 3
  batch: 8
  evaluation_points: 16
  samples: 4
  nll_points: 2
train_autoencoder:
  data: {file: vectors.h5, dataset: vectors}
  architecture: {kind: dense, widths: [8]}
  latent: {width: 2}
  regulariser: {kind: alignment, weight: 0.1, draws: 2}
  steps: 3
  batch: 16
transport:
  model: {kind: flow_matching, network: {width: 8, blocks: 1, frequencies: 8}, times: 8}
  steps: 3
  batch: 8
  tolerance: 1.0e-3
estimate_nll: {points: 8, draws: 192, tolerance: 0.1, box_points: 0, grid_cells: 0, gradient_points: 2, check_points: 2}
evaluate_latents:
  samples: 16
  flow: {network: {width: 8, blocks: 1, frequencies: 8}, steps: 3, batch: 8, times: 8}
";

fn project() -> Project {
    let project = tiny::project();
    project.write("tiny.yaml", CONFIG);
    let labels: Vec<i64> = (0..200).map(|i| i % 3).collect();
    project.add_dataset("vectors.h5", "labels", &[200], &labels);
    std::fs::create_dir(project.path("artifacts")).unwrap();
    project
}

/// What an undisturbed run makes.
fn reference() -> &'static BTreeMap<String, String> {
    static REFERENCE: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    REFERENCE.get_or_init(|| {
        let project = project();
        project.run(&["run", "tiny.yaml"]).expect(0, &[]);
        outputs(&project)
    })
}

/// The library that makes operations fail.
pub fn library() -> &'static Path {
    static LIBRARY: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, library) = LIBRARY.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("faults.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/faults.c");
        let mut compiler = Command::new("cc");
        compiler
            .args(["-O1", "-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(source);
        let compiled = output(compiler.arg("-ldl")).unwrap();
        let errors = String::from_utf8_lossy(&compiled.stderr);
        assert!(compiled.status.success(), "{errors}");
        (folder, library)
    });
    library
}

/// A run of which the library watches what it does below `artifacts`, and intervenes at operation `at`.
fn watched(project: &Project, at: u64) -> Command {
    let mut command = project.command(&["run", "tiny.yaml"]);
    command
        .env("LD_PRELOAD", library())
        .env("FAULT_BELOW", project.path("artifacts"))
        .env("FAULT_AT", at.to_string())
        .env("FAULT_COUNT", project.path("count"));
    command
}

/// A run whose operation number `at` below `artifacts` fails, and the number of operations.
fn run_with_fault(project: &Project, at: u64, errno: i32, stays: bool) -> (Outcome, u64) {
    let mut command = watched(project, at);
    command.env("FAULT_ERRNO", errno.to_string());
    if stays {
        command.env("FAULT_STAYS", "1");
    }
    let outcome = outcome(&mut command);
    let count = std::fs::read_to_string(project.path("count")).unwrap_or_default();
    (outcome, count.parse().unwrap_or(0))
}

/// The operations of an undisturbed run: the number of each operation that changes names or syncs, its kind,
/// and its path; and the number of all operations.
fn operations(project: &Project) -> (Vec<(u64, String, String)>, u64) {
    let log = project.path("log");
    let mut command = watched(project, 0);
    outcome(command.env("FAULT_KILL", "1").env("FAULT_LOG", &log)).expect(0, &[]);
    let log = std::fs::read_to_string(log).unwrap();
    let operations = log.lines().map(|line| {
        let (number, rest) = line.split_once(' ').unwrap();
        let (what, path) = rest.split_once(" /").unwrap_or((rest, ""));
        (number.parse().unwrap(), what.to_owned(), format!("/{path}"))
    });
    let operations = operations.collect();
    let count = std::fs::read_to_string(project.path("count")).unwrap();
    (operations, count.parse().unwrap())
}

fn outcome(command: &mut Command) -> Outcome {
    let done = output(command.stdin(Stdio::null())).unwrap();
    Outcome {
        code: done.status.code(),
        stdout: String::from_utf8(done.stdout).unwrap(),
        stderr: String::from_utf8(done.stderr).unwrap(),
    }
}

fn shell(text: &str) -> bool {
    output(Command::new("sh").arg("-c").arg(text))
        .unwrap()
        .status
        .success()
}

/// A file system of one megabyte, until dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn at(folder: &Path) -> Option<Self> {
        let mount = format!("mount -t tmpfs -o size=1m tmpfs {}", folder.display());
        shell(&mount).then(|| Self(folder.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        shell(&format!("umount -l {}", self.0.display()));
    }
}

/// Runs every stage that comes before `stage`.
fn run_those_before(project: &Project, stage: &str) {
    for before in STAGES.into_iter().take_while(|before| *before != stage) {
        let run = project.run(&["run", "tiny.yaml", "--until", before]);
        run.expect(0, &[]);
    }
}

/// It succeeded or failed with a file's name, without a signal; existing artifacts are intact and equal the
/// reference.
#[track_caller]
fn check_state(project: &Project, outcome: &Outcome, what: &str) {
    match outcome.code {
        Some(0) => {}
        Some(1 | 2) => assert!(
            outcome.stderr.contains("artifacts"),
            "{what}: no file in {outcome}"
        ),
        _ => panic!("{what}: {outcome}"),
    }
    for (name, found) in outputs(project) {
        assert_eq!(Some(&found), reference().get(&name), "{what}: {name}");
    }
    let verified = project.run(&["verify"]);
    assert_eq!(verified.code, Some(0), "{what}: {verified}\n{outcome}");
}

/// The next run gives the same as an undisturbed one, and leaves no leftovers.
#[track_caller]
fn check_recovery(project: &Project, what: &str) {
    let again = project.run(&["run", "tiny.yaml"]);
    assert_eq!(again.code, Some(0), "{what}: {again}");
    assert_eq!(&outputs(project), reference(), "{what}");
    check_leftovers(project, what, |_| false);
}

/// What is hidden in a store and no leftover.
const KEPT: [&str; 2] = [".digests.json", ".index"];

/// No hidden entry is left except those of the store and those that `may_stay`.
#[track_caller]
fn check_leftovers(project: &Project, what: &str, may_stay: impl Fn(&str) -> bool) {
    let folders = STAGES.iter().copied().chain(["", "runs", "runs/tiny"]);
    for folder in folders {
        let mut left = project.entries(&format!("artifacts/{folder}"));
        left.retain(|name| name.starts_with('.') && !KEPT.contains(&&**name) && !may_stay(name));
        assert!(left.is_empty(), "{what}: {folder}: {left:?}");
    }
}

/// One in this many operations; `LATENT_ALIGN_FULL=1` (`make faults`) takes every one.
fn stride(count: u64, some: u64) -> u64 {
    match std::env::var_os("LATENT_ALIGN_FULL") {
        Some(_) => 1,
        None => (count / some).max(1),
    }
}

#[test]
fn any_operation_may_fail_and_the_store_is_before_or_after() {
    let whole = project();
    let (outcome, count) = run_with_fault(&whole, 0, EIO, false);
    outcome.expect(0, &[]);
    assert_eq!(&outputs(&whole), reference());
    assert!(count > 100, "{count} operations");
    let stride = stride(count, 12);
    let (mut failed, mut at) = (0, 1 + count % stride);
    let mut tried = 0;
    while at <= count {
        let project = project();
        let (outcome, _) = run_with_fault(&project, at, EIO, false);
        let what = format!("operation {at} of {count}");
        failed += u64::from(outcome.code != Some(0));
        check_state(&project, &outcome, &what);
        check_recovery(&project, &what);
        at += stride;
        tried += 1;
    }
    assert!(failed > 0, "not one of {tried} failures mattered");
    eprintln!("{tried} of {count} operations failed in turn, {failed} runs with them");
}

#[test]
fn a_disk_that_fills_up_at_any_moment_is_an_error_that_names_the_file() {
    let (_, count) = run_with_fault(&project(), 0, ENOSPC, false);
    let stride = stride(count, 8);
    for at in (1..=count).step_by(stride as usize) {
        let project = project();
        let (outcome, _) = run_with_fault(&project, at, ENOSPC, true);
        let what = format!("full from operation {at} of {count}");
        check_state(&project, &outcome, &what);
        if outcome.code == Some(1) {
            outcome.expect(1, &["No space left on device"]);
        }
        check_recovery(&project, &what);
    }
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_in_every_stage_and_no_signal() {
    for stage in STAGES {
        let project = project();
        run_those_before(&project, stage);
        let had = outputs(&project);
        // less than the largest file it will write
        let made = reference().iter().find(|(name, _)| name.starts_with(stage));
        let sizes = made
            .unwrap()
            .1
            .lines()
            .filter_map(|line| line.trim().strip_prefix("\"size\": "));
        let largest: u64 = sizes
            .map(|size| size.trim_end_matches(',').parse::<u64>().unwrap())
            .max()
            .unwrap();
        let limit = format!("prlimit --pid $$ --fsize={}", largest - 1);
        let mut command = project.command_after(&limit, &["run", "tiny.yaml", "--until", stage]);
        let run = outcome(&mut command);
        run.expect(1, &["File too large", &format!("artifacts/{stage}/")]);
        let has = outputs(&project);
        assert!(
            had.iter()
                .all(|(name, digests)| has.get(name) == Some(digests)),
            "{stage}"
        );
        assert!(!has.keys().any(|name| name.starts_with(stage)), "{stage}");
        check_state(&project, &run, stage);
        check_recovery(&project, stage);
    }
}

#[test]
fn a_full_file_system_is_an_error_in_every_stage_and_then_there_is_room() {
    for stage in STAGES {
        let project = project();
        let Some(_mounted) = Mounted::at(&project.path("artifacts")) else {
            skipped("no right to mount a small file system");
            return;
        };
        run_those_before(&project, stage);
        let had = outputs(&project);
        let filler = project.path("artifacts/filler");
        // all but three pages
        shell(&format!(
            "cat /dev/zero > {0} 2>/dev/null; truncate -s -12288 {0}",
            filler.display()
        ));
        let run = project.run(&["run", "tiny.yaml", "--until", stage]);
        run.expect(1, &["No space left on device", "artifacts"]);
        assert_eq!(outputs(&project), had, "{stage}");
        std::fs::remove_file(filler).unwrap();
        check_state(&project, &run, stage);
        check_recovery(&project, stage);
    }
}

/// Kills a run at operation `at`; the next run, or `gc` and then the next run, leaves no leftovers.
fn kill_at(at: u64, what: &str) {
    let project = project();
    let killed = outcome(watched(&project, at).env("FAULT_KILL", "1"));
    if killed.code == Some(0) {
        return; // it did one operation less than the other
    }
    assert_eq!(killed.code, None, "{what}: {killed}");
    for (name, found) in outputs(&project) {
        assert_eq!(Some(&found), reference().get(&name), "{what}: {name}");
    }
    if at.is_multiple_of(2) {
        let gone = project.run(&["clean", "--delete"]);
        gone.expect(0, &[]);
        // the run must still be able to resume from its checkpoints
        let may_stay = |name: &str| {
            [".training-", ".running", ".progress.json", ".lock-tiny"]
                .iter()
                .any(|kept| name.starts_with(kept))
        };
        check_leftovers(&project, &format!("{what}: {gone}"), may_stay);
        let verified = project.run(&["verify"]);
        assert_eq!(verified.code, Some(0), "{what}: {verified}");
    }
    check_recovery(&project, what);
    let verified = project.run(&["verify"]);
    assert_eq!(verified.code, Some(0), "{what}: {verified}");
}

/// Detects: a folder removed under its own name, a temporary file that is known by its age alone.
#[test]
fn a_run_killed_at_any_operation_leaves_nothing_that_stays() {
    let (operations, count) = operations(&project());
    let stride = stride(count, 8);
    for at in (1..=count).step_by(stride as usize) {
        kill_at(at, &format!("killed at operation {at} of {count}"));
    }
    // most removals are those of checkpoints, and each folder has few files
    let removals: Vec<_> = operations
        .iter()
        .filter(|o| o.1.starts_with("remove"))
        .collect();
    assert!(removals.len() > 20, "{} removals", removals.len());
    let stride = match std::env::var_os("LATENT_ALIGN_FULL") {
        Some(_) => 1,
        None => removals.len() / 8,
    };
    for (at, _, path) in removals.into_iter().step_by(stride) {
        kill_at(*at, &format!("killed at operation {at}, removing {path}"));
    }
}

/// Detects: only the last of several new folders is synced into its parent; the lock is given back before what
/// it protects is cleared away.
#[test]
fn new_folders_are_synced_and_checkpoints_go_before_the_lock() {
    let (operations, _) = operations(&project());
    let is = |what: &'static str| move |o: &&(u64, String, String)| o.1 == what;
    for (number, _, folder) in operations.iter().filter(is("folder")) {
        let name = folder.rsplit('/').next().unwrap();
        if name.starts_with('.') || folder.contains("/.tmp-") {
            continue; // it gets its name later
        }
        let above = Path::new(folder).parent().unwrap();
        let mut later = operations
            .iter()
            .filter(is("sync"))
            .filter(|o| o.0 > *number);
        assert!(
            later.any(|o| Path::new(&o.2) == above),
            "{folder} may get lost"
        );
    }
    let mut trainings = 0;
    for (number, _, path) in operations.iter().filter(is("rename")) {
        let Some((folder, fingerprint)) = path.split_once("/.training-") else {
            continue;
        };
        if fingerprint.contains('/') {
            continue; // one checkpoint of several
        }
        let lock = format!("{folder}/.lock-{fingerprint}");
        let given_back = operations.iter().find(|o| o.1 == "remove" && o.2 == lock);
        assert!(given_back.is_some_and(|back| back.0 > *number), "{path}");
        trainings += 1;
    }
    assert!(trainings >= 3, "{trainings} trainings");
}
