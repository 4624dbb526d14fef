//! Samples of the trained flow, stored with its artifact.

use crate::autoencoders::write_images;
use crate::context::Context;
use crate::data::{Attribute, Described, OutData, write_described};
use crate::error::Result;
use crate::priors::{
    Conditions, Cut, Flow, Guidance, KeptPoints, SampleOptions, Steps, Way, about_points,
};
use crate::tensors::to_f32;

/// Draws `count` samples of the trained flow into `samples.h5`: as points, and as features if the normalisation is
/// invertible; under the conditions of `kept` in turn, if the flow takes some. Images are also drawn as a picture.
///
/// # Errors
/// Errors of sampling and of writing.
pub fn write(
    flow: &Flow,
    kept: &KeptPoints,
    (count, guidance): (usize, f64),
    tolerance: f64,
    context: &Context,
) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    let options = SampleOptions {
        streams: context.streams,
        temperature: 1.0,
        way: Way {
            steps: Steps::Adaptive(tolerance),
            guidance: Guidance::of(guidance),
        },
    };
    let conditions = (kept.points.conditions.as_ref())
        .map(|conditions| conditions.select((0..count).map(|i| i % conditions.len())));
    let encoded = (flow.prior.condition().zip(conditions.as_ref()))
        .map(|(kind, conditions)| kind.encode(Some(conditions), count, &context.device));
    context.monitor.phase("samples");
    let samples = flow
        .prior
        .sample(count, encoded, &options, &mut |_| context.check_cancelled())?;
    let points = to_f32(samples.points)?;
    let features = flow.features_of().map(|of| of(&points));
    let labels = match &conditions {
        Some(Conditions::Labels(labels)) => labels.iter().map(|&l| i64::from(l)).collect(),
        _ => Vec::new(),
    };
    save(flow, &points, features.as_deref(), &labels, context)?;
    match features {
        Some(features) => paint(flow, &features, context),
        None => Ok(()),
    }
}

/// Writes `samples.h5`; without labels, these are empty.
fn save(
    flow: &Flow,
    points: &[f32],
    features: Option<&[f32]>,
    labels: &[i64],
    context: &Context,
) -> Result<()> {
    let shape = flow.prior.shape();
    let count = points.len() / shape.elements();
    let dims = match shape.tokens {
        1 => vec![count, shape.width],
        tokens => vec![count, tokens, shape.width],
    };
    let features_dims = [&[count], &flow.feature_shape()[..]].concat();
    let text = |name: &'static str, text: &str| (name, Attribute::Text(text.into()));
    let about_points = about_points();
    let about_features = [
        text(
            "space",
            "features as in the data: point matrix^-1 + mean, with the noise of integer levels removed",
        ),
        text("units", "those of the data"),
    ];
    let about_labels = [text("meaning", "the class of each")];
    let mut datasets = vec![Described {
        name: "points",
        shape: &dims,
        values: OutData::F32(points),
        about: &about_points,
    }];
    datasets.extend(features.map(|features| Described {
        name: "features",
        shape: &features_dims,
        values: OutData::F32(features),
        about: &about_features,
    }));
    if !labels.is_empty() {
        datasets.push(Described {
            name: "labels",
            shape: &dims[..1],
            values: OutData::I64(labels),
            about: &about_labels,
        });
    }
    Ok(write_described(
        &context.dir.join("samples.h5"),
        &datasets,
        &[],
    )?)
}

/// Writes the first of `features` as `samples.png`, if they are images.
fn paint(flow: &Flow, features: &[f32], context: &Context) -> Result<()> {
    let (Cut::Patches(patches), Some([low, high])) = (flow.layout.cut, flow.layout.range) else {
        return Ok(());
    };
    let shown = (PAINTED * patches.image.elements()).min(features.len());
    let (low, high) = (low as f32, high as f32);
    let grey = features[..shown].iter().map(|v| (v - low) / (high - low));
    let images: Vec<f32> = grey.collect();
    write_images(&context.dir.join("samples.png"), &images, patches.image).map(drop)
}

/// Samples in the picture.
const PAINTED: usize = 64;
