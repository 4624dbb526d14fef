//! Regularisers that compare latents with the target's features, without a flow.

use crate::project::Project;
use crate::tiny::{self, CONFIG};

const KINDS: [&str; 3] = ["energy", "sliced_wasserstein", "mmd"];

/// The tiny experiment with a prior in closed form, and the regulariser `kind` with `keys`.
fn config(kind: &str, keys: &str) -> String {
    let config = CONFIG.replace(
        "{kind: alignment, weight: 0.1, draws: 2}",
        &format!("{{kind: {kind}, weight: 10.0{keys}}}"),
    );
    config.replace(
        "{kind: flow_matching, network: {width: 16, blocks: 1, frequencies: 8}, times: 8}",
        "{kind: normal}",
    )
}

fn project(config: &str) -> Project {
    let project = tiny::project();
    project.write("tiny.yaml", config);
    project
}

/// Fails if a term is not part of the loss, or has the wrong sign: latents would stay where they are without it, or
/// leave the target.
#[test]
fn latents_come_closer_to_the_target_without_a_flow() {
    let of = |config: String| {
        let project = project(&config.replace("steps: 20\n  batch: 16", "steps: 200\n  batch: 16"));
        project.write_features("vectors.h5", "vectors", 1000, 4, tiny::noise);
        project.write_features("features.h5", "features", 1000, 2, tiny::noise);
        let quickly = "train_autoencoder.optimiser={learning_rate: 0.02, ema: 0.9}";
        let run = [
            "run",
            "tiny.yaml",
            "--set",
            "estimate_nll=null",
            "--set",
            quickly,
        ];
        project.run(&run).expect(0, &[]);
        let label = "test unbiased energy distance, latents to features";
        project.run(&["show", "tiny"]).figure(label)
    };
    let without = of(config("none", "").replace(", weight: 10.0", ""));
    for kind in KINDS {
        let found = of(config(kind, ", batch: 64"));
        assert!(found < 0.2 * without, "{kind}: {found} {without}");
    }
}

#[test]
fn too_few_features_for_a_batch_are_refused_by_key_with_the_number_there_is() {
    let project = project(&config("energy", ", batch: 5000"));
    let expected = [
        "train_autoencoder.regulariser.batch: found 5000, expected at most",
        "lower it, or give pretrain_flow.features more rows",
    ];
    // after the flow, whose features are not counted before, and before any training from then on
    project.run(&["run", "tiny.yaml"]).expect(2, &expected);
    let again = project.run(&["run", "tiny.yaml"]);
    again.expect(2, &expected);
    assert!(!again.stderr.contains("autoencoder: training"), "{again}");
}

#[test]
fn wrong_keys_of_a_comparison_are_named_before_anything_runs() {
    for (kind, keys, expected) in [
        ("energy", ", btach: 64", "`btach`"),
        ("mmd", ", bandwidths: [1, 0]", "regulariser.bandwidths"),
        ("mmd", ", scale: 0", "regulariser.scale"),
        (
            "sliced_wasserstein",
            ", projections: 0",
            "regulariser.projections",
        ),
        ("energy", ", batch: 1", "regulariser.batch"),
    ] {
        let project = project(&config(kind, keys));
        project.run(&["run", "tiny.yaml"]).expect(2, &[expected]);
        assert!(!project.path("artifacts").exists(), "{kind}{keys}");
    }
    let wide = config("energy", "").replace("latent: {width: 2}", "latent: {width: 3}");
    let run = project(&wide).run(&["run", "tiny.yaml"]);
    run.expect(2, &["train_autoencoder.latent.width: found 3, expected 2"]);
}

/// Fails if a flow without training features is used, and latents are compared with nothing.
#[test]
fn a_flow_of_an_earlier_version_has_to_be_made_again() {
    let project = project(&config("energy", ", batch: 64"));
    let arguments = ["run", "tiny.yaml", "--until", "pretrain-flow"];
    project.run(&arguments).expect(0, &[]);
    let flow = &project.entries("artifacts/pretrain-flow")[0];
    let folder = project.path(&format!("artifacts/pretrain-flow/{flow}"));
    std::fs::remove_file(folder.join("train.h5")).unwrap();
    crate::project::change_manifest(&folder.join("manifest.json"), |manifest| {
        manifest["outputs"]
            .as_object_mut()
            .unwrap()
            .remove("train.h5");
    });
    project.run(&["run", "tiny.yaml"]).expect(
        2,
        &[
            "train_autoencoder.regulariser.kind: found one that compares",
            "has to be made again",
        ],
    );
}
