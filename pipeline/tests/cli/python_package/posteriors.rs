//! The posteriors of autoencoders in the Python package, and its encoding beside that of `encode`.

use super::{FLOW, add_latent_noise, agrees, feature, given, pytorch, stage};
use crate::project::Project;
use crate::tiny::noise;
use burn::tensor::Device;
use latent_align_stages::autoencoders::Autoencoder;
use latent_align_stages::random::{Streams, normal};
use latent_align_stages::tensors::{from_f32, to_f64};

const ROWS: usize = 200;
/// Two tokens of width 3.
const LATENTS: usize = 6;

/// Fails if a matrix is filled in another order, a reflection is along another vector, a network has other masks, a
/// weight of the head is not read, or a density forgets the map or its determinant.
#[test]
fn every_posterior_has_the_numbers_of_this_program_in_the_package() {
    let Some(python) = pytorch() else { return };
    let project = Project::new();
    project.write_features("features.h5", "features", 400, 3, feature);
    project.write_features("vectors.h5", "vectors", ROWS, 4, noise);
    for (name, posterior, figures) in [
        ("deterministic", "{kind: deterministic}", 5),
        ("gaussian", "{kind: gaussian}", 7),
        ("linear-iaf", "{kind: linear_iaf, matrices: 2}", 7),
        ("householder", "{kind: householder, steps: 3}", 7),
        ("planar", "{kind: planar, steps: 3}", 7),
        ("radial", "{kind: radial, steps: 3}", 7),
        ("iaf", "{kind: iaf, steps: 2, widths: [9, 8]}", 7),
    ] {
        let config = FLOW
            .replace("name: flow", &format!("name: {name}"))
            .replace("steps: 100\n", "steps: 2\n")
            .replace("{width: 3}", "{width: 3, tokens: 2}")
            .replace(
                "{kind: flow_kl, draws: 2}",
                "{kind: alignment, weight: 0.01}",
            )
            .replace("{kind: gaussian}", posterior);
        // gated layers beside one of them
        let gated = "{kind: dense, widths: [12, 8], gated: true}";
        let config = match name {
            "iaf" => config.replace("{kind: dense, widths: [12, 8]}", gated),
            _ => config,
        };
        assert_eq!(config.contains(gated), name == "iaf");
        project.write("posterior.yaml", config);
        let run = ["run", "posterior.yaml", "--until", "train-autoencoder"];
        project.run(&run).expect(0, &[&format!("# {name}")]);
        let encoded = format!("{name}-encoded.h5");
        let encode = [
            "encode",
            name,
            "vectors.h5",
            "--latents",
            "both",
            "--out",
            &encoded,
        ];
        project.run(&encode).expect(0, &[]);

        let file = given(name);
        let data: Vec<f32> = (0..ROWS * 4).map(|i| noise(i / 4, i % 4)).collect();
        project.write_dataset(&file, "data", &[ROWS, 4], &data);
        add_latent_noise(&project, name, LATENTS);
        let draws = || Streams::of_stage("encode", 0).at("draws", 0);
        let of_draws = normal(&mut draws(), ROWS * LATENTS);
        project.add_dataset(&file, "encode_noise", &[ROWS, 2, 3], &of_draws);

        let device = Device::flex();
        let folder = stage(&project, name, "train-autoencoder");
        let (model, header) = Autoencoder::load(&folder, &device).unwrap();
        let scaled = data.iter().map(|x| x / header.maximum as f32).collect();
        let posterior = model.encode(from_f32(scaled, [ROWS, 4, 1, 1], &device));
        if let Some(parts) = posterior.draw(&mut draws()).log_density() {
            // a part is a token or a whole row
            let parts = to_f64(parts).unwrap();
            let rows = parts.chunks(parts.len() / ROWS).map(|row| row.iter().sum());
            let rows: Vec<f64> = rows.collect();
            project.add_dataset(&file, "log_density", &[ROWS], &rows);
        }
        agrees(&python, &project, "posterior", name, figures);
    }
}
