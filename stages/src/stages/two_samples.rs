//! Two-sample tests of points against features, as figures of a summary.

use crate::comparison::{
    Battery, ClassifierTest, EnergyTest, battery, classifier_test, energy_test,
};
use crate::context::Summary;
use crate::error::Result;
use crate::figures::{energy_test as energy_names, error_beside, filled, two_samples as names};
use crate::priors::KeptPoints;
use crate::random::Streams;
use crate::tensors::spread;
use rand::seq::SliceRandom;

/// Maximum number of rows per sample, which determines the power of the tests and their time.
pub const TESTED: usize = 1000;

/// Points and equally many features.
pub struct Compared {
    /// Name of the points in figures.
    pub what: &'static str,
    /// Row-major [n, d].
    pub points: Vec<f32>,
    /// Row-major [n, d].
    pub features: Vec<f32>,
    pub width: usize,
    /// Number of consecutive rows per group.
    pub group: usize,
}

impl Compared {
    /// All tests, with p-values from `permutations` permutations.
    ///
    /// # Errors
    /// As [`battery`].
    pub fn battery(&self, permutations: usize, streams: Streams) -> Result<Battery> {
        battery(
            &self.points,
            &self.features,
            self.width,
            self.group,
            permutations,
            streams,
        )
    }

    /// The energy test alone.
    pub fn energy(&self, permutations: usize, streams: Streams) -> EnergyTest {
        energy_test(
            &self.points,
            &self.features,
            self.width,
            self.group,
            permutations,
            streams,
        )
    }

    /// The classifier test alone.
    ///
    /// # Errors
    /// As [`classifier_test`].
    pub fn classifier(&self, streams: Streams) -> Result<Option<ClassifierTest>> {
        classifier_test(
            &self.points,
            &self.features,
            self.width,
            self.group,
            streams,
        )
    }

    /// Adds the energy test to `summary`, the distance as `distance`; `name` maps names of figures.
    pub fn add_energy(
        &self,
        distance: &str,
        found: &EnergyTest,
        name: impl Fn(&str) -> String,
        summary: &mut Summary,
    ) {
        let over_fresh = found.energy_distance / found.of_fresh_sample;
        let points = self.points.len() / self.width;
        for (text, value) in [
            (distance, found.energy_distance),
            (energy_names::FRESH_DISTANCE, found.of_fresh_sample),
            (energy_names::DISTANCE_OVER_FRESH, over_fresh),
            (energy_names::P_VALUE, found.p_value),
            (energy_names::POINTS, points as f64),
        ] {
            summary.add(name(text), value);
        }
    }

    /// Adds all tests to `summary`; `name` maps names of figures.
    pub fn add_battery(
        &self,
        found: &Battery,
        name: impl Fn(&str) -> String,
        summary: &mut Summary,
    ) {
        self.add_accuracy(found.classifier.as_ref(), &name, summary);
        for (text, value) in [
            (names::DISTANCE, found.energy.unbiased),
            (names::DISTANCE_NULL, found.energy.null[1]),
            (names::ENERGY_P, found.energy.p_value),
            (names::MMD, found.kernel.squared_mmd),
            (names::MMD_NULL, found.kernel.null[1]),
            (names::KERNEL_P, found.kernel.p_value),
            (names::SPREAD, found.energy.spread.ratio),
            (names::SPREAD_P, found.energy.spread.p_value),
            (names::NEIGHBOURS, found.neighbours.share),
            (names::NEIGHBOURS_NULL, found.neighbours.null[1]),
            (names::NEIGHBOURS_P, found.neighbours.p_value),
            (names::COUNT, found.points as f64),
        ] {
            summary.add(name(&filled(text, &[&self.what])), value);
        }
    }

    /// Adds the classifier test, if any, to `summary`.
    pub fn add_accuracy(
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

/// Whole rows of T `tokens` from `latents` [n, T, d], against features of `kept` grouped in the same way: the
/// tokens of an item if the prior is over whole rows (`sequences`), else features drawn without replacement. None
/// for single tokens, which are compared as they are, and if there are not enough features for two rows.
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
    (count >= 2).then(|| Compared {
        what: names::WHOLE,
        points: spread(latents, width, count),
        features: spread(&features[..features.len() / width * width], width, count),
        width,
        group: 1,
    })
}

/// Shuffles `rows` [n, d].
fn shuffled(rows: &[f32], width: usize, streams: Streams) -> Vec<f32> {
    let mut rows: Vec<&[f32]> = rows.chunks(width).collect();
    rows.shuffle(&mut streams.at("independent tokens", 0));
    rows.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::priors::Batch;

    fn kept(count: usize) -> KeptPoints {
        KeptPoints {
            points: Batch {
                values: (0..count).map(|i| i as f32).collect(),
                conditions: None,
            },
            width: 1,
            items: (0..count as i64).collect(),
            tokens: 1,
        }
    }

    /// Fails if no rows, or a single one, are compared.
    #[test]
    fn rows_of_more_tokens_than_there_are_features_are_not_compared() {
        let whole = |features| whole_rows(&[0.0; 12], 4, &kept(features), false, Streams::new(0));
        assert!(whole(3).is_none() && whole(7).is_none());
        let found = whole(8).unwrap();
        assert_eq!((found.points.len(), found.features.len()), (8, 8));
        // each feature once
        let mut used = found.features;
        used.sort_by(f32::total_cmp);
        assert_eq!(used, kept(8).points.values);
    }
}
