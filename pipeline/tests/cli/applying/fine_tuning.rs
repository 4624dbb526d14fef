//! `fine_tune`: training a finished autoencoder further.

use super::{UNALIGNED, dataset, finished};
use crate::project::Project;
use crate::tiny::{CONFIG, noise};

/// `tuned.yaml`: trains the decoder of `tiny` further with noise on its latents.
fn tuned(project: &Project, steps: usize, fine_tune: &str) {
    let config = CONFIG
        .replace("name: tiny", "name: tuned")
        .replace(UNALIGNED.0, UNALIGNED.1)
        .replace(
            "  latent: {width: 2}\n",
            &format!("  latent: {{width: 2}}\n  fine_tune: {fine_tune}\n"),
        )
        .replace(
            "steps: 20\n  batch: 16",
            &format!("steps: {steps}\n  batch: 16"),
        );
    project.write("tuned.yaml", config);
}

/// The mean squared error of the run `name` on `noisy.h5`.
fn error(project: &Project, name: &str, data: &[f32]) -> f32 {
    let decode = [
        "decode",
        name,
        "noisy.h5",
        "--dataset",
        "latents",
        "--out",
        "d.h5",
        "--force",
    ];
    project.run(&decode).expect(0, &[]);
    let (_, decoded) = dataset(&project.path("d.h5"), "vectors");
    let squares = decoded.iter().zip(data).map(|(a, b)| (a - b).powi(2));
    squares.sum::<f32>() / data.len() as f32
}

/// Fails if the encoder changes, training starts from scratch, or noise does not reach the decoder.
#[test]
fn a_decoder_learns_to_take_noisy_latents_while_the_encoder_stays() {
    let project = finished(&[
        UNALIGNED,
        ("steps: 20\n  batch: 16", "steps: 400\n  batch: 16"),
    ]);
    tuned(
        &project,
        600,
        "{from: tiny.yaml, decoder_only: true, noise: 1.0}",
    );
    project.run(&["run", "tuned.yaml"]).expect(0, &["# tuned"]);
    let latents = |run: &str| {
        let file = format!("artifacts/runs/{run}/train-autoencoder/latents.h5");
        dataset(&project.path(&file), "test_latents").1
    };
    assert_eq!(latents("tiny"), latents("tuned"));

    let encode = ["encode", "tiny", "vectors.h5", "--out", "latents.h5"];
    project.run(&encode).expect(0, &[]);
    let (shape, clean) = dataset(&project.path("latents.h5"), "latents");
    // of about the same spread as the noise in training
    let moved = (clean.iter().enumerate()).map(|(i, z)| z + 3.4 * (noise(i, 7) - 0.5));
    let moved: Vec<f32> = moved.collect();
    project.write_dataset("noisy.h5", "latents", &shape, &moved);
    let (_, data) = dataset(&project.path("vectors.h5"), "vectors");
    let (before, after) = (
        error(&project, "tiny", &data),
        error(&project, "tuned", &data),
    );
    assert!(after < 0.9 * before, "{before} {after}");
}

#[test]
fn what_does_not_go_with_the_autoencoder_that_goes_on_is_refused() {
    let project = finished(&[UNALIGNED]);
    let refuse = |fine_tune: &str, change: (&str, &str), told: &[&str]| {
        tuned(&project, 20, fine_tune);
        let text = std::fs::read_to_string(project.path("tuned.yaml")).unwrap();
        assert!(text.contains(change.0), "{}", change.0);
        project.write("tuned.yaml", text.replace(change.0, change.1));
        project.run(&["run", "tuned.yaml"]).expect(2, told);
    };
    let same = ("name: tuned", "name: tuned");
    refuse(
        "{decoder_only: true}",
        same,
        &["fine_tune.from: found nothing"],
    );
    refuse(
        "{from: tiny.yaml, noise: -1}",
        same,
        &["fine_tune.noise: found -1"],
    );
    let aligned = (UNALIGNED.1, "regulariser: {kind: nll, weight: 0.1}");
    let told = ["fine_tune.decoder_only", "a regulariser", "kind: none"];
    refuse("{from: tiny.yaml, decoder_only: true}", aligned, &told);
    let wider = ("widths: [8]", "widths: [9]");
    let told = ["train_autoencoder.fine_tune.from", "[8]", "[9]"];
    refuse("{from: tiny.yaml, decoder_only: true}", wider, &told);
}
