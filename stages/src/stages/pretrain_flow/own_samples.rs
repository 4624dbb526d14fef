//! Check of a flow's training: compares its samples with features it was not trained on.
//!
//! Verdicts on latents and surrogates rely on the flow: if its own samples can be told from the features, latents
//! that follow it cannot pass either. Whole points are compared, all tokens of a row together if the flow is over
//! whole rows.

use crate::comparison::{Battery, PERMUTATIONS, coverage, marginal_distance, power, spectrum};
use crate::context::{Context, Summary, Table};
use crate::data::Part;
use crate::error::Result;
use crate::figures::two_samples::SAMPLES;
use crate::figures::{energy_test, of_rows, pretrain_flow as names};
use crate::priors::{Flow, KeptPoints, SampleOptions, Steps, Way};
use crate::stages::two_samples::Compared;
use crate::tensors::to_f32;

/// Compares up to `count` samples of `flow` with equally many of the features `kept` of `part`, under their
/// conditions and without guidance. Adds figures to `summary`, writes a table of dimensions, and warns if they can
/// be told apart.
///
/// # Errors
/// Errors of sampling, of the classifier, and of writing the table.
pub fn compare(
    flow: &Flow,
    (part, kept): (Part, &KeptPoints),
    count: usize,
    tolerance: f64,
    summary: &mut Summary,
    context: &Context,
) -> Result<()> {
    let shape = flow.prior.shape();
    let group = kept.tokens / shape.tokens;
    let chosen = kept.some((count * shape.tokens).max(LEAST * kept.tokens));
    if chosen.values.len() / (shape.elements() * group) < LEAST {
        return Ok(());
    }
    let points = chosen.points(shape, flow.prior.condition(), &context.device);
    let count = points.count();
    let word = part.word();
    let task = format!("samples beside {word} features");
    let mut progress = |share: f64| {
        let done = (share * count as f64).round() as u64;
        context.monitor.progress(&task, done, count as u64, "");
        context.check_cancelled()
    };
    let options = SampleOptions {
        streams: context.streams,
        temperature: 1.0,
        way: Way::by(Steps::Adaptive(tolerance)),
    };
    let samples = (flow.prior).sample(count, points.condition, &options, &mut progress)?;
    let pair = Pair(Compared {
        what: SAMPLES,
        points: to_f32(samples.points)?,
        features: chosen.values,
        width: shape.elements(),
        group,
    });
    context.monitor.phase("two-sample tests");
    let found = pair.0.battery(PERMUTATIONS, context.streams)?;
    let covered = pair.covered();
    pair.report(&found, covered, |name| of_rows(word, name), summary);
    summary.add(
        of_rows(word, energy_test::POWER),
        power(&pair.0.features, pair.0.width, count, context.streams),
    );
    context.monitor.table(names::MARGINALS, &pair.marginals())?;
    if let Some(told) = told_apart(&found) {
        context.monitor.warn(&format!(
            "samples of the flow can be told from {count} {word} features ({told}; {:.0} % of \
             features covered): the flow is undertrained or too small, so that neither \
             likelihoods under it nor latents aligned with it match the features; raise \
             pretrain_flow.steps, or make pretrain_flow.model larger",
            100.0 * covered
        ));
    }
    Ok(())
}

/// Minimum number of items for permutation tests.
const LEAST: usize = 8;
/// Significance level for telling samples from features.
const LEVEL: f64 = 0.01;

/// The tests that tell the two samples of `found` apart, in words.
fn told_apart(found: &Battery) -> Option<String> {
    let mut told = Vec::new();
    if let Some(classifier) = &found.classifier
        && (classifier.accuracy - 0.5) > 2.33 * classifier.error
    {
        told.push(format!(
            "a classifier is right in {:.1} % of cases, compared with 50 by chance",
            100.0 * classifier.accuracy
        ));
    }
    for (test, p_value) in [
        ("energy", found.energy.p_value),
        ("kernel", found.kernel.p_value),
        ("nearest-neighbour", found.neighbours.p_value),
        ("spread", found.energy.spread.p_value),
    ] {
        if p_value <= LEVEL {
            told.push(format!("{test} test: p-value {p_value}"));
        }
    }
    (!told.is_empty()).then(|| told.join("; "))
}

/// Equally many samples and features.
struct Pair(Compared);

impl Pair {
    /// The share of features with a sample nearby.
    fn covered(&self) -> f64 {
        coverage(&self.0.points, &self.0.features, self.0.width)
    }

    fn report(
        &self,
        found: &Battery,
        covered: f64,
        name: impl Fn(&str) -> String,
        summary: &mut Summary,
    ) {
        (self.0).add_energy(names::SAMPLES_DISTANCE, &found.energy, &name, summary);
        summary.add(name(names::COVERAGE), covered);
        summary.add(name(names::WORST_MARGINAL), self.worst_marginal());
        self.0.add_battery(found, name, summary);
    }

    /// The values of dimension `d`.
    fn column(&self, of: &[f32], d: usize) -> Vec<f64> {
        let rows = of.chunks_exact(self.0.width);
        rows.map(|row| f64::from(row[d])).collect()
    }

    /// The energy distance of each dimension, and that of a fresh sample.
    fn by_dimension(&self) -> impl Iterator<Item = (f64, f64)> {
        (0..self.0.width).map(|d| {
            let (samples, features) = (
                self.column(&self.0.points, d),
                self.column(&self.0.features, d),
            );
            let found = marginal_distance(&samples, &features);
            (found.energy_distance, found.of_fresh_sample)
        })
    }

