//! A run whose latents a transport carries to the flow.

use super::{UNALIGNED, assert_near, attribute, dataset, finished, rows};
use crate::project::Project;

const TRANSPORT: (&str, &str) = (
    "estimate_nll:",
    "transport:\n  model: {kind: flow_matching, network: {width: 16, blocks: 1, frequencies: 8, time_scale: 10}, \
     times: 8}\n  steps: 20\n  batch: 16\n  tolerance: 1e-6\nestimate_nll:",
);

/// The fingerprint of the only artifact of `stage`.
fn fingerprint(project: &Project, stage: &str) -> String {
    let mut found = project.entries(&format!("artifacts/{stage}"));
    found.retain(|name| !name.starts_with('.'));
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// Fails if a command skips the transport, applies its inverse, or takes latents of one space for those of the
/// other.
#[test]
fn latents_go_through_the_transport_and_decode_as_without_it() {
    let project = finished(&[UNALIGNED, TRANSPORT]);
    let encode = |run: &str, out: &str| project.run(&["encode", run, "vectors.h5", "--out", out]);
    let transport = fingerprint(&project, "transport");
    encode("tiny", "there.h5").expect(
        0,
        &[
            "points of the flow",
            &format!("through the transport {transport}"),
        ],
    );
    let there = project.path("there.h5");
    assert_eq!(
        attribute(&there, "latents", "transport"),
        Some(transport.clone())
    );
    let file = project.path("artifacts/runs/tiny/transport/latents.h5");
    let (shape, own) = dataset(&file, "test_latents");
    assert_eq!(shape[1..], [1, 2]);
    let items = hdf5::File::open(&file)
        .unwrap()
        .dataset("test_items")
        .unwrap();
    let items: Vec<usize> = items
        .read_raw::<i64>()
        .unwrap()
        .iter()
        .map(|&i| i as usize)
        .collect();
    assert_near(&rows(&dataset(&there, "latents").1, 2, &items), &own, 1e-3);

    // the autoencoder alone
    let autoencoder = fingerprint(&project, "train-autoencoder");
    encode(&autoencoder, "plain.h5").expect(0, &["aligned with no flow"]);
    let plain = dataset(&project.path("plain.h5"), "latents").1;
    let moved = rows(&plain, 2, &items)
        .iter()
        .zip(&own)
        .any(|(a, b)| (a - b).abs() > 0.1);
    assert!(moved, "the transport moves nothing");
    for (run, from, out) in [
        ("tiny", "there.h5", "back.h5"),
        (&transport, "there.h5", "again.h5"),
        (&autoencoder, "plain.h5", "direct.h5"),
    ] {
        project
            .run(&["decode", run, from, "--out", out])
            .expect(0, &[]);
    }
    let decoded = |name: &str| dataset(&project.path(name), "vectors").1;
    assert_near(&decoded("back.h5"), &decoded("direct.h5"), 1e-3);
    assert_eq!(decoded("back.h5"), decoded("again.h5"));
    for (run, from, told) in [
        (
            "tiny",
            "plain.h5",
            "found latents of the autoencoder itself",
        ),
        (
            &autoencoder,
            "there.h5",
            "found latents that went through the transport",
        ),
    ] {
        project
            .run(&["decode", run, from, "--out", "no.h5"])
            .expect(2, &[told, "latent-align decode"]);
    }

    // an autoencoder without a regulariser decodes samples of the flow
    project
        .run(&[
            "sample", "tiny", "--count", "8", "--decode", "--out", "s.h5",
        ])
        .expect(0, &["/vectors [8, 4] f32", "through the transport"]);
    let samples = dataset(&project.path("s.h5"), "points").1;
    project
        .run(&["decode", "tiny", "s.h5", "--out", "t.h5"])
        .expect(0, &["through the transport"]);
    assert_eq!(samples.len(), 16);
    assert_near(
        &decoded("t.h5"),
        &dataset(&project.path("s.h5"), "vectors").1,
        1e-3,
    );
    project
        .run(&[
            "score",
            "tiny",
            "there.h5",
            "--latents",
            "--out",
            "s.parquet",
        ])
        .expect(0, &["mean NLL"]);
}

#[test]
fn a_transport_without_an_autoencoder_of_data_is_refused_before_anything_runs() {
    let project = crate::tiny::plane();
    let config = std::fs::read_to_string(project.path("tiny.yaml")).unwrap();
    project.write("tiny.yaml", format!("{config}transport: {{noise: -1}}\n"));
    project.run(&["run", "tiny.yaml"]).expect(
        2,
        &[
            "train_autoencoder: found free points, which have no decoder",
            "transport.noise: found -1",
        ],
    );
    assert!(!project.path("artifacts/pretrain-flow").exists());
}
