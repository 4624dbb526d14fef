//! `gc` must not delete entries that may be needed, or that this program did not create.

use crate::listing::{artifact, project};
use crate::project::{Outcome, Project, output};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

/// Everything below `folder`, links not followed.
fn everything(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(everything(&path));
        }
        found.push(path);
    }
    found.retain(|path| !path.ends_with(".index"));
    found.sort();
    found
}

/// Three runs, and an artifact that nothing refers to.
fn with_a_loose_artifact() -> Project {
    let project = project();
    artifact(&project, "pretrain-flow", "dd00000000000001", 7, "", "");
    project
}

/// `gc` with and without `--delete` refuses, names `culprit`, and deletes nothing.
fn refuses(project: &Project, culprit: &str, run: impl Fn(&[&str]) -> Outcome) {
    let before = everything(&project.path("artifacts"));
    for arguments in [
        &["clean"][..],
        &["clean", "--delete"],
        &["clean", "--delete", "--damaged"],
    ] {
        run(arguments).expect(2, &[culprit, "nothing may be deleted"]);
        assert_eq!(everything(&project.path("artifacts")), before, "{culprit}");
    }
}

/// Detects: an error of the file system that counts as an empty folder.
#[test]
fn while_something_that_may_refer_to_artifacts_cannot_be_read_nothing_is_deleted() {
    for culprit in [
        "runs",
        "runs/digits-a",
        "runs/digits-a/run.json",
        "pretrain-flow",
        "train-autoencoder",
        "train-autoencoder/bb00000000000001/manifest.json",
    ] {
        let project = with_a_loose_artifact();
        let place = project.path(&format!("artifacts/{culprit}"));
        let away = project.path("unmounted");
        std::fs::rename(&place, &away).unwrap();
        symlink(project.path("nowhere"), &place).unwrap();
        refuses(&project, culprit, |arguments| project.run(arguments));
        // once the disk is back, everything is as before
        std::fs::remove_file(&place).unwrap();
        std::fs::rename(&away, &place).unwrap();
        project.run(&["clean", "--delete"]).expect(0, &["deleted"]);
        let left = project.entries("artifacts/pretrain-flow");
        assert_eq!(left, ["aa00000000000001"], "{culprit}");
    }
}

/// Detects: `permission denied` that counts as nothing being there.
#[test]
fn what_another_user_may_not_read_is_no_reason_to_delete() {
    for culprit in [
        "runs",
        "runs/digits-a",
        "runs/digits-a/run.json",
        "train-autoencoder",
        "train-autoencoder/bb00000000000001",
        "train-autoencoder/bb00000000000001/manifest.json",
    ] {
        let project = with_a_loose_artifact();
        let all = project.path("artifacts");
        // anyone may delete here
        let opened = output(Command::new("chmod").args(["-R", "a+rwX"]).arg(&all));
        assert!(opened.unwrap().status.success());
        let mode = std::fs::Permissions::from_mode;
        let place = project.path(&format!("artifacts/{culprit}"));
        std::fs::set_permissions(&place, mode(0o000)).unwrap();
        let Some(_) = project.run_as_another_user(&["clean"]) else {
            return;
        };
        refuses(&project, culprit, |arguments| {
            project.run_as_another_user(arguments).unwrap()
        });
    }
}

/// Detects: links and records of runs behind a link are not looked at.
#[test]
fn a_run_that_lies_on_another_disk_keeps_its_artifacts() {
    let project = with_a_loose_artifact();
    for (what, away) in [("runs/moons", "one"), ("runs", "all")] {
        let place = project.path(&format!("artifacts/{what}"));
        std::fs::rename(&place, project.path(away)).unwrap();
        symlink(project.path(away), place).unwrap();
    }
    project.run(&["clean", "--delete"]).expect(0, &["deleted"]);
    assert_eq!(
        project.entries("artifacts/pretrain-flow"),
        ["aa00000000000001"]
    );
    assert_eq!(project.entries("artifacts/train-autoencoder").len(), 3);
}

