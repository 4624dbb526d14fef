//! The list of devices, wherever it is told.

use crate::project::Project;

const NAMES: &str = "cpu, cuda, cuda:N, wgpu, wgpu:N or remote:URL";

#[test]
fn help_schema_errors_and_completions_tell_the_same_list_of_devices() {
    let project = Project::new();
    let quoted = "`cpu`, `cuda`, `cuda:N`, `wgpu`, `wgpu:N` or `remote:URL`";
    for command in [vec!["run", "--help"], vec!["import", "--help"]] {
        // the terminal's width breaks lines
        let help = project.run(&command);
        help.expect(0, &[]);
        let words = help.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(NAMES), "{command:?}: {words}");
    }
    let schema = project.run(&["config", "--schema", "experiment"]);
    schema.expect(0, &[&format!("Where tensors live: {quoted}.")]);
    project.write(
        "a.yaml",
        "name: a\npretrain_flow: {features: {file: a.h5}}\n",
    );
    let error = project.run(&["config", "a.yaml", "--device", "tpu"]);
    error.expect(2, &["device: found tpu", quoted]);
    for shell in ["bash", "zsh", "fish"] {
        let outcome = project.run(&["completions", shell]);
        let script = &outcome.expect(0, &[]).stdout;
        assert!(
            script.contains("cuda") && script.contains("wgpu"),
            "{shell}"
        );
    }
}

#[test]
fn the_devices_of_this_machine_are_listed_with_what_this_binary_lacks() {
    let project = Project::new();
    let table = project.run(&["devices"]);
    table.expect(0, &["cpu", "ready"]);
    for kind in ["cuda", "wgpu", "remote"] {
        assert!(table.stdout.contains(kind), "{}", table.stdout);
    }
    let json = project.run(&["devices", "--format", "json"]);
    json.expect(0, &[]);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(rows[0]["device"], "cpu");
    assert_eq!(
        (&rows[0]["bf16"], &rows[0]["f64"]),
        (&"yes".into(), &"yes".into())
    );
    if !cfg!(feature = "cuda") {
        let cuda = rows
            .iter()
            .find(|row| row["device"].as_str().unwrap().starts_with("cuda"));
        let state = cuda.unwrap()["state"].as_str().unwrap();
        assert!(state.contains("cargo build --features cuda"), "{state}");
    }
}
