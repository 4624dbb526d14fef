//! `decode`: latents to data.

use super::{GAUSSIAN, assert_near, check_kills, dataset, finished, of_images, refused};
use crate::tiny::noise;
use std::fs::File;

/// Fails if data is not scaled back to its own range, or another output of the decoder is taken.
#[test]
fn latents_become_the_reconstructions_that_the_run_itself_wrote() {
    let bytes: Vec<u8> = (0..6000).map(|i| (noise(i, 0) * 255.0) as u8).collect();
    let project = of_images(&bytes);
    let own = project.path("artifacts/runs/tiny/train-autoencoder/reconstructions.h5");
    let (shape, originals) = dataset(&own, "originals");
    let originals: Vec<f32> = originals.iter().map(|v| v * 255.0).collect();
    project.write_dataset("own.h5", "images", &shape, &originals);
    let encode = ["encode", "tiny", "own.h5", "--out", "latents.h5"];
    project.run(&encode).expect(0, &[]);
    let decode = ["decode", "tiny", "latents.h5", "--out", "decoded.h5"];
    let count = shape[0];
    let told = format!("/images [{count}, 3, 4, 5] f32, and decoded.png");
    let done = project.run(&[&decode[..], &["--grid", "2x3"]].concat());
    done.expect(0, &[&told]);
    let (found, images) = dataset(&project.path("decoded.h5"), "images");
    assert_eq!(found, shape);
    let expected: Vec<f32> = (dataset(&own, "reconstructions").1.iter())
        .map(|v| v * 255.0)
        .collect();
    assert_near(&images, &expected, 1e-4);

    // 5 pixels wide and 4 high, enlarged 11 times, a gap of 2
    let picture = File::open(project.path("decoded.png")).unwrap();
    let picture = png::Decoder::new(std::io::BufReader::new(picture));
    let size = picture.read_info().unwrap().info().size();
    assert_eq!(size, (3 * (5 * 11 + 2) + 2, 2 * (4 * 11 + 2) + 2));

    // existing files are not replaced, neither of the two
    std::fs::remove_file(project.path("decoded.h5")).unwrap();
    let again = [&decode[..], &["--grid", "8x8"]].concat();
    refused(&project, &again, &["decoded.png: found a file"]);
    project
        .run(&[&again[..], &["--force"]].concat())
        .expect(0, &["decoded.png"]);
}

#[test]
fn a_decoding_killed_at_any_operation_goes_on_to_the_same_file() {
    let project = finished(&[]);
    project.write_features("latents.h5", "latents", 20_000, 2, noise);
    let command = ["decode", "tiny", "latents.h5", "--out", "out/a.h5"];
    check_kills(&project, &command, "a.h5");
}

#[test]
fn latents_that_are_not_the_autoencoders_are_refused_in_one_message() {
    let project = finished(&[]);
    let decode = ["decode", "tiny", "latents.h5", "--out", "a.h5"];
    project.write_features("latents.h5", "latents", 20, 3, noise);
    refused(
        &project,
        &decode,
        &[
            "/latents [20, 3] f32 in latents.h5",
            "expected latents [N, 1, 2]",
        ],
    );
    project.write_features("latents.h5", "latents", 20, 2, |_, _| f32::NAN);
    refused(&project, &decode, &["found NaN in row 0"]);
    project.write_features("latents.h5", "latents", 20, 2, noise);
    let grid = [&decode[..], &["--grid", "8x8"]].concat();
    refused(
        &project,
        &grid,
        &["--grid", "[4]", "images of 1 or 3 channels"],
    );
    let grid = [&decode[..], &["--grid", "0x8"]].concat();
    project.run(&grid).expect(2, &["ROWSxCOLUMNS"]);

    let other = finished(&[GAUSSIAN]);
    let encode = ["encode", "tiny", "vectors.h5", "--out", "latents.h5"];
    other.run(&encode).expect(0, &[]);
    std::fs::copy(other.path("latents.h5"), project.path("latents.h5")).unwrap();
    refused(
        &project,
        &decode,
        &["latents.h5", "found latents of the autoencoder"],
    );
}
