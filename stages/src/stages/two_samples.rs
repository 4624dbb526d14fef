//! Two-sample tests of points against features, as figures of a summary.

use crate::comparison::{Battery, ClassifierTest, battery, classifier_test};
use crate::context::Summary;
use crate::error::Result;
use crate::figures::{error_beside, filled, two_samples as names};
use crate::priors::KeptPoints;
use crate::random::Streams;
use crate::tensors::spread;
use rand::seq::SliceRandom;

/// The most rows of each sample: what fixes the power of the tests, and their time.
pub const TESTED: usize = 1000;

/// Points and as many features.
pub struct Compared {
    /// What the points are, as figures call them.
    pub what: &'static str,
    /// Row-major [n, d].
    pub points: Vec<f32>,
    /// Row-major [n, d].
    pub features: Vec<f32>,
    /// d.
    pub width: usize,
    /// Rows that belong together.
    pub group: usize,
}

impl Compared {
    /// All tests, which go into `summary` under what `name` makes of their names.
    ///
    /// # Errors
    /// As [`battery`].
    pub fn report(
        &self,
        name: impl Fn(&str) -> String,
        permutations: usize,
        streams: Streams,
        summary: &mut Summary,
    ) -> Result<Battery> {
        let found = battery(
            &self.points,
            &self.features,
            self.width,
            self.group,
            permutations,
            streams,
        )?;
        self.add_accuracy(found.classifier.as_ref(), &name, summary);
        let mut add = |text: &str, value: f64| {
            summary.add(name(&filled(text, &[&self.what])), value);
        };
        add(names::DISTANCE, found.energy.unbiased);
        add(names::DISTANCE_NULL, found.energy.null[1]);
        add(names::ENERGY_P, found.energy.p_value);
        add(names::MMD, found.kernel.squared_mmd);
        add(names::MMD_NULL, found.kernel.null[1]);
        add(names::KERNEL_P, found.kernel.p_value);
        add(names::COUNT, found.points as f64);
        Ok(found)
    }

    /// The classifier test alone.
    ///
    /// # Errors
    /// As [`classifier_test`].
    pub fn report_accuracy(
        &self,
        name: impl Fn(&str) -> String,
        streams: Streams,
        summary: &mut Summary,
    ) -> Result<()> {
        let told = classifier_test(
            &self.points,
            &self.features,
            self.width,
            self.group,
            streams,
        )?;
        self.add_accuracy(told.as_ref(), name, summary);
        Ok(())
    }

    fn add_accuracy(
        &self,
        told: Option<&ClassifierTest>,
        name: impl Fn(&str) -> String,
        summary: &mut Summary,
    ) {
        if let Some(told) = told {
            let accuracy = name(&filled(names::ACCURACY, &[&self.what]));
            let error = error_beside(&accuracy);
            summary.add(accuracy, told.accuracy);
            summary.add(error, told.error);
        }
    }
}

/// `latents` [n, T, d] of rows of T `tokens`, whole, against features of `kept` that stand together in the same way:
/// the tokens of an item where `sequences` says that the prior is of whole rows, else features drawn without
/// replacement, each used once. None for single tokens, which are compared as they are.
pub fn whole_rows(
    latents: &[f32],
    tokens: usize,
    kept: &KeptPoints,
    sequences: bool,
    streams: Streams,
) -> Option<Compared> {
    if tokens == 1 {
        return None;
    }
    let width = tokens * kept.width;
    let features = match sequences {
        true => kept.points.values.clone(),
        false => shuffled(&kept.points.values, kept.width, streams),
    };
    let count = (latents.len() / width)
        .min(features.len() / width)
        .min(TESTED);
    Some(Compared {
        what: names::WHOLE,
        points: spread(latents, width, count),
        features: spread(&features[..features.len() / width * width], width, count),
        width,
        group: 1,
    })
}

/// `rows` [n, d] in another order.
fn shuffled(rows: &[f32], width: usize, streams: Streams) -> Vec<f32> {
    let mut rows: Vec<&[f32]> = rows.chunks(width).collect();
    rows.shuffle(&mut streams.at("independent tokens", 0));
    rows.concat()
}