/// Detects: a record that does not parse counts as one that refers to nothing.
#[test]
fn what_a_run_of_a_damaged_record_may_refer_to_stays_unless_damage_is_named() {
    let project = with_a_loose_artifact();
    let checkpoints = project.path("artifacts/pretrain-flow/.training-ee00000000000001");
    std::fs::create_dir(&checkpoints).unwrap();
    project.write("artifacts/runs/digits-a/run.json", "{");
    project
        .run(&["clean", "--delete"])
        .expect(0, &["stays without --damaged", "runs/digits-a"]);
    let loose = project.path("artifacts/pretrain-flow/dd00000000000001");
    assert!(loose.exists() && checkpoints.exists());
    project
        .run(&["clean", "--delete", "--damaged"])
        .expect(0, &["deleted"]);
    assert!(!loose.exists() && !checkpoints.exists());
}

/// Detects: a run of an older version, whose artifact is no longer read, keeps everything loose from being deleted.
#[test]
fn a_run_of_an_older_version_keeps_its_artifact_and_no_other() {
    let project = with_a_loose_artifact();
    let stage = project.path("artifacts/pretrain-flow");
    let of_run = stage.join("aa00000000000001");
    std::fs::rename(of_run.join("manifest.json"), of_run.join("manifest.yaml")).unwrap();
    project.run(&["clean", "--delete"]).expect(0, &["deleted"]);
    assert!(of_run.exists() && !stage.join("dd00000000000001").exists());
}

/// Makes a file that has not been touched for hours.
fn old(path: &Path) {
    std::fs::write(path, "").unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let hours_ago = SystemTime::now() - Duration::from_secs(4 * 3600);
    file.set_modified(hours_ago).unwrap();
}

/// Detects: any name or path in which `tmp-` occurs counts as ours.
#[test]
fn only_names_that_this_program_makes_go() {
    let project = project();
    std::fs::rename(project.path("artifacts"), project.path("tmp-store")).unwrap();
    std::fs::rename(
        project.path("tmp-store/runs/moons"),
        project.path("tmp-store/runs/moons.tmp-1"),
    )
    .unwrap();
    std::fs::create_dir_all(project.path("tmp-store/sweeps/s/trials")).unwrap();
    let mut kept = Vec::new();
    for folder in [
        "",
        "pretrain-flow",
        "runs",
        "runs/moons.tmp-1",
        "sweeps/s",
        "sweeps/s/trials",
        "pretrain-flow/aa00000000000001",
    ] {
        for name in [
            ".running",
            ".digests.json",
            ".progress.json",
            ".notes",
            ".nfs0001",
            ".tmp-mine",
            ".old-mine",
            ".lock-mine",
            ".probe",
            ".notes.tmp-1",
            "tmp-1",
        ] {
            kept.push(project.path("tmp-store").join(folder).join(name));
        }
    }
    let ours = [
        ".digests.json.tmp-1-2-3",
        "pretrain-flow/.probe.tmp-1-2-3",
        "runs/moons.tmp-1/.run.json.tmp-1-2-3",
        "runs/moons.tmp-1/.timings.svg.tmp-1-2-3",
        "sweeps/s/.table.md.tmp-1-2-3",
        "sweeps/s/trials/.s.yaml.tmp-1-2-3",
    ];
    let ours = ours.map(|name| project.path("tmp-store").join(name));
    kept.iter().chain(&ours).for_each(|path| old(path));
    let gone = project.run(&["--artifacts", "tmp-store", "clean", "--delete"]);
    gone.expect(0, &["deleted"]);
    let still = |paths: &[PathBuf]| paths.iter().filter(|path| path.exists()).count();
    assert_eq!(still(&kept), kept.len(), "{gone}");
    assert_eq!(still(&ours), 0, "{gone}");
}
