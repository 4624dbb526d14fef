//! What a configuration can say: defaults, schema, and the resolved form.

use crate::project::Project;
use latent_align_stages::stages::Stage;
use serde_json::Value;

#[test]
fn the_printed_defaults_are_a_configuration_that_resolves_to_itself() {
    let project = Project::new();
    let defaults = project.run(&["config", "--defaults"]);
    defaults.expect(
        0,
        &[
            "# Training steps.",
            "steps: 3000",
            "{kind: kl, weight, warm_up_steps}",
        ],
    );
    project.write("defaults.yaml", &defaults.stdout);
    let resolved = project.run(&["config", "defaults.yaml"]);
    resolved.expect(0, &["steps: 3000"]);

    // A file with only the keys without a default resolves to the same.
    let mut minimal = "name: example\npretrain_flow: {features: {file: features.h5}}\n\
         train_autoencoder: {data: {file: images.h5}, latent: {width: 16}}\n\
         train_classifier: {data: {file: images.h5}}\n\
         optimise_latents: {objective: {kind: expression}}\n"
        .to_owned();
    for section in Stage::ALL.map(Stage::section) {
        if !minimal.contains(section) {
            minimal += &format!("{section}: {{}}\n");
        }
    }
    project.write("minimal.yaml", minimal);
    let minimal = project.run(&["config", "minimal.yaml"]);
    assert_eq!(minimal.stdout, resolved.stdout);
}

#[test]
fn a_resolved_configuration_resolves_to_itself_anywhere() {
    let project = Project::new();
    std::fs::create_dir(project.path("sub")).unwrap();
    project.write(
        "a.yaml",
        "name: a\npretrain_flow: {features: {file: data/a.h5}}\n",
    );
    let resolved = project.run(&["config", "a.yaml"]);
    project.write("sub/b.yaml", &resolved.stdout);
    let again = project.run(&["config", "sub/b.yaml"]);
    assert_eq!(again.stdout, resolved.stdout);
}

#[test]
fn the_schema_is_json_with_every_section() {
    let schema = Project::new().run(&["config", "--schema"]);
    schema.expect(0, &[]);
    let schema: Value = serde_json::from_str(&schema.stdout).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    let keys = ["name", "seed", "device", "checkpoints", "flow"];
    for key in keys.into_iter().chain(Stage::ALL.map(Stage::section)) {
        assert!(schema["properties"][key].is_object(), "{key}");
    }
}