    /// The largest ratio of a dimension's energy distance to that of a fresh sample.
    fn worst_marginal(&self) -> f64 {
        let ratios = self
            .by_dimension()
            .map(|(distance, fresh)| distance / fresh);
        ratios.fold(0.0, f64::max)
    }

    /// One row per dimension.
    fn marginals(&self) -> Table {
        let (distances, fresh) = self.by_dimension().unzip();
        let Compared {
            points,
            features,
            width,
            ..
        } = &self.0;
        let mut table = Table::default();
        table.int(names::DIMENSION, (0..*width as i64).collect());
        table.float(names::SAMPLE_VARIANCE, spectrum(points, *width).variance);
        table.float(names::FEATURE_VARIANCE, spectrum(features, *width).variance);
        table.float(names::MARGINAL_DISTANCE, distances);
        table.float(names::MARGINAL_FRESH_DISTANCE, fresh);
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Warned;
    use crate::data::{OutData, write_datasets};
    use crate::random::Streams;
    use crate::stages::{Preparation, StageConfig as _, Upstream, pretrain_flow};
    use burn::tensor::Device;
    use serde_json::json;

    /// The summary and warnings for N(0, I) as a flow of `features` [n, T, 2]; `rows` as in `pretrain_flow`.
    fn compared(features: &[f32], tokens: usize, rows: &str) -> (Summary, Vec<String>) {
        let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let [data, own] = dirs.each_ref().map(|dir| dir.path().to_owned());
        let file = data.join("features.h5");
        let shape = [features.len() / (2 * tokens), tokens, 2];
        write_datasets(&file, &[("features", &shape, OutData::F32(features))], &[]).unwrap();
        let config: pretrain_flow::Config = serde_json::from_value(json!({
            "features": {"file": file},
            "model": {"kind": "normal"},
            "rows": rows,
            "samples": 0,
            "nll_points": 0,
        }))
        .unwrap();
        let monitor = Warned::default();
        let nothing = Upstream(Vec::new());
        let Preparation::Ready(ready) = config.prepare(&nothing, 1, &monitor).unwrap() else {
            panic!("everything is made")
        };
        let context = Context {
            streams: Streams::of_stage("pretrain-flow", 1),
            device: Device::flex(),
            replicas: Vec::new(),
            dir: own,
            resume: None,
            kept: std::env::temp_dir(),
            monitor: &monitor,
        };
        let summary = ready.run(&nothing, &context).unwrap();
        let tables = monitor.tables.lock().unwrap();
        assert!(
            tables.contains(&(names::MARGINALS.to_owned(), 5)),
            "{tables:?}"
        );
        (summary, monitor.take())
    }

    fn p_value(summary: &Summary) -> f64 {
        summary.get(&of_rows("test", energy_test::P_VALUE)).unwrap()
    }

    #[test]
    fn a_flow_that_is_right_passes_and_one_that_lacks_two_modes_is_warned_of() {
        let mut features = Streams::new(5).normal("features", 0, 2 * 6000);
        let (right, warnings) = compared(&features, 1, "tokens");
        assert!(p_value(&right) > LEVEL, "{right:?}");
        assert_eq!(warnings, Vec::<String>::new());
        let sees = right.get(&of_rows("test", energy_test::POWER)).unwrap();
        assert!(sees > 0.9, "{sees}");

        for (number, x) in features.iter_mut().enumerate() {
            *x = 0.3 * *x + if number % 4 < 2 { 1.0 } else { -1.0 };
        }
        let (wrong, warnings) = compared(&features, 1, "tokens");
        assert!(p_value(&wrong) <= LEVEL, "{wrong:?}");
        let told = warnings.join("\n");
        for words in [
            "test features",
            "a classifier",
            "energy",
            "pretrain_flow.steps",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        let of = |summary: &Summary| {
            summary
                .get(&of_rows("test", names::WORST_MARGINAL))
                .unwrap()
        };
        assert!(of(&right) < 4.0 && of(&wrong) > 8.0, "{right:?} {wrong:?}");
    }

    /// Fails if there is no warning for features on a lattice, such as pixels.
    #[test]
    fn features_on_a_lattice_are_warned_of() {
        let mut features = Streams::new(5).normal("features", 0, 2 * 6000);
        features
            .iter_mut()
            .for_each(|x| *x = (8.0 * *x).round() / 8.0);
        let (_, warnings) = compared(&features, 1, "tokens");
        let told = warnings.join("\n");
        assert!(
            told.contains("2 of 2 columns") && told.contains("dequantisation"),
            "{told}"
        );
    }

    /// Fails if rows are compared token by token: each token alone follows the flow.
    #[test]
    fn tokens_that_repeat_each_other_pass_alone_and_fail_as_whole_rows() {
        let tokens = Streams::new(6).normal("features", 0, 2 * 6000);
        let rows: Vec<f32> = tokens.chunks(2).flat_map(|token| token.repeat(2)).collect();
        let (alone, _) = compared(&rows, 2, "tokens");
        assert!(p_value(&alone) > LEVEL, "{alone:?}");
        let (whole, _) = compared(&rows, 2, "sequences");
        assert!(p_value(&whole) <= LEVEL, "{whole:?}");
    }
}
