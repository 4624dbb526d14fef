//! Flipped bits and truncated files are detected before anything is used.

use crate::project::Project;
use crate::resuming::outputs;
use crate::tiny::{self, CONFIG};
use rand::{RngExt as _, SeedableRng as _};
use std::path::{Path, PathBuf};

/// Positions tried in each kind of file; `LATENT_ALIGN_FULL=1` (`make faults`) tries 1,000 and 300.
fn count(some: usize, all: usize) -> usize {
    match std::env::var_os("LATENT_ALIGN_FULL") {
        Some(_) => all,
        None => some,
    }
}

fn finished() -> Project {
    let project = tiny::project();
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    project
}

/// One of each kind of file below `folder`: by stage and name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut ahead = vec![folder.to_owned()];
    while let Some(folder) = ahead.pop() {
        for entry in folder.read_dir().unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                ahead.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// Every file of an artifact in the store.
fn of_artifacts(project: &Project) -> Vec<PathBuf> {
    ["pretrain-flow", "train-autoencoder", "estimate-nll"]
        .iter()
        .flat_map(|stage| files(&project.path(&format!("artifacts/{stage}"))))
        .collect()
}

/// Changes `file` by `change`, lets `check` look, and puts it back.
fn changed(file: &Path, change: impl FnOnce(&mut Vec<u8>), check: impl FnOnce()) {
    let whole = std::fs::read(file).unwrap();
    let mut bytes = whole.clone();
    change(&mut bytes);
    std::fs::write(file, bytes).unwrap();
    check();
    std::fs::write(file, whole).unwrap();
}

#[test]
fn one_flipped_bit_in_any_file_of_an_artifact_is_found_before_it_is_used() {
    let project = finished();
    let files = of_artifacts(&project);
    assert!(files.len() > 12, "{files:?}");
    let mut rng = rand_pcg::Pcg64::seed_from_u64(1);
    for number in 0..count(3 * files.len(), 1000) {
        let file = &files[number % files.len()];
        let length = file.metadata().unwrap().len();
        let (at, bit) = (rng.random_range(0..length), rng.random_range(0..8));
        let what = format!("bit {bit} of byte {at} of {}", file.display());
        changed(
            file,
            |bytes| bytes[at as usize] ^= 1 << bit,
            || {
                let plan = project.run(&["plan", "tiny.yaml"]);
                assert_eq!(plan.code, Some(0), "{what}: {plan}");
                assert!(plan.stdout.contains("damaged"), "{what}: {plan}");
                let verified = project.run(&["verify"]);
                assert_eq!(verified.code, Some(1), "{what}: {verified}");
            },
        );
    }
    project
        .run(&["plan", "tiny.yaml"])
        .expect(0, &["up to date"]);
}

#[test]
fn any_file_of_an_artifact_cut_short_is_found_before_it_is_used() {
    let project = finished();
    let files = of_artifacts(&project);
    let mut rng = rand_pcg::Pcg64::seed_from_u64(2);
    for number in 0..count(files.len(), 300) {
        let file = &files[number % files.len()];
        let length = file.metadata().unwrap().len();
        let at = rng.random_range(0..length);
        let what = format!("{at} of {length} bytes of {}", file.display());
        changed(
            file,
            |bytes| bytes.truncate(at as usize),
            || {
                let plan = project.run(&["plan", "tiny.yaml"]);
                assert!(plan.stdout.contains("damaged"), "{what}: {plan}");
                assert_eq!(project.run(&["verify"]).code, Some(1), "{what}");
            },
        );
    }
}

#[test]
fn bit_rot_is_repaired_by_computing_again() {
    let project = finished();
    let before = outputs(&project);
    let flow = project.path("artifacts/runs/tiny/pretrain-flow/flow.safetensors");
    let mut bytes = std::fs::read(&flow).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 4;
    std::fs::write(&flow, bytes).unwrap();
    project.run(&["run", "tiny.yaml"]).expect(
        0,
        &[
            "flow.safetensors: digest",
            "its manifest says",
            "turned out to be unchanged",
        ],
    );
    assert_eq!(outputs(&project), before);
}

#[test]
fn rot_that_keeps_size_and_time_is_found_by_whoever_reads_the_artifact() {
    let project = finished();
    let flow = project.path("artifacts/runs/tiny/pretrain-flow/flow.safetensors");
    let past = std::time::SystemTime::now() - std::time::Duration::from_secs(1000);
    let age = |path: &Path| {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(past).unwrap();
    };
    for file in of_artifacts(&project) {
        age(&file);
    }
    project
        .run(&["run", "tiny.yaml"])
        .expect(0, &["Nothing to do"]); // all digests are known now
    let mut bytes = std::fs::read(&flow).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 4;
    std::fs::write(&flow, bytes).unwrap();
    age(&flow);
    let run = ["run", "tiny.yaml", "--set", "train_autoencoder.steps=21"];
    project.run(&run).expect(
        1,
        &[
            "flow",
            "is damaged and was not used",
            "flow.safetensors: digest",
        ],
    );
    project
        .run(&["verify"])
        .expect(1, &["flow.safetensors: digest"]);
}

#[test]
fn one_flipped_bit_in_an_input_makes_what_was_made_of_it_stale() {
    let project = finished();
    let mut rng = rand_pcg::Pcg64::seed_from_u64(3);
    for number in 0..count(20, 1000) {
        let name = ["features.h5", "vectors.h5"][number % 2];
        let file = project.path(name);
        let length = file.metadata().unwrap().len();
        let (at, bit) = (rng.random_range(0..length), rng.random_range(0..8));
        changed(
            &file,
            |bytes| bytes[at as usize] ^= 1 << bit,
            || {
                let plan = project.run(&["plan", "tiny.yaml"]);
                let what = format!("bit {bit} of byte {at} of {name}: {plan}");
                assert_eq!(plan.code, Some(0), "{what}");
                assert!(plan.stdout.contains("changed, digest"), "{what}");
            },
        );
    }
}

#[test]
fn an_input_cut_short_is_refused_with_its_path_and_what_to_do() {
    let mut rng = rand_pcg::Pcg64::seed_from_u64(4);
    let project = tiny::project();
    let whole = std::fs::read(project.path("features.h5")).unwrap();
    for _ in 0..count(20, 300) {
        let at = rng.random_range(0..whole.len());
        project.write("features.h5", &whole[..at]);
        let run = project.run(&["run", "tiny.yaml"]);
        run.expect(2, &["features.h5"]);
        assert!(outputs(&project).is_empty());
    }
    project.write("features.h5", &whole[..whole.len() / 2]);
    project
        .run(&["run", "tiny.yaml"])
        .expect(2, &["features.h5", "Copy or create it again"]);
}

#[test]
fn the_cache_of_digests_is_only_a_shortcut() {
    let project = finished();
    let cache = project.path("artifacts/.digests.json");
    let config = CONFIG.replace("name: tiny", "name: tiny # again");
    project.write("tiny.yaml", config);
    let length = std::fs::metadata(&cache).map_or(0, |m| m.len());
    let mut rng = rand_pcg::Pcg64::seed_from_u64(5);
    for _ in 0..count(10, 100).min(length as usize) {
        let at = rng.random_range(0..length);
        changed(
            &cache,
            |bytes| bytes[at as usize] ^= 1,
            || {
                project
                    .run(&["plan", "tiny.yaml"])
                    .expect(0, &["up to date"]);
            },
        );
    }
    let _ = std::fs::remove_file(cache);
    project
        .run(&["run", "tiny.yaml"])
        .expect(0, &["Nothing to do"]);
}
