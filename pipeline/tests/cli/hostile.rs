//! Hostile inputs and stores.

use crate::destinations::fifo;
use crate::project::{output, skipped};
use crate::resuming::outputs;
use crate::tiny;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An HDF5 file of the stages' tests.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../stages/tests/fixtures")
        .join(name)
}

/// Commands that read the path `P`, and its replacement.
const READERS: [&str; 26] = [
    "run P",
    "plan P",
    "config P",
    "sweep P",
    "sweep status P",
    "run tiny.yaml --set pretrain_flow.features.file=P",
    "plan tiny.yaml --set train_autoencoder.data.file=P",
    "run tiny.yaml --artifacts P",
    "plan tiny.yaml --artifacts P",
    "ls --artifacts P",
    "gc --artifacts P",
    "verify --artifacts P",
    "features scan P",
    "inspect P",
    "inspect P --artifacts P",
    "verify P",
    "init P",
    "init features.h5 --data P --out new.yaml",
    "import P",
    "report P",
    "export safetensors P",
    "show P",
    "compare P",
    "diff P P",
    "metrics P",
    "best P",
];

#[test]
fn special_files_are_no_surprise_where_a_path_is_read() {
    let project = tiny::project();
    std::fs::create_dir(project.path("folder")).unwrap();
    symlink("nowhere", project.path("dangling")).unwrap();
    symlink("loop", project.path("loop")).unwrap();
    symlink("/dev/null", project.path("null")).unwrap();
    symlink("/dev/zero", project.path("zero")).unwrap();
    let _socket = UnixListener::bind(project.path("socket")).unwrap();
    fifo(&project.path("pipe"));
    project.write("empty", "");
    for reader in READERS {
        for special in [
            "folder", "dangling", "loop", "null", "zero", "socket", "pipe", "empty",
        ] {
            // A configuration may come through a pipe, which is waited for.
            let is_text = ["run P", "plan P", "config P", "sweep P", "sweep status P"];
            if special == "pipe" && is_text.contains(&reader) {
                continue;
            }
            let line = reader.replace('P', special);
            let arguments: Vec<&str> = line.split(' ').collect();
            let (code, said, memory) = crate::fuzzing::run(project.command(&arguments));
            // A folder may be a store without anything in it, and a link to nothing one that is made.
            assert!(
                code.is_some_and(|code| code <= 2) && memory < crate::fuzzing::LARGEST,
                "{line}: exit {code:?} (none: a signal, or too slow), {memory} KiB\n{said}"
            );
            assert!(
                code == Some(0) || said.contains(special),
                "{line}: not named\n{said}"
            );
        }
    }
}

#[test]
fn a_configuration_comes_through_a_pipe() {
    let project = tiny::project();
    fifo(&project.path("pipe"));
    let config = project.spawn(&["config", "pipe"]);
    std::fs::write(project.path("pipe"), tiny::CONFIG).unwrap();
    let config = config.wait_with_output().unwrap();
    let whole = project.run(&["config", "tiny.yaml"]).stdout;
    assert_eq!(String::from_utf8(config.stdout).unwrap(), whole);
}

/// Detects: a wait without end for the first byte.
#[test]
fn a_pipe_that_nobody_writes_to_is_refused() {
    let project = tiny::project();
    fifo(&project.path("pipe"));
    project
        .run(&["run", "pipe"])
        .expect(2, &["pipe: is a named pipe that no program writes to"]);
}

/// Detects: a wait, deaf to SIGTERM, for a pipe that nobody writes to.
#[test]
fn a_pipe_that_a_configuration_names_is_refused() {
    let project = tiny::project();
    fifo(&project.path("pipe.yaml"));
    project.write("based.yaml", "name: based\nbase: pipe.yaml\n");
    project.write(
        "swept.yaml",
        "name: swept\nbase: pipe.yaml\nlist:\n  - {name: a}\n",
    );
    let named = "estimate_nll.unaligned=pipe.yaml";
    for arguments in [
        &["plan", "based.yaml"][..],
        &["sweep", "swept.yaml"],
        &["plan", "tiny.yaml", "--set", named],
    ] {
        project
            .run(arguments)
            .expect(2, &["pipe.yaml", "is a named pipe; expected a YAML file"]);
    }
}

/// A run on `dataset` of a fixture is refused before anything is trained.
fn refused(file: &str, dataset: &str, parts: &[&str]) {
    let project = tiny::project();
    let file = format!("pretrain_flow.features.file={}", fixture(file).display());
    let dataset = format!("pretrain_flow.features.dataset={dataset}");
    let run = project.run(&["run", "tiny.yaml", "--set", &file, "--set", &dataset]);
    run.expect(2, parts);
    assert!(outputs(&project).is_empty());
}

#[test]
fn a_file_that_makes_the_reader_open_another_is_refused() {
    refused(
        "refused.h5",
        "external_link",
        &["refused.h5", "link into another file"],
    );
    refused(
        "refused.h5",
        "external_storage",
        &["refused.h5", "external files", "refused"],
    );
    refused(
        "refused.h5",
        "virtual",
        &["refused.h5", "virtual", "refused"],
    );
}

#[test]
fn a_filter_that_is_not_known_is_refused() {
    refused(
        "unknown_filter.h5",
        "features",
        &["unknown_filter.h5", "32015", "gzip"],
    );
}

