//! `sample`: points, features, and what the autoencoder makes of them.

use super::scoring::of_classes;
use super::{UNALIGNED, assert_near, check_kills, dataset, finished, refused};
use crate::project::Project;

fn sample(project: &Project, out: &str, more: &[&str]) -> std::path::PathBuf {
    let command = [&["sample", "tiny", "--out", out], more].concat();
    project
        .run(&command)
        .expect(0, &["/points", "points of the flow"]);
    project.path(out)
}

/// Fails if noise does not depend on the seed and the position alone, temperature is not applied, or features do
/// not match the points.
#[test]
fn points_and_features_are_drawn_from_the_flow() {
    let project = finished(&[]);
    let all = sample(&project, "all.h5", &["--count", "3000"]);
    let (shape, points) = dataset(&all, "points");
    assert_eq!(shape, [3000, 2]);
    let few = sample(&project, "few.h5", &["--count", "100"]);
    // a batch of another size takes other steps
    assert_near(&dataset(&few, "points").1, &points[..200], 1e-3);
    let steps = sample(&project, "steps.h5", &["--count", "3000", "--steps", "40"]);
    assert_near(&dataset(&steps, "points").1, &points, 1e-3);
    let other = sample(&project, "other.h5", &["--count", "100", "--seed", "1"]);
    assert_ne!(dataset(&other, "points").1, &points[..200]);
    let cold = sample(
        &project,
        "cold.h5",
        &["--count", "100", "--temperature", "0"],
    );
    let (_, cold) = dataset(&cold, "points");
    assert_near(&cold, &cold[..2].repeat(100), 1e-5);

    // uniform features of mean 1/2 and variance 1/12: the flow was trained for a moment, its noise is standard
    let (_, features) = dataset(&all, "features");
    let mean = |of: &dyn Fn(usize) -> f32| (0..3000).map(of).sum::<f32>() / 3000.0;
    for axis in 0..2 {
        let slope = |i: usize| {
            let (a, b) = (2 * i + axis, 2 * ((i + 1) % 3000) + axis);
            (features[a] - features[b]) / (points[a] - points[b])
        };
        assert!((mean(&slope) - 0.2887).abs() < 0.03, "{}", mean(&slope));
    }
}

/// Fails if the decoded data are not those of the points, in order.
#[test]
fn samples_go_on_to_data_through_the_runs_autoencoder() {
    let project = finished(&[]);
    let all = sample(&project, "all.h5", &["--count", "2500", "--decode"]);
    let (shape, points) = dataset(&all, "points");
    assert_eq!(shape, [2500, 1, 2]);
    let alone = sample(&project, "alone.h5", &["--count", "2500"]);
    assert_eq!(dataset(&alone, "points").1, points);
    let decode = [
        "decode",
        "tiny",
        "all.h5",
        "--dataset",
        "points",
        "--out",
        "data.h5",
    ];
    project.run(&decode).expect(0, &["/vectors [2500, 4] f32"]);
    let (shape, data) = dataset(&all, "vectors");
    assert_eq!(shape, [2500, 4]);
    assert_near(&data, &dataset(&project.path("data.h5"), "vectors").1, 1e-6);
}

#[test]
fn a_sampling_killed_at_any_operation_goes_on_to_the_same_file() {
    let project = finished(&[]);
    let command = [
        "sample", "tiny", "--count", "5000", "--decode", "--out", "out/a.h5",
    ];
    check_kills(&project, &command, "a.h5");
}

