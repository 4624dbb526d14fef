//! `run --quick`, and what a terminal shows at the end of a run.

use crate::project::Project;
use crate::tiny::{CONFIG, project};

const MARK: &str = "quick run: not results";

fn text(project: &Project, path: &str) -> String {
    std::fs::read_to_string(project.path(path)).unwrap()
}

/// Fails if one of the places that show figures does not say that they are not results.
#[test]
fn a_quick_run_is_marked_wherever_it_is_shown() {
    let project = project();
    project.write("tiny.yaml", CONFIG.replace("steps: 20", "steps: 400"));
    let plan = project.run(&["plan", "tiny.yaml", "--quick"]);
    plan.expect(0, &["tiny.quick (tiny.yaml), quick run: not results"]);
    project
        .run(&["run", "tiny.yaml", "--quick"])
        .expect(0, &[MARK]);
    let flow = text(
        &project,
        "artifacts/runs/tiny.quick/pretrain-flow/manifest.json",
    );
    assert!(
        flow.contains("\"quick\": true") && flow.contains("\"steps\": 20,"),
        "{flow}"
    );
    for file in ["config.yaml", "summary.md", "report.html"] {
        let text = text(&project, &format!("artifacts/runs/tiny.quick/{file}"));
        assert!(text.contains(MARK), "{file}");
    }
    assert!(text(&project, "artifacts/runs/tiny.quick/run.json").contains("\"quick\": true"));
    for looked in [
        &["list"][..],
        &["list", "artifacts"],
        &["show", "tiny.quick"],
    ] {
        project.run(looked).expect(0, &[MARK]);
    }
}

/// Fails if a full run reads what a quick one made, although every size was already small.
#[test]
fn a_full_run_uses_nothing_of_a_quick_one() {
    let project = project();
    let until = ["--until", "pretrain-flow"];
    let run = |more: &[&str]| project.run(&[&["run", "tiny.yaml"], more].concat());
    run(&[&until[..], &["--quick"]].concat()).expect(0, &[MARK]);
    let quick = project.entries("artifacts/pretrain-flow").remove(0);
    let full = run(&until);
    full.expect(0, &["never run"]);
    assert!(!full.stdout.contains(MARK), "{full}");
    assert_eq!(project.entries("artifacts/pretrain-flow").len(), 2);
    run(&[&until[..], &["--quick"]].concat()).expect(0, &["Nothing to do"]);
    let given = format!("name: given\nflow: \"{quick}\"\nsample: {{}}\n");
    project.write("given.yaml", given);
    project
        .run(&["plan", "given.yaml"])
        .expect(2, &["of a quick run, which has no results"]);
    project
        .run(&["plan", "given.yaml", "--quick"])
        .expect(0, &[]);
}

/// Detects: the small sizes of a quick run computed again as a full run, in the folder of the quick one.
#[test]
fn the_file_of_a_quick_run_is_not_that_of_a_full_one() {
    let project = project();
    project.write(
        "small.yaml",
        crate::tiny::CONFIG.replace("name: tiny", "name: tiny.quick"),
    );
    let plan = project.run(&["plan", "small.yaml"]);
    plan.expect(
        2,
        &[
            "name: found tiny.quick",
            "with --quick, or give it another name",
        ],
    );
    project
        .run(&["plan", "small.yaml", "--quick"])
        .expect(0, &[]);
}

/// Fails if the answer is below the first screen.
#[test]
fn the_end_of_a_run_is_its_headline_a_few_figures_and_two_paths() {
    let project = project();
    let ran = project.run_as_it_is(&["run", "tiny.yaml", "--seed", "3"]);
    ran.expect(0, &["NLL of latents (nats)", "Coverage of features"]);
    assert!(ran.stdout.lines().count() < 25, "{ran}");
    assert!(ran.stdout.contains("\ntiny: "), "{ran}");
    assert!(
        ran.stdout
            .contains("every figure: latent-align show tiny\n"),
        "{ran}"
    );
    assert!(
        ran.stdout
            .ends_with("\nartifacts/runs/tiny\nartifacts/runs/tiny/report.html\n"),
        "{ran}"
    );
    assert!(text(&project, "artifacts/runs/tiny/run.json").contains("\"seed\": 3"));
}

#[test]
fn the_file_of_a_sweep_is_called_one() {
    let project = project();
    project.write(
        "sweep.yaml",
        "name: s\nbase: tiny.yaml\ngrid: {pretrain_flow.steps: [1, 2]}\n",
    );
    for command in ["plan", "run", "config"] {
        project
            .run(&[command, "sweep.yaml"])
            .expect(2, &["the file of a sweep", "latent-align sweep"]);
    }
}

/// Fails if memory is taken before a size is looked at: the process aborts, or stalls the machine.
#[test]
fn a_size_beyond_memory_is_refused_before_anything_is_computed() {
    let project = project();
    for (set, key) in [
        (
            "pretrain_flow.evaluation_points=100000000000",
            "pretrain_flow.evaluation_points: found",
        ),
        (
            "pretrain_flow.samples=100000000000",
            "pretrain_flow.samples: found",
        ),
        (
            "estimate_nll.box_points=100000000000",
            "estimate_nll.box_points: found",
        ),
    ] {
        project
            .run(&["run", "tiny.yaml", "--set", set])
            .expect(2, &[key, "GiB that are free"]);
    }
    let wide = [
        "generate",
        "gaussian",
        "--out",
        "a.h5",
        "--count",
        "5",
        "--param",
        "width=100000000000",
    ];
    project
        .run(&wide)
        .expect(2, &["target.width: found", "GiB that are free"]);
    let count = "1000000000000000";
    project
        .run(&["generate", "rings", "--out", "long.h5", "--count", count])
        .expect(2, &["count: found 1000000000000000, which need", "of disk"]);
    assert!(!project.path("long.h5").exists());
    assert!(!project.path("artifacts/pretrain-flow").exists());
}

/// Fails if such a name ends in a panic.
#[test]
fn names_that_are_not_text_are_no_panic() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let project = project();
    let odd = |bytes: &[u8]| project.path("").join(OsStr::from_bytes(bytes));
    std::fs::write(odd(b"a\xff.yaml"), CONFIG).unwrap();
    std::fs::create_dir(odd(b"d\xff")).unwrap();
    std::fs::write(odd(b"d\xff/tiny.yaml"), CONFIG).unwrap();
    let run = |file: &[u8]| {
        let mut command = project.command(&["run"]);
        command.arg(odd(file)).args(["--until", "pretrain-flow"]);
        crate::project::output(&mut command).unwrap()
    };
    let done = run(b"a\xff.yaml");
    assert_eq!(
        done.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let import = || {
        std::fs::write(odd(b"f\xff.pt"), "weights").unwrap();
        let mut command = project.command(&["import"]);
        crate::project::output(command.arg(odd(b"f\xff.pt"))).unwrap()
    };
    for refused in [run(b"d\xff/tiny.yaml"), import()] {
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(
            said.contains("is not UTF-8, expected one that is; rename"),
            "{said}"
        );
    }
}
