//! Commands in documents: this program accepts them, the Makefile has their targets, and the commands for a
//! newcomer run as written.

use super::{Document, current, read, root};
use crate::converting::npy;
use crate::importing::foreign_flow;
use crate::project::{Outcome, Project, output};
use crate::starting::TINY;
use crate::tiny::{self, noise};
use std::path::Path;
use std::process::Command;

/// `line` in a shell that finds the binary under its name.
fn shell(project: &Project, line: &str) -> Outcome {
    let binary = Path::new(env!("CARGO_BIN_EXE_latent-align"));
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", binary.parent().unwrap().display());
    let mut command = Command::new("sh");
    command
        .args(["-c", line])
        .env("PATH", path)
        .env_remove("LATENT_ALIGN_ARTIFACTS")
        .env_remove("LATENT_ALIGN_LOG")
        .current_dir(project.path("."));
    Outcome::of(output(&mut command).unwrap())
}

/// Lines of `code` without comments; those that end in a backslash together with the next.
fn lines(code: &str) -> Vec<String> {
    let code = code.replace("\\\n", " ");
    let lines = code.lines().map(|l| l.split(" #").next().unwrap().trim());
    lines.filter(|l| !l.is_empty()).map(str::to_owned).collect()
}

/// Every command of `document` that starts with `program`: lines of its shell blocks, and code in backticks
/// without placeholders.
fn commands(document: &Document, program: &str) -> Vec<String> {
    let blocks = document.blocks();
    let shown = blocks.iter().filter(|b| b.language == "sh");
    let shown = shown.flat_map(|b| lines(&b.code));
    let is_whole = |span: &String| {
        let values = span.split(' ').map(|word| word.rsplit('=').next().unwrap());
        let is_place = |word: &str| word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase());
        let mut words = values.flat_map(|value| value.split(['/', '.']));
        !span.contains(['[', '<']) && !span.contains("...") && !words.any(is_place)
    };
    let said = document.spans().into_iter().filter(is_whole);
    let program = format!("{program} ");
    shown
        .chain(said)
        .filter(|c| c.starts_with(&program))
        .collect()
}

#[test]
fn every_command_of_the_documents_is_one_that_this_program_accepts() {
    let project = Project::new();
    let mut count = 0;
    for document in current() {
        for command in commands(&document, "latent-align") {
            if command.starts_with("latent-align serve") {
                continue; // only in builds for remote devices
            }
            // A bare command name in a sentence lacks its arguments.
            let is_name = command.split(' ').count() == 2;
            let more = if is_name { " --help" } else { "" };
            let done = shell(&project, &format!("{command}{more}"));
            let is_usage = done.stderr.contains("Usage:") || !matches!(done.code, Some(0..=3));
            assert!(!is_usage, "{}: {command}\n{done}", document.name());
            count += 1;
        }
    }
    assert!(count > 30, "{count}");
}

/// The commands of a page of help.
fn listed(help: &str) -> Vec<&str> {
    let lines = help.lines().skip_while(|l| *l != "Commands:").skip(1);
    let lines = lines.take_while(|l| !l.is_empty());
    let names: Vec<&str> = lines
        .filter_map(|l| l.get(10..)?.split_whitespace().next())
        .collect();
    assert!(names.len() > 15, "{help}");
    names
}

#[test]
fn every_subcommand_stands_in_a_document() {
    let help = Project::new().run(&["--help"]).stdout;
    let names = listed(&help);
    let documents = current();
    for name in names {
        let command = format!("latent-align {name}");
        let is_there = documents.iter().any(|d| d.text.contains(&command));
        assert!(is_there, "no document shows `{command}`");
    }
}

/// Fails if the Makefile puts the binary elsewhere than the documents say.
#[test]
fn the_binary_is_where_the_documents_say() {
    let makefile = read("Makefile");
    assert!(makefile.contains("\nBINARY = $(TARGET)/latent-align\n"));
    for name in ["README.md", "docs/setup.md", "CONTRIBUTING.md"] {
        let text = read(name);
        assert!(text.contains("target/latent-align"), "{name}");
        assert!(!text.contains("target/debug"), "{name}");
    }
}

