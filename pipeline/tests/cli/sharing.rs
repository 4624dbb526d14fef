//! A store that several users work in.

use crate::project::{Project, output};
use crate::resuming::{STAGES, outputs};
use crate::tiny;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in folder.read_dir().unwrap().flatten() {
        let path = entry.path();
        match path.symlink_metadata().unwrap() {
            meta if meta.is_dir() => found.extend(files(&path)),
            meta if meta.is_file() => found.push(path),
            _ => {}
        }
    }
    found
}

/// Runs the experiment with the file creation mask `mask`.
fn run_with_mask(project: &Project, mask: u32) {
    let mut command = project.command_after(&format!("umask {mask:o}"), &["run", "tiny.yaml"]);
    let done = output(&mut command).unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
}

/// Detects: weights as their library writes them, for their owner alone.
#[test]
fn every_file_follows_the_mask_of_who_writes_it() {
    for mask in [0o002, 0o027, 0o077] {
        let project = tiny::project();
        run_with_mask(&project, mask);
        let all = files(&project.path("artifacts"));
        assert!(
            all.iter().any(|f| f.ends_with("flow.safetensors")),
            "{all:?}"
        );
        for file in all {
            let mode = file.metadata().unwrap().mode() & 0o777;
            assert_eq!(mode, 0o666 & !mask, "{} with {mask:o}", file.display());
        }
    }
}

fn change_mode(path: &Path, mode: &str) {
    let changed = output(Command::new("chmod").args(["-R", mode]).arg(path));
    assert!(changed.unwrap().status.success());
}

/// The artifacts and the files that they are.
fn inodes(project: &Project) -> Vec<(PathBuf, u64)> {
    let all = STAGES.iter().filter_map(|stage| {
        let folder = project.path(&format!("artifacts/{stage}"));
        folder.is_dir().then(|| files(&folder))
    });
    let all = all
        .flatten()
        .map(|file| (file.clone(), file.metadata().unwrap().ino()));
    let mut all: Vec<_> = all.collect();
    all.sort();
    all
}

/// Detects: a file that another user may not read.
#[test]
fn what_one_user_has_made_another_goes_on_from() {
    let project = tiny::project();
    run_with_mask(&project, 0o000);
    let before = inodes(&project);
    let Some(again) = project.run_as_another_user(&["run", "tiny.yaml"]) else {
        return;
    };
    again.expect(0, &["Nothing to do"]);
    let more = ["run", "tiny.yaml", "--set", "estimate_nll.points=9"];
    let more = project.run_as_another_user(&more).unwrap();
    more.expect(0, &["up to date"]);
    assert_eq!(project.entries("artifacts/pretrain-flow").len(), 1);
    let kept: Vec<_> = (inodes(&project).into_iter())
        .filter(|file| before.contains(file))
        .collect();
    assert_eq!(kept, before);
    for look in [
        &["verify"][..],
        &["list"],
        &["list", "artifacts"],
        &["clean"],
    ] {
        project.run_as_another_user(look).unwrap().expect(0, &[]);
    }
}

/// Detects: `permission denied` that counts as damage.
#[test]
fn what_another_user_may_not_read_is_not_damaged() {
    for culprit in ["flow.safetensors", "manifest.json", ""] {
        let project = tiny::project();
        run_with_mask(&project, 0o000);
        let before = outputs(&project);
        let flow = project
            .path("artifacts/runs/tiny/pretrain-flow")
            .canonicalize()
            .unwrap();
        let culprit = if culprit.is_empty() {
            flow
        } else {
            flow.join(culprit)
        };
        let nobody = std::fs::Permissions::from_mode(0o000);
        let usual = culprit.metadata().unwrap().permissions();
        std::fs::set_permissions(&culprit, nobody).unwrap();
        let Some(run) = project.run_as_another_user(&["run", "tiny.yaml"]) else {
            return;
        };
        run.expect(
            2,
            &[
                "pretrain-flow",
                "cannot be read",
                "Permission denied",
                "chmod",
            ],
        );
        let verify = project.run_as_another_user(&["verify"]).unwrap();
        verify.expect(1, &["unreadable", "Permission denied"]);
        let list = project.run_as_another_user(&["list"]).unwrap();
        list.expect(0, &["tiny"]);
        let artifacts = project.run_as_another_user(&["list", "artifacts"]).unwrap();
        artifacts.expect(0, &[]);
        if !culprit.ends_with("flow.safetensors") {
            list.expect(0, &["cannot be read"]);
            artifacts.expect(0, &["cannot be read"]);
        }
        for said in [run, verify, list, artifacts] {
            let said = said.to_string();
            assert!(
                !said.to_lowercase().contains("damaged"),
                "{}: {said}",
                culprit.display()
            );
        }
        std::fs::set_permissions(&culprit, usual).unwrap();
        assert_eq!(outputs(&project), before);
    }
}

/// Detects: a record that cannot be opened counts as damaged, or as none.
#[test]
fn a_run_that_another_user_may_not_read_is_left_to_its_owner() {
    let project = tiny::project();
    run_with_mask(&project, 0o000);
    let record = project.path("artifacts/runs/tiny/run.json");
    let before = std::fs::read(&record).unwrap();
    change_mode(&record, "000");
    let other = ["run", "tiny.yaml", "--set", "seed=3"];
    let Some(run) = project.run_as_another_user(&other) else {
        return;
    };
    run.expect(1, &["run.json", "Permission denied"]);
    assert!(!run.stderr.contains("training"), "{run}");
    let list = project.run_as_another_user(&["list"]).unwrap();
    list.expect(0, &["unreadable", "Permission denied"]);
    let verify = project.run_as_another_user(&["verify"]).unwrap();
    verify.expect(1, &["unreadable", "run.json"]);
    assert!(
        !format!("{list}{verify}").contains("DAMAGED"),
        "{list}{verify}"
    );
    assert_eq!(std::fs::read(&record).unwrap(), before);
    // the whole folder of runs
    change_mode(&project.path("artifacts/runs"), "000");
    for look in [&["list"][..], &["verify"]] {
        let looked = project.run_as_another_user(look).unwrap();
        looked.expect(2, &["runs", "Permission denied"]);
    }
}
