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
    /// Every test, with p-values of `permutations` relabellings.
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

    /// Puts the energy test into `summary`, the distance as `distance`; all under what `name` makes of their names.
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

    /// Puts every test into `summary` under what `name` makes of their names.
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

    /// Puts the classifier test alone, if there is one, into `summary`.
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

/// `latents` [n, T, d] of rows of T `tokens`, whole, against features of `kept` that stand together in the same way:
/// the tokens of an item where `sequences` says that the prior is of whole rows, else features drawn without
/// replacement, each used once. None for single tokens, which are compared as they are, and where there are not
/// features enough for two rows.
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

/// `rows` [n, d] in another order.
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

    /// Red for a comparison of no rows, or of one with itself.
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
