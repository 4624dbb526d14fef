//! Test distributions with known density, velocity and NLL.

use crate::random::{Streams, normal};
use crate::targets::GaussianMixture;
use rand::RngExt;
use std::f64::consts::PI;

/// Five Gaussians of standard deviation 0.3 on a ring of radius 3, divided by the global scale.
pub fn ring() -> GaussianMixture {
    let scale = (0.5f64 * 9.0 + 0.09).sqrt();
    let angle = |k: usize| 2.0 * PI * k as f64 / 5.0;
    let variance = 0.09 / scale / scale;
    GaussianMixture {
        weights: vec![0.2; 5],
        means: (0..5)
            .map(|k| vec![3.0 * angle(k).cos() / scale, 3.0 * angle(k).sin() / scale])
            .collect(),
        covariances: vec![vec![variance, 0.0, 0.0, variance]; 5],
    }
}

/// Five Gaussians in `d` dimensions with scales of 0.2 to 1 per dimension.
pub fn uneven(d: usize) -> GaussianMixture {
    let mut rng = Streams::new(3).at("mixture", d as u64);
    let means = (0..5)
        .map(|_| normal(&mut rng, d).into_iter().map(f64::from).collect())
        .collect();
    let covariances = (0..5)
        .map(|_| {
            let mut c = vec![0.0; d * d];
            for i in 0..d {
                c[i * d + i] = 0.04f64.powf(rng.random::<f64>());
            }
            c
        })
        .collect();
    GaussianMixture {
        weights: vec![0.2; 5],
        means,
        covariances,
    }
}

/// Samples [n, d] of a mixture whose components have independent dimensions.
pub fn samples(mixture: &GaussianMixture, n: usize, streams: Streams) -> Vec<f32> {
    let d = mixture.width();
    let mut rng = streams.at("samples", 0);
    (0..n)
        .flat_map(|_| {
            let k = rng.random_range(0..mixture.weights.len());
            let z = normal(&mut rng, d);
            (0..d)
                .map(|i| {
                    let scale = mixture.covariances[k][i * d + i].sqrt();
                    (mixture.means[k][i] + scale * f64::from(z[i])) as f32
                })
                .collect::<Vec<f32>>()
        })
        .collect()
}

/// The NLL of each of `rows` [n, d].
pub fn analytic_nll(mixture: &GaussianMixture, rows: &[f32]) -> Vec<f64> {
    let density = mixture.density().expect("positive definite covariances");
    (rows.chunks(mixture.width()))
        .map(|row| {
            let wide: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
            -density.log_density(&wide)
        })
        .collect()
}
