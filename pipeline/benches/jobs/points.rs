//! Training points: the paper's ring in the plane, a mixture of Gaussians otherwise.

use latent_align_stages::random::{Streams, normal};
use latent_align_stages::targets::{Component, Target};
use rand::RngExt;

/// Components of the mixture.
const COMPONENTS: usize = 64;
/// Standard deviations are log-uniform between these.
const SPREADS: [f64; 2] = [0.2, 1.0];

/// Points from which the scale is computed.
const SCALED_BY: usize = 1 << 14;

/// `count` points of width `dimensions`, row-major, from a distribution with root mean square 1.
pub fn points(dimensions: usize, count: usize, streams: Streams) -> Vec<f32> {
    let law = match dimensions {
        2 => serde_json::from_value(serde_json::json!({"kind": "gaussian_ring"}))
            .expect("a ring needs nothing else"),
        _ => mixture(dimensions),
    };
    let some = law.sample(SCALED_BY, &mut Streams::new(0).at("scale", 0));
    let square: f64 = some.iter().map(|&x| f64::from(x).powi(2)).sum();
    let scale = (some.len() as f64 / square).sqrt() as f32;
    let points = law.sample(count, &mut streams.at("points", 0));
    points.into_iter().map(|x| scale * x).collect()
}

/// Equal components around means from N(0, I), with a spread for each dimension.
fn mixture(dimensions: usize) -> Target {
    let mut rng = Streams::new(0).at("mixture", 0);
    let [least, most] = SPREADS.map(f64::ln);
    let components = (0..COMPONENTS).map(|_| Component {
        weight: 1.0,
        mean: normal(&mut rng, dimensions)
            .into_iter()
            .map(f64::from)
            .collect(),
        std: Some(
            (0..dimensions)
                .map(|_| rng.random_range(least..most).exp())
                .collect(),
        ),
        covariance: None,
    });
    Target::Mixture {
        components: components.collect(),
    }
}
