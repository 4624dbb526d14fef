//! The command line itself.

use crate::project::Project;

#[test]
fn help_documents_every_exit_code() {
    let help = Project::new().run(&["--help"]);
    help.expect(
        0,
        &[
            "Exit codes:",
            "0 ",
            "1 ",
            "2 ",
            "3 ",
            "101 ",
            "130 ",
            "143 ",
        ],
    );
}

/// Fails if the doc comment of a hidden group of commands replaces the text.
#[test]
fn help_begins_with_what_the_program_is_for() {
    let project = Project::new();
    for page in ["--help", "help"] {
        let shown = project.run(&[page]);
        shown.expect(0, &[]);
        assert!(
            shown.stdout.starts_with("Train latent spaces"),
            "{}",
            shown.stdout
        );
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    let project = Project::new();
    project.run(&[]).expect(2, &["Usage"]);
    project.run(&["rum", "a.yaml"]).expect(2, &["run"]);
    project.run(&["run"]).expect(2, &["CONFIG"]);
    project.run(&["config"]).expect(2, &["CONFIG"]);
    project
        .run(&["config", "--defaults", "--schema"])
        .expect(2, &["cannot be used with"]);
    project
        .run(&["show", "-q", "-v"])
        .expect(2, &["cannot be used with"]);
}

/// Fails if clap suggests names of older versions.
#[test]
fn what_was_mistyped_is_never_told_to_be_a_former_name() {
    let project = Project::new();
    for line in [
        "inspekt a",
        "gk",
        "lss",
        "metric a",
        "show a --verfy",
        "show a --plt",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let told = project.run(&words);
        told.expect(2, &["error: un"]);
        for former in [
            "'inspect'",
            "'gc'",
            "'ls'",
            "'metrics'",
            "'--verify'",
            "'--plot'",
        ] {
            assert!(!told.stderr.contains(former), "{line}\n{told}");
        }
    }
    project.run(&["shwo", "a"]).expect(2, &["'show'"]);
    project
        .run(&["show", "a", "--curvs"])
        .expect(2, &["'--curves'"]);
}

#[test]
fn a_reader_that_goes_away_is_not_an_error() {
    let project = Project::new();
    let mut command = std::process::Command::new("sh");
    let status = command
        .arg("-c")
        .arg(format!(
            "{{ '{}' config --defaults; echo $? > code; }} | true",
            env!("CARGO_BIN_EXE_latent-align")
        ))
        .current_dir(project.path("."))
        .status()
        .unwrap();
    assert!(status.success());
    let code = std::fs::read_to_string(project.path("code")).unwrap();
    assert_eq!(code.trim(), "0");
}

#[test]
fn import_refuses_names_that_leave_the_folder() {
    let project = Project::new();
    project
        .run(&["import", "a.pt", "--into", "../x"])
        .expect(2, &["--into: found ../x"]);
    project
        .run(&["import", "missing.pt"])
        .expect(2, &["missing.pt: no such file"]);
    project
        .run(&["import", "a.pt", "--time-scale", "-1"])
        .expect(2, &[]);
}

#[test]
fn a_parameter_of_a_target_needs_a_value() {
    let arguments = ["generate", "moons", "--out", "a.h5", "--count"];
    let project = Project::new();
    let arguments: Vec<&str> = arguments
        .into_iter()
        .chain(["8", "--param", "noise"])
        .collect();
    project
        .run(&arguments)
        .expect(2, &["--param noise: expected NAME=VALUE"]);
}

#[test]
fn an_error_is_a_json_line_where_logs_are() {
    let project = Project::new();
    for more in [&[][..], &["-q"]] {
        let arguments = [&["run", "none.yaml", "--log-format", "json"], more].concat();
        let failed = project.run(&arguments);
        failed.expect(2, &[]);
        let line: serde_json::Value = serde_json::from_str(&failed.stderr).unwrap();
        assert_eq!(line["level"], "ERROR");
        assert!(line["message"].as_str().unwrap().contains("none.yaml"));
    }
}