#[test]
fn every_make_command_of_the_documents_has_its_target_variables_and_files() {
    let makefile = read("Makefile");
    let has_target = |name: &str| {
        let rule = format!("{name}:");
        makefile.lines().any(|l| l.starts_with(&rule))
    };
    let mut count = 0;
    for document in current() {
        for command in commands(&document, "make") {
            let at = format!("{}: {command}", document.name());
            let mut words = command.split_whitespace().skip(1);
            let target = words.next().unwrap();
            assert!(has_target(target), "{at}: the Makefile has no {target}");
            for (name, value) in words.filter_map(|w| w.split_once('=')) {
                if !name.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
                    continue; // within a quoted value
                }
                let used = format!("({name})");
                assert!(makefile.contains(&used), "{at}: the Makefile has no {name}");
                if value.starts_with("configs/") {
                    assert!(root().join(value).exists(), "{at}: no such file");
                }
            }
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}

fn readme() -> Document {
    current().swap_remove(0)
}

/// The commands of the README's section `title`.
fn section(title: &str) -> Vec<String> {
    let section = Document {
        path: "README.md".into(),
        text: readme().section(title),
    };
    let [block] = &section.blocks()[..] else {
        panic!("{title}: expected one block");
    };
    lines(&block.code)
}

/// As in the README, except for the sizes of trainings.
#[test]
fn the_commands_for_data_of_your_own_run() {
    let project = Project::new();
    project.write_features("my-features.h5", "features", 400, 6, noise);
    let images: Vec<f32> = (0..200 * 64).map(|i| noise(i, 1)).collect();
    project.write_dataset("my-images.h5", "images", &[200, 1, 8, 8], &images);
    let commands = section("Your own data");
    let [init, shipped, quick, plan, run] = &commands[..] else {
        panic!("expected five commands: {commands:?}");
    };
    shell(&project, init).expect(
        0,
        &[
            "my-features.yaml: written",
            quick.split("  ").next().unwrap(),
        ],
    );
    shell(&project, shipped).expect(0, &["my-images.yaml: written"]);
    shell(&project, quick).expect(0, &["quick run: not results", "report.html"]);
    shell(&project, plan).expect(0, &["3 stages would run"]);
    let small: String = TINY.iter().map(|s| format!(" --set '{s}'")).collect();
    shell(&project, &format!("{run}{small}")).expect(0, &["report.html"]);
}

/// As in the README, in a folder whose files have the names of the shipped ones and small trainings.
#[test]
fn the_six_commands_to_sweep_and_inspect_run() {
    let project = tiny::project();
    std::fs::create_dir_all(project.path("configs/sweeps")).unwrap();
    let config = tiny::CONFIG
        .replace("name: tiny", "name: digits")
        .replace("file: ", "file: ../");
    project.write("configs/digits.yaml", config);
    project.write(
        "configs/sweeps/weight.yaml",
        "name: weight\nbase: ../digits.yaml\n\
         grid:\n  train_autoencoder.regulariser.weight: [0.1, 0.2]\n\
         objective: {figure: \"train-autoencoder: held-out mean squared error\"}\n",
    );
    project
        .run(&["run", "configs/digits.yaml"])
        .expect(0, &["# digits"]);
    let commands = section("Sweep and inspect");
    assert_eq!(commands.len(), 6, "{commands:?}");
    for command in commands {
        let done = shell(&project, &command);
        assert_eq!(done.code, Some(0), "{command}\n{done}");
    }
    let report = project.path("artifacts/sweeps/weight/report.html");
    assert!(report.exists());
}

/// As in the pages, except for the sizes of trainings.
#[test]
fn the_example_of_every_page_of_help_runs() {
    let project = Project::new();
    project.write_features("my-features.h5", "features", 400, 2, noise);
    let images: Vec<f32> = (0..200 * 64).map(|i| noise(i, 1)).collect();
    project.write_dataset("my-images.h5", "images", &[200, 1, 8, 8], &images);
    project.write("their-flow.safetensors", foreign_flow());
    project.write("my-array.npy", npy("<f4", "(3, 2)", &[0; 24]));
    let config = tiny::CONFIG
        .replace("name: tiny", "name: digits")
        .replace("{file: features.h5}", "{file: my-features.h5}")
        .replace(
            "{file: vectors.h5, dataset: vectors}",
            "{file: my-images.h5, dataset: images}",
        );
    project.write("digits.yaml", config);
    project.write(
        "my-sweep.yaml",
        "name: weight\nbase: digits.yaml\n\
         grid:\n  train_autoencoder.regulariser.weight: [0.1, 0.2]\n",
    );
    project.run(&["run", "digits.yaml"]).expect(0, &[]);
    let small: String = TINY.iter().map(|s| format!(" --set '{s}'")).collect();
    let help = project.run(&["--help"]).stdout;
    let more = [
        "export tensorboard",
        "export safetensors",
        "completions",
        "man",
    ];
    for name in listed(&help).into_iter().chain(more) {
        let words: Vec<&str> = name.split(' ').chain(["--help"]).collect();
        let page = project.run(&words).stdout;
        let mut lines = page.lines().skip_while(|l| *l != "Example:").skip(1);
        let example = lines.next().unwrap_or_else(|| panic!("{name}: {page}"));
        let trains = ["run", "plan"].contains(&name);
        let command = format!("{example}{}", if trains { &small } else { "" });
        assert!(command.trim().starts_with("latent-align "), "{page}");
        if name != "serve" {
            shell(&project, &command).expect(0, &[]);
        }
    }
}
