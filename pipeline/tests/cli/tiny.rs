//! An experiment that runs in a second.

use crate::project::Project;

/// All three stages.
pub const CONFIG: &str = "\
name: tiny
pretrain_flow:
  features: {file: features.h5}
  model: {kind: flow_matching, network: {width: 16, blocks: 1, frequencies: 8}, times: 8}
  steps: 20
  batch: 32
  evaluate_every: 10
  evaluation_points: 64
  samples: 16
  nll_points: 8
train_autoencoder:
  data: {file: vectors.h5, dataset: vectors}
  architecture: {kind: dense, widths: [8]}
  latent: {width: 2}
  regulariser: {kind: alignment, weight: 0.1, draws: 2}
  steps: 20
  batch: 16
  evaluate_every: 10
estimate_nll: {points: 8, draws: 192, tolerance: 0.01, box_points: 0, grid_cells: 0, gradient_points: 2, check_points: 2}
";

/// Numbers without a pattern, the same on every machine.
pub fn noise(row: usize, column: usize) -> f32 {
    let mut x = (row * 31 + column + 1) as u64;
    for _ in 0..3 {
        x = (x ^ (x >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    (x >> 40) as f32 / (1u64 << 24) as f32
}

/// Free points in the plane with a grid: every figure applies.
pub fn plane() -> Project {
    let config = CONFIG
        .replace("  data: {file: vectors.h5, dataset: vectors}\n", "")
        .replace("{kind: dense, widths: [8]}", "{kind: points, count: 40}")
        .replace(
            "box_points: 0, grid_cells: 0",
            "box_points: 8, levels: [2, 5], grid_cells: 4",
        );
    let project = Project::new();
    project.write("tiny.yaml", config);
    project.write_features("features.h5", "features", 400, 2, noise);
    project
}

/// A folder with `tiny.yaml` and its inputs.
pub fn project() -> Project {
    let project = Project::new();
    project.write("tiny.yaml", CONFIG);
    project.write_features("features.h5", "features", 400, 2, noise);
    project.write_features("vectors.h5", "vectors", 200, 4, noise);
    project
}