#[test]
fn a_file_that_crashes_libhdf5_is_refused() {
    let project = tiny::project();
    let file = project.path("features.h5");
    let mut bytes = std::fs::read(&file).unwrap();
    // the tree of the group's links: what the first node is called, and where it is
    let tree = bytes.windows(4).position(|w| w == b"TREE").unwrap();
    bytes[tree + 24..tree + 40].fill(0xff);
    std::fs::write(&file, bytes).unwrap();
    let damaged = ["features.h5", "damaged", "again"];
    project.run(&["run", "tiny.yaml"]).expect(2, &damaged);
    project.run(&["show", "features.h5"]).expect(2, &damaged);
    assert!(outputs(&project).is_empty());
}

#[test]
fn a_file_that_libhdf5_reads_for_ever_is_refused() {
    let project = tiny::project();
    let generate = "features generate rings --out features.h5 --count 300 --force";
    let generate: Vec<&str> = generate.split(' ').collect();
    project.run(&generate).expect(0, &[]);
    let file = project.path("features.h5");
    let mut bytes = std::fs::read(&file).unwrap();
    // the first object in the heap of text is free space of no size
    let heap = bytes.windows(4).position(|w| w == b"GCOL").unwrap();
    bytes[heap + 16..heap + 32].fill(0);
    std::fs::write(&file, bytes).unwrap();
    let inspected = project.run(&["show", "features.h5"]);
    inspected.expect(2, &["features.h5", "damaged", "does not terminate"]);
}

#[test]
fn a_dataset_without_rows_is_refused() {
    refused(
        "refused.h5",
        "empty",
        &["refused.h5", "[0, 3]", "expected at least one row"],
    );
}

#[test]
fn numbers_that_do_not_fit_are_refused() {
    // f64 beyond f32 would be read as an infinity
    refused("refused.h5", "too_large", &["refused.h5", "too_large"]);
}

#[test]
fn rows_that_are_not_finite_are_dropped_where_asked_for_and_counted() {
    let project = tiny::project();
    project.write_features("features.h5", "features", 400, 2, |row, column| match row {
        7 | 300 => f32::NAN,
        _ => tiny::noise(row, column),
    });
    project
        .run(&["run", "tiny.yaml"])
        .expect(2, &["features.h5", "2 rows", "row 7", "drop"]);
    let drop = [
        "run",
        "tiny.yaml",
        "--set",
        "pretrain_flow.features.non_finite=drop",
    ];
    project.run(&drop).expect(0, &[]);
    let scan = project.path("artifacts/runs/tiny/pretrain-flow/scan.json");
    let scan = std::fs::read_to_string(scan).unwrap();
    let scan: serde_json::Value = serde_json::from_str(&scan).unwrap();
    assert!(scan.to_string().contains("\"dropped_rows\":2"), "{scan}");
}

#[test]
fn an_output_that_is_a_link_is_not_used() {
    let project = tiny::project();
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    let before = outputs(&project);
    let flow = project
        .path("artifacts/runs/tiny/pretrain-flow")
        .canonicalize()
        .unwrap();
    let weights = flow.join("flow.safetensors");
    std::fs::rename(&weights, project.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(project.path("elsewhere"), &weights).unwrap();
    project
        .run(&["plan", "tiny.yaml"])
        .expect(0, &["flow.safetensors is not a regular file"]);
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    assert_eq!(outputs(&project), before);
    // the artifact itself
    std::fs::rename(&flow, project.path("moved")).unwrap();
    std::os::unix::fs::symlink(project.path("moved"), &flow).unwrap();
    project
        .run(&["plan", "tiny.yaml"])
        .expect(0, &["it is a link"]);
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    assert!(!flow.is_symlink() && project.path("moved/flow.safetensors").exists());
    // the stage's folder
    let stage = project.path("artifacts/pretrain-flow");
    std::fs::rename(&stage, project.path("stage")).unwrap();
    std::os::unix::fs::symlink(project.path("stage"), &stage).unwrap();
    project
        .run(&["run", "tiny.yaml"])
        .expect(2, &["found a link, expected a folder"]);
}

#[test]
fn a_store_that_cannot_be_written_can_be_looked_at() {
    let project = tiny::project();
    project.write(
        "sweep.yaml",
        "name: s\nbase: tiny.yaml\ngrid:\n  train_autoencoder.regulariser.weight: [0.1]\n",
    );
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    project.run(&["sweep", "sweep.yaml"]).expect(0, &[]);
    let store = project.path("artifacts");
    let mount = format!(
        "mount --bind {0} {0} && mount -o remount,ro,bind {0}",
        store.display()
    );
    let shell = |text: &str| output(Command::new("sh").arg("-c").arg(text)).unwrap();
    if !shell(&mount).status.success() {
        shell(&format!("umount -l {}", store.display()));
        skipped("no right to mount a folder read-only");
        return;
    }
    let looks = [
        &["plan", "tiny.yaml"][..],
        &["list", "artifacts"],
        &["list"],
        &["show", "tiny"],
        &["verify"],
        &["show", "tiny", "--curves"],
        &["clean"],
        &["show", "s"],
    ];
    let looked: Vec<_> = looks
        .iter()
        .map(|arguments| project.run(arguments))
        .collect();
    let nothing_to_do = project.run(&["run", "tiny.yaml"]);
    let run = project.run(&["run", "tiny.yaml", "--set", "seed=4"]);
    let unmounted = shell(&format!("umount -l {}", store.display()));
    assert!(unmounted.status.success());
    for look in looked {
        look.expect(0, &[]);
    }
    for run in [nothing_to_do, run] {
        run.expect(2, &["cannot write there", "choose a writable folder"]);
        assert!(!run.stderr.contains("training"), "{run}");
    }
}
