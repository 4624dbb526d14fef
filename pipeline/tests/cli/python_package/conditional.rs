//! Conditional flow matching and guidance in the Python package.

use super::{add_dataset_of, agrees, feature, given, pytorch, sample_noise, wide_flow};
use crate::project::Project;
use burn::tensor::{DType, Device, Tensor};
use latent_align_stages::priors::{Conditions, NllOptions, Points};
use latent_align_stages::random::Streams;
use latent_align_stages::tensors::from_f64;

const CONFIG: &str = "\
name: conditional
pretrain_flow:
  features: {file: classes.h5}
  condition: {dataset: labels, dropout: 0.2, guidance: 1.5}
  model: {kind: flow_matching, network: {width: 16, blocks: 2, frequencies: 8, time_scale: 10}, times: 8}
  optimiser: {learning_rate: 1.0e-2}
  steps: 100
  batch: 64
  samples: 20
  nll_points: 0
";
const CLASSES: u32 = 3;

/// Fails if a condition is embedded differently, lost in chunks of a solve or taken from another row, or if
/// guidance or steps differ.
#[test]
fn a_conditional_flow_has_the_numbers_of_this_program_in_the_package() {
    let Some(python) = pytorch() else { return };
    let project = Project::new();
    project.write_features("classes.h5", "features", 400, 3, |i, j| {
        feature(i, j) + (i % 3) as f32
    });
    let labels: Vec<u8> = (0..400).map(|i| (i % 3) as u8).collect();
    project.add_dataset("classes.h5", "labels", &[400], &labels);
    project.write("conditional.yaml", CONFIG);
    let run = ["run", "conditional.yaml", "--until", "pretrain-flow"];
    project.run(&run).expect(0, &["# conditional"]);

    const ROWS: usize = 10;
    let labels: Vec<u32> = (0..ROWS as u32)
        .map(|i| (2 * i + i / 3) % CLASSES)
        .collect();
    let wide = |values: &[u32]| -> Vec<i64> { values.iter().map(|&v| i64::from(v)).collect() };
    let file = given("conditional");
    let points: Vec<f64> = (0..ROWS * 3)
        .map(|i| f64::from(feature(i / 3, i % 3)))
        .collect();
    project.write_dataset(&file, "points", &[ROWS, 3], &points);
    project.add_dataset(&file, "labels", &[ROWS], &wide(&labels));

    let flow = wide_flow(&project, "conditional");
    let (prior, device) = (flow.prior.as_ref(), Device::flex());
    let kind = prior.condition().expect("a flow that takes conditions");
    let encoded = |labels: Option<&Conditions>| kind.encode(labels, ROWS, &device);
    let labels = Conditions::Labels(labels);
    let values = || from_f64::<3>(points.clone(), [ROWS, 1, 3], DType::F64, &device);
    let field = prior.velocity().expect("a flow with an ODE");
    let under = field.under(encoded(Some(&labels))).expect("conditions");
    let times: Vec<f64> = (0..ROWS).map(|i| i as f64 / (ROWS - 1) as f64).collect();
    let velocity: Tensor<3> = under.velocity(values(), &times);
    project.add_dataset(&file, "times", &[ROWS], &times);
    add_dataset_of(&project, &file, "velocity", &[ROWS, 3], velocity);
    for (name, labels) in [("nll", Some(&labels)), ("nll_under_none", None)] {
        let points = Points {
            values: values(),
            condition: Some(encoded(labels)),
        };
        let options = NllOptions::exact(1e-7);
        let nll = prior
            .nll(&points, &options, &mut |_| Ok(()))
            .unwrap()
            .values;
        project.add_dataset(&file, name, &[ROWS], &nll);
    }
    project.add_dataset(&file, "sample_noise", &[20, 3], &sample_noise(20, 3));
    project.add_dataset(&file, "guidance", &[1], &[1.5]);

    let noise = Streams::of_stage("sample", 0).normal("noise", 0, ROWS * 3);
    project.add_dataset(&file, "noise_of_samples", &[ROWS, 3], &noise);
    let count = ROWS.to_string();
    let sample = [
        "sample",
        "conditional",
        "--count",
        &count,
        "--condition",
        &file,
        "--guidance",
        "2",
        "--steps",
        "9",
        "--out",
        "sampled.h5",
    ];
    project.run(&sample).expect(0, &[]);
    agrees(&python, &project, "conditional", "conditional", 9);
}
