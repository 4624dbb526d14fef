//! Features in several files: `file:` takes a list or a pattern.

use crate::project::{Outcome, Project};
use crate::resuming::{kill, start};
use crate::tiny::{CONFIG, noise};

const ROWS: usize = 40_000;
const WIDTH: usize = 8;

/// Only the flow; with `memory`, in MiB, the rows do not fit and are streamed.
fn config(name: &str, file: &str, memory: usize) -> String {
    let flow = CONFIG.split("train_autoencoder:").next().unwrap();
    let flow = flow.replace("name: tiny", &format!("name: {name}"));
    let flow = flow.replace("{file: features.h5}", &format!("{{file: {file}}}"));
    format!("{flow}  memory_mib: {memory}\n")
}

/// The same rows in one file and in several, of different lengths.
fn project() -> Project {
    let project = Project::new();
    project.write_features("one.h5", "features", ROWS, WIDTH, noise);
    let mut start = 0;
    for (number, rows) in [(2, 7_000), (9, 20_001), (10, 12_999)] {
        let name = format!("part-{number}.h5");
        project.write_features(&name, "features", rows, WIDTH, |row, j| {
            noise(start + row, j)
        });
        start += rows;
    }
    assert_eq!(start, ROWS);
    project
}

fn flow(project: &Project, run: &str) -> Vec<u8> {
    let path = format!("artifacts/runs/{run}/pretrain-flow/flow.safetensors");
    std::fs::read(project.path(&path)).unwrap()
}

/// Fails if the order of files, of rows, or of batches differs.
#[test]
fn a_flow_has_the_same_bits_as_one_of_a_single_file() {
    let project = project();
    let several = ["'part-*.h5'", "[part-2.h5, part-9.h5, part-10.h5]"];
    for (memory, several) in [256, 1].into_iter().zip(several) {
        let flow_of = |file: &str, name: &str| {
            project.write("a.yaml", config(name, file, memory));
            project.run(&["run", "a.yaml"]).expect(0, &[]);
            flow(&project, name)
        };
        let one = flow_of("one.h5", "one");
        assert!(
            flow_of(several, "several") == one,
            "{several}, {memory} MiB"
        );
    }
}

#[test]
fn a_file_that_changes_or_is_missing_is_named() {
    let project = project();
    project.write("a.yaml", config("a", "'part-*.h5'", 256));
    project.run(&["run", "a.yaml"]).expect(0, &[]);
    project.run(&["plan", "a.yaml"]).expect(0, &["up to date"]);
    project.write_features("part-9.h5", "features", 20_001, WIDTH, |row, j| {
        noise(row, j) + 1.0
    });
    project.run(&["plan", "a.yaml"]).expect(
        0,
        &["features.file[1]", "part-9.h5 changed", "1 stage would run"],
    );

    std::fs::remove_file(project.path("part-9.h5")).unwrap();
    project.write("b.yaml", config("b", "[part-2.h5, part-9.h5]", 256));
    project.run(&["run", "b.yaml"]).expect(2, &["part-9.h5"]);
    let none = ["pretrain_flow.features.file: found no file that matches q-*.h5"];
    project.write("b.yaml", config("b", "'q-*.h5'", 256));
    project.run(&["run", "b.yaml"]).expect(2, &none);
    project.write("b.yaml", config("b", "[]", 256));
    project
        .run(&["run", "b.yaml"])
        .expect(2, &["an empty list", "b.yaml:3"]);
    project.write_features("part-9.h5", "features", 10, WIDTH - 1, noise);
    project.write("b.yaml", config("b", "'part-*.h5'", 256));
    let other = ["part-9.h5, expected items like those of", "part-2.h5"];
    project.run(&["run", "b.yaml"]).expect(2, &other);
}

/// Fails if a shell's limit of open files is that of the program.
#[test]
fn there_may_be_more_files_than_a_shell_allows_open() {
    let project = Project::new();
    for number in 0..120 {
        let name = format!("part-{number}.h5");
        project.write_features(&name, "features", 20, WIDTH, |row, j| {
            noise(20 * number + row, j)
        });
    }
    project.write("a.yaml", config("a", "'part-*.h5'", 256));
    let mut command = project.command_after("ulimit -Sn 100", &["run", "a.yaml"]);
    let run = crate::project::output(&mut command).unwrap();
    Outcome::of(run).expect(0, &[]);
}

/// Fails if a resumed training takes batches of other rows, or looks at other files.
#[test]
fn a_killed_training_on_several_files_resumes_to_the_same_bits() {
    let project = project();
    let many = |name: &str| {
        let config = config(name, "'part-*.h5'", 1).replace("steps: 20\n", "steps: 150\n");
        format!("{config}checkpoints: {{every_steps: 1}}\n")
    };
    project.write("whole.yaml", many("whole"));
    project.run(&["run", "whole.yaml"]).expect(0, &[]);
    let whole = flow(&project, "whole");
    std::fs::remove_dir_all(project.path("artifacts")).unwrap();
    project.write("tiny.yaml", many("tiny"));
    kill(start(&project, "pretrain-flow"));
    project
        .run(&["run", "tiny.yaml"])
        .expect(0, &["resuming from the checkpoint"]);
    assert!(flow(&project, "tiny") == whole);
}

/// Fails if `init` reads one of several files only, or its configuration names other files.
#[test]
fn a_first_experiment_takes_several_files_and_a_pattern() {
    let project = project();
    for files in [
        &["part-*.h5"][..],
        &["part-2.h5", "part-9.h5", "part-10.h5"],
    ] {
        let line = [&["init"], files, &["--out", "part.yaml", "--force"]].concat();
        project.run(&line).expect(0, &["part.yaml"]);
        let written = std::fs::read_to_string(project.path("part.yaml")).unwrap();
        let named = match files {
            [pattern] => format!("\"{pattern}\""),
            several => format!("[{}]", several.join(", ")),
        };
        assert!(written.contains(&format!("{{file: {named}, ")), "{written}");
        assert!(written.contains("40000 rows of width 8"), "{written}");
        project
            .run(&["plan", "part.yaml"])
            .expect(0, &["pretrain-flow"]);
    }
    project
        .run(&["init", "part-*.h5", "--flow", "words-16"])
        .expect(2, &["found 3 files, expected one"]);
    project
        .run(&["init", "q-*.h5"])
        .expect(2, &["no file that matches q-*.h5"]);
}
