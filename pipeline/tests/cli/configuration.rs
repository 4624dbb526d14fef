//! Errors in a configuration, and overrides.

use crate::project::Project;

const CONFIG: &str = "name: a\npretrain_flow:\n  features: {file: a.h5}\n  steps: 10\n";

#[test]
fn a_typo_is_shown_with_line_column_and_the_nearest_key() {
    let project = Project::new();
    project.write("a.yaml", CONFIG.replace("steps", "stesp"));
    for command in ["run", "plan", "config"] {
        project.run(&[command, "a.yaml"]).expect(
            2,
            &[
                "a.yaml:4:3: unknown key `stesp`",
                "4 |   stesp: 10",
                "did you mean `steps`?",
            ],
        );
    }
    assert!(!project.path("artifacts").exists());
}

#[test]
fn a_value_of_the_wrong_type_is_shown_where_it_stands() {
    let project = Project::new();
    project.write("a.yaml", CONFIG.replace("10", "ten"));
    project
        .run(&["plan", "a.yaml"])
        .expect(2, &["a.yaml:4:10: found `ten`, expected a whole number"]);
}

#[test]
fn an_unknown_kind_names_the_candidates() {
    let project = Project::new();
    let text = "name: a\npretrain_flow:\n  features: {file: a.h5}\n  normalisation:\n    projection: {kind: randon, width: 2}\n";
    project.write("a.yaml", text);
    project.run(&["plan", "a.yaml"]).expect(
        2,
        &[
            "a.yaml:5:24",
            "`none`, `random` or `pca`",
            "did you mean `random`?",
        ],
    );
}

#[test]
fn all_values_out_of_range_are_shown_at_once() {
    let project = Project::new();
    project.write(
        "a.yaml",
        "name: ../a\ndevice: gpu\npretrain_flow: {features: {file: a.h5}, steps: 0, batch: 0}\n\
         train_autoencoder: {latent: {width: 0}}\nestimate_nll: {points: 1}\n",
    );
    project.run(&["run", "a.yaml"]).expect(
        2,
        &[
            "a.yaml: ",
            "name: found ../a",
            "device: found gpu",
            "pretrain_flow.steps: found 0",
            "pretrain_flow.batch: found 0",
            "train_autoencoder.data: found nothing",
            "train_autoencoder.latent.width: found 0",
            "estimate_nll.points: found 1",
        ],
    );
}

#[test]
fn a_flow_is_pretrained_or_given_and_not_both() {
    let project = Project::new();
    project.write("none.yaml", "name: a\n");
    project
        .run(&["plan", "none.yaml"])
        .expect(2, &["neither `pretrain_flow` nor `flow`"]);
    project.write("both.yaml", format!("{CONFIG}flow: abcd\n"));
    project
        .run(&["plan", "both.yaml"])
        .expect(2, &["both `flow` and `pretrain_flow`"]);
}

#[test]
fn names_that_leave_their_folder_are_refused() {
    let project = Project::new();
    for name in ["..", "a/b", "\"\"", ".a", "a b"] {
        project.write(
            "a.yaml",
            CONFIG.replacen("name: a", &format!("name: {name}"), 1),
        );
        project
            .run(&["plan", "a.yaml"])
            .expect(2, &["name: found", "1 to 64 of A-Z"]);
    }
}

#[test]
fn a_missing_configuration_suggests_its_neighbour() {
    let project = Project::new();
    project.write("ring.yaml", CONFIG);
    project.run(&["run", "rnig.yaml"]).expect(
        2,
        &[
            "rnig.yaml: no such configuration file",
            "did you mean ring.yaml?",
        ],
    );
    project.run(&["run", "."]).expect(2, &["is a folder"]);
}

#[test]
fn a_missing_input_is_named_with_its_key() {
    let project = Project::new();
    project.write("a.yaml", CONFIG);
    let path = project.path("a.h5");
    project.run(&["run", "a.yaml"]).expect(
        2,
        &[
            "pretrain_flow.features.file",
            &format!("{}: no such file", path.display()),
        ],
    );
}

#[test]
fn a_huge_file_is_refused_before_it_is_parsed() {
    let project = Project::new();
    project.write("a.yaml", vec![b' '; 65 * 1024]);
    project
        .run(&["plan", "a.yaml"])
        .expect(2, &["larger than 64 KiB"]);
    project.write("a.yaml", [0xff, 0xfe, 0]);
    project.run(&["plan", "a.yaml"]).expect(2, &["not UTF-8"]);
}

#[test]
fn an_alias_bomb_and_deep_nesting_are_refused_at_once() {
    let project = Project::new();
    let mut bomb = String::from("name: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let inner = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb.push_str(&format!("k{level}: &a{level} [{inner}]\n"));
    }
    let deep = format!("name: {}{}\n", "[".repeat(30_000), "]".repeat(30_000));
    let widths = format!(
        "name: a\ntrain_autoencoder:\n  latent: {{width: &w 2}}\n  architecture:\n    kind: dense\n    widths: [{}]\n",
        vec!["*w"; 1000].join(", ")
    );
    for text in [bomb, deep, widths] {
        let started = std::time::Instant::now();
        project.write("a.yaml", text);
        project.run(&["plan", "a.yaml"]).expect(2, &["a.yaml"]);
        assert!(started.elapsed().as_secs_f64() < 2.0);
    }
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    let project = Project::new();
    project.write("a.yaml", format!("{CONFIG}  optimiser: {{ema: .nan}}\n"));
    project
        .run(&["plan", "a.yaml"])
        .expect(2, &["a.yaml:5:20", "expected a finite number"]);
}

#[test]
fn an_override_is_typed_and_its_key_checked() {
    let project = Project::new();
    project.write("a.yaml", CONFIG);
    let set = |assignment: &str| project.run(&["config", "a.yaml", "--set", assignment]);
    set("pretrain_flow.steps=77").expect(0, &["steps: 77"]);
    set("pretrain_flow.normalisation.projection={kind: pca, width: 3}").expect(0, &["kind: pca"]);
    set("pretrain_flow.setps=77").expect(2, &["unknown key `setps`", "did you mean `steps`?"]);
    set("pretrain_flow.steps=many").expect(2, &["pretrain_flow.steps: found `many`"]);
    set("pretrain_flow.steps=-1").expect(2, &["found `-1`, expected a whole number"]);
    set("pretrain_flow.steps").expect(2, &["expected key=value"]);
    set("pretrain_flow.steps=0").expect(2, &["pretrain_flow.steps: found 0"]);
    set("pretrain_flow.optimiser.ema=.inf").expect(2, &[".inf"]);
}

#[test]
fn the_device_is_overridden_by_its_own_option() {
    let project = Project::new();
    project.write("a.yaml", CONFIG);
    project
        .run(&["config", "a.yaml", "--device", "cuda:1"])
        .expect(0, &["device: cuda:1"]);
    project
        .run(&["config", "a.yaml", "--device", "tpu"])
        .expect(2, &["device: found tpu"]);
}