/// Fails if the class does not reach the sampler.
#[test]
fn samples_follow_their_conditions() {
    let project = of_classes();
    project.write_dataset("two.h5", "labels", &[2], &[0i64, 2]);
    let of = |condition: &str| {
        let command = [
            "sample",
            "classes",
            "--count",
            "400",
            "--condition",
            condition,
        ];
        project
            .run(&[&command[..], &["--out", "a.h5", "--force"]].concat())
            .expect(0, &[]);
        let (_, features) = dataset(&project.path("a.h5"), "features");
        let half = |first: usize| {
            let rows = features.chunks(2).skip(first).step_by(2);
            rows.map(|row| row[0]).sum::<f32>() / 200.0
        };
        [half(0), half(1)]
    };
    // class c lies around 4 c + 1/2
    for (condition, expected) in [("0", [0.5, 0.5]), ("2", [8.5, 8.5]), ("two.h5", [0.5, 8.5])] {
        for (found, expected) in of(condition).into_iter().zip(expected) {
            assert!(
                (found - expected).abs() < 1.0,
                "{condition}: {found} {expected}"
            );
        }
    }
    let out = ["--out", "b.h5"];
    let sample = |more: &[&'static str]| [&["sample", "classes"], more, &out[..]].concat();
    let labels = ["found the class 3", "labels 0 to 2"];
    refused(
        &project,
        &sample(&["--count", "4", "--condition", "3"]),
        &labels,
    );
    refused(&project, &sample(&["--count", "0"]), &["--count: found 0"]);
    refused(
        &project,
        &sample(&["--count", "4", "--steps", "8"]),
        &["--steps: found 8", "`coupling`", "closed form"],
    );
    refused(
        &project,
        &sample(&["--count", "4", "--temperature", "-1"]),
        &["--temperature"],
    );
    let guided = ["--count", "4", "--guidance", "2"];
    refused(
        &project,
        &sample(&guided),
        &["--guidance: found 2", "--condition"],
    );
    let guided = ["--count", "4", "--guidance", "2", "--condition", "1"];
    refused(
        &project,
        &sample(&guided),
        &["--guidance: found 2", "`coupling`"],
    );
    refused(
        &project,
        &sample(&["--count", "4", "--decode"]),
        &["found no autoencoder"],
    );
}

/// Fails if the number of steps is ignored with a condition or with guidance.
#[test]
fn steps_go_with_a_condition_and_guidance() {
    let project = of_classes();
    let flow =
        "pretrain_flow.model={kind: flow_matching, times: 8, network: {width: 16, blocks: 1}}";
    let train = [
        "run",
        "classes.yaml",
        "--set",
        "name=flow",
        "--set",
        flow,
        "--set",
        "pretrain_flow.steps=100",
    ];
    project.run(&train).expect(0, &["# flow"]);
    let points = |more: &[&str]| {
        let command = [
            "sample",
            "flow",
            "--count",
            "50",
            "--condition",
            "1",
            "--out",
            "a.h5",
            "--force",
        ];
        project.run(&[&command[..], more].concat()).expect(0, &[]);
        dataset(&project.path("a.h5"), "points").1
    };
    for guidance in ["1", "2"] {
        let of = |more: &[&str]| points(&[&["--guidance", guidance], more].concat());
        let adaptive = of(&["--tolerance", "1e-6"]);
        assert_near(&of(&["--steps", "100"]), &adaptive, 1e-3);
        let few = of(&["--steps", "1"]);
        let moved = few.iter().zip(&adaptive).map(|(a, b)| (a - b).abs());
        let moved = moved.fold(0.0, f32::max);
        assert!(moved > 0.01, "{guidance}: {moved}");
    }
}

/// Fails if an option of autoregressive sampling does not reach the flow, or sweeps differ from sequential
/// sampling.
#[test]
fn tokens_are_drawn_in_turn_or_together_with_guidance_of_every_kind_and_denoised() {
    let project = of_classes();
    let flow = "pretrain_flow.model={kind: starflow, shallow_blocks: 1, deep_layers: 1, channels: 8, head_width: 8}";
    let train = [
        "run",
        "classes.yaml",
        "--set",
        "name=flow",
        "--set",
        flow,
        "--set",
        "pretrain_flow.rows={split: 2}",
        "--set",
        "pretrain_flow.steps=200",
    ];
    project.run(&train).expect(0, &["# flow"]);
    let points = |more: &[&str]| {
        let command = [
            "sample", "flow", "--count", "50", "--out", "a.h5", "--force",
        ];
        project.run(&[&command[..], more].concat()).expect(0, &[]);
        dataset(&project.path("a.h5"), "points").1
    };
    let guided = ["--condition", "1", "--guidance", "2"];
    let away = ["--guidance", "2", "--guidance-temperature", "3"];
    let ways: [&[&str]; 5] = [&[], &guided[..2], &guided, &away, &["--denoise", "0.5"]];
    let mut seen: Vec<Vec<f32>> = Vec::new();
    for way in ways {
        let one_by_one = points(way);
        for other in &seen {
            assert!(
                other
                    .iter()
                    .zip(&one_by_one)
                    .any(|(a, b)| (a - b).abs() > 0.01),
                "{way:?}"
            );
        }
        let together = points(&[way, &["--sweeps", "1e-6"]].concat());
        assert_near(&together, &one_by_one, 1e-4);
        seen.push(one_by_one);
    }
    let rising = points(&[&guided[..], &["--guidance-rising"]].concat());
    // the first token is without guidance, but for what the other block makes of it
    assert!(
        rising
            .iter()
            .zip(&seen[2])
            .any(|(a, b)| (a - b).abs() > 0.01)
    );
    for (more, told) in [
        (
            &["--steps", "8"][..],
            &["--steps: found 8", "`starflow`"][..],
        ),
        (&["--sweeps", "2"], &["--sweeps: found 2"]),
        (&["--denoise", "0"], &["--denoise: found 0"]),
        (
            &["--guidance", "2", "--guidance-temperature", "0"],
            &["--guidance-temperature: found 0"],
        ),
    ] {
        let command = ["sample", "flow", "--count", "4", "--out", "b.h5"];
        refused(&project, &[&command[..], more].concat(), told);
    }
    let command = ["sample", "classes", "--count", "4", "--out", "b.h5"];
    let told = ["--sweeps: found a flow of the kind `coupling`", "`tarflow`"];
    let sweeps = [&command[..], &["--sweeps", "1e-3"]].concat();
    refused(&project, &sweeps, &told);
}

/// Fails if samples of a flow are decoded by an autoencoder that is not aligned with it.
#[test]
fn an_unaligned_run_does_not_decode_samples() {
    let project = finished(&[UNALIGNED]);
    let command = [
        "sample", "tiny", "--count", "8", "--decode", "--out", "a.h5",
    ];
    refused(&project, &command, &["aligned with no flow", "--decode"]);
    sample(&project, "points.h5", &["--count", "8"]);
    let decode = [
        "decode",
        "tiny",
        "points.h5",
        "--dataset",
        "points",
        "--out",
        "a.h5",
    ];
    refused(
        &project,
        &decode,
        &["points.h5", "points of the flow", "no flow"],
    );
}
