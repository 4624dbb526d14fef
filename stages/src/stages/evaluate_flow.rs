//! Whether a flow is trained: its samples beside features that it was not trained on.
//!
//! A verdict on latents, or on a loss that stands for the likelihood, rests on the flow: where samples of the flow
//! itself are told from the features, nothing that follows it can pass. Whole points are compared, all tokens of
//! a row together where the flow is of whole rows.

use super::two_samples::Compared;
use super::{FLOW, Preparation, Prepared, Read, Stage, StageConfig, Upstream};
use crate::comparison::{coverage, marginal_distance, power, spectrum};
use crate::context::{Context, Monitor, Summary, Table};
use crate::data::Part;
use crate::error::{Error, Result};
use crate::figures::two_samples::SAMPLES;
use crate::figures::{energy_test, evaluate_flow as names, of_rows};
use crate::priors::{Flow, KeptPoints, Placement, SampleOptions, Steps};
use crate::problems::Problems;
use crate::random::Streams;
use crate::tensors::to_f32;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Compare samples of the flow with features that it was not trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "EvaluateFlow")]
pub struct Config {
    /// Samples that are drawn for each part, and as many features that they are compared with: fewer where fewer
    /// were kept (`at_most` of `pretrain_flow.test` and `held_out`). Time and memory grow with the square.
    pub samples: usize,
    /// Random relabellings behind the p-value, which is at least one over one more than this.
    pub permutations: usize,
    /// Absolute and relative tolerance of the ODE solver that draws them; exact kinds ask for none.
    pub tolerance: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            samples: 1000,
            permutations: 199,
            tolerance: 1e-4,
        }
    }
}

/// Below this p-value samples are said to be told from features.
const LEVEL: f64 = 0.01;

impl StageConfig for Config {
    fn stage(&self) -> Stage {
        Stage::EvaluateFlow
    }

    fn check(&self, problems: &mut Problems) {
        problems.require(
            (8..=5000).contains(&self.samples),
            "samples",
            self.samples,
            "8 to 5000, such as 1000",
        );
        problems.require(
            (99..=9999).contains(&self.permutations),
            "permutations",
            self.permutations,
            "99 to 9999, such as 199 (a p-value of 0.01 needs 99)",
        );
        problems.require(
            (1e-7..=1e-1).contains(&self.tolerance),
            "tolerance",
            self.tolerance,
            "a number in [1e-7, 0.1] (the network computes in f32), such as 1e-4",
        );
    }

    fn reads(&self) -> Vec<Read> {
        vec![Read::own(FLOW, Stage::PretrainFlow)]
    }

    fn prepare(&self, upstream: &Upstream, _: u64, _: &dyn Monitor) -> Result<Preparation> {
        if let Some(flow) = upstream.made(FLOW)? {
            kept(flow)?;
        }
        Ok(Preparation::Ready(Box::new(self.clone())))
    }
}

impl Prepared for Config {
    fn run(self: Box<Self>, upstream: &Upstream, context: &Context) -> Result<Summary> {
        let dir = upstream.dir(FLOW)?;
        let flow = Flow::load(dir, &Placement::on(&context.device))?;
        let parts = kept(dir)?;
        let shown = parts.len() - 1;
        let mut summary = Summary::default();
        for (number, (part, features)) in parts.iter().enumerate() {
            let pair = self.draw(&flow, features, *part, context)?;
            let told = pair.compare(part.word(), self.permutations, &mut summary)?;
            if number == shown {
                context.monitor.table(names::MARGINALS, &pair.marginals())?;
                told.into_iter()
                    .for_each(|told| context.monitor.warn(&told));
            }
        }
        Ok(summary)
    }
}

/// The features of each part that the flow in `dir` keeps, of test rows last.
///
/// # Errors
/// File errors; an input error where it keeps none.
fn kept(dir: &Path) -> Result<Vec<(Part, KeptPoints)>> {
    let mut parts = Vec::new();
    for part in [Part::HeldOut, Part::Test] {
        parts.extend(KeptPoints::load(part, dir)?.map(|points| (part, points)));
    }
    if parts.is_empty() {
        return Err(Error::input(format!(
            "evaluate_flow: {}: found a flow without features, as an imported one is, expected one that this program \
             pretrained; remove `evaluate_flow`",
            dir.display()
        )));
    }
    Ok(parts)
}

impl Config {
    /// Samples and features of `part`, equal in number; samples have the conditions of the features, if any.
    fn draw(
        &self,
        flow: &Flow,
        features: &KeptPoints,
        part: Part,
        context: &Context,
    ) -> Result<Pair> {
        let shape = flow.prior.shape();
        let group = features.tokens / shape.tokens;
        let chosen = features.some(self.samples * shape.tokens);
        let points = chosen.points(shape, flow.prior.condition(), &context.device);
        let count = points.count();
        let task = format!("samples beside {} features", part.word());
        let mut progress = |share: f64| {
            let done = (share * count as f64).round() as u64;
            context.monitor.progress(&task, done, count as u64, "");
            context.check_cancelled()
        };
        let streams = context.streams;
        let options = SampleOptions {
            streams,
            temperature: 1.0,
            guidance: 1.0,
            steps: Steps::Adaptive(self.tolerance),
        };
        let samples = (flow.prior).sample(count, points.condition, &options, &mut progress)?;
        Ok(Pair {
            compared: Compared {
                what: SAMPLES,
                points: to_f32(samples)?,
                features: chosen.values,
                width: shape.elements(),
                group,
            },
            streams,
        })
    }
}

/// Samples and features, equal in number.
struct Pair {
    compared: Compared,
    streams: Streams,
}

impl Pair {
    /// The figures of the pair, and what is to be said where its halves are told apart.
    fn compare(
        &self,
        word: &str,
        permutations: usize,
        summary: &mut Summary,
    ) -> Result<Option<String>> {
        let Self { compared, streams } = self;
        let (features, width) = (&compared.features, compared.width);
        let count = compared.points.len() / width;
        let tests = compared.battery(permutations, *streams)?;
        let found = &tests.energy;
        let covered = coverage(&compared.points, features, width);
        let name = |name: &str| of_rows(word, name);
        compared.add_energy(names::DISTANCE, found, name, summary);
        summary.add(
            name(energy_test::POWER),
            power(features, width, count, *streams),
        );
        summary.add(name(names::COVERAGE), covered);
        summary.add(name(names::WORST_MARGINAL), self.worst_marginal());
        compared.add_battery(&tests, name, summary);
        let over_fresh = found.energy_distance / found.of_fresh_sample;
        Ok((found.p_value <= LEVEL).then(|| {
            format!(
                "samples of the flow are told from {count} {word} features (p-value {}, energy distance {over_fresh:.1} \
                 times that of a fresh sample, {:.0} % of features covered): the flow is undertrained or too small, \
                 and likelihoods under it are not those of the features; raise pretrain_flow.steps, or make \
                 pretrain_flow.model larger",
                found.p_value,
                100.0 * covered
            )
        }))
    }

    /// The values of dimension `d`.
    fn column(&self, of: &[f32], d: usize) -> Vec<f64> {
        let rows = of.chunks_exact(self.compared.width);
        rows.map(|row| f64::from(row[d])).collect()
    }

    /// The energy distance of each dimension, and that of a fresh sample.
    fn by_dimension(&self) -> impl Iterator<Item = (f64, f64)> {
        (0..self.compared.width).map(|d| {
            let (samples, features) = (
                self.column(&self.compared.points, d),
                self.column(&self.compared.features, d),
            );
            let found = marginal_distance(&samples, &features);
            (found.energy_distance, found.of_fresh_sample)
        })
    }

    /// The largest energy distance of a dimension over that of a fresh sample.
    fn worst_marginal(&self) -> f64 {
        let ratios = self
            .by_dimension()
            .map(|(distance, fresh)| distance / fresh);
        ratios.fold(0.0, f64::max)
    }

    /// A row for each dimension.
    fn marginals(&self) -> Table {
        let (distances, fresh) = self.by_dimension().unzip();
        let Compared {
            points,
            features,
            width,
            ..
        } = &self.compared;
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
    use crate::context::Monitor;
    use crate::data::{OutData, write_datasets};
    use crate::stages::{Artifact, Standing, pretrain_flow};
    use burn::tensor::Device;
    use serde_json::json;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Warned(Mutex<Vec<String>>);

    impl Monitor for Warned {
        fn cancelled(&self) -> bool {
            false
        }
        fn progress(&self, _: &str, _: u64, _: u64, _: &str) {}
        fn metrics(&self, _: u64, _: &[(&'static str, f64)]) {}
        fn table(&self, _: &str, table: &Table) -> Result<()> {
            assert_eq!(table.columns.len(), 5);
            Ok(())
        }
        fn warn(&self, message: &str) {
            self.0.lock().unwrap().push(message.to_owned());
        }
    }

    fn ready(
        config: &dyn StageConfig,
        upstream: &Upstream,
        monitor: &dyn Monitor,
    ) -> Result<Box<dyn Prepared>> {
        match config.prepare(upstream, 1, monitor)? {
            Preparation::Ready(ready) => Ok(ready),
            Preparation::Wait => panic!("everything is made"),
        }
    }

    fn flow_in(dir: &Path) -> Upstream {
        Upstream(vec![Artifact {
            role: FLOW,
            name: "pretrain-flow 0123".into(),
            dir: dir.to_owned(),
            standing: Standing::Made,
        }])
    }

    /// What the stage says of N(0, I) as a flow of `features` [n, T, 2], and what it warns of; `rows` as in
    /// `pretrain_flow`.
    fn evaluated(features: &[f32], tokens: usize, rows: &str) -> (Summary, Vec<String>) {
        let dirs = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let [data, flow, own] = dirs.each_ref().map(|dir| dir.path().to_owned());
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
        let device = Device::flex();
        let monitor = Warned::default();
        let context = |dir: &Path| Context {
            streams: Streams::of_stage("evaluate-flow", 1),
            device: device.clone(),
            dir: dir.to_owned(),
            resume: None,
            monitor: &monitor,
        };
        let nothing = Upstream(Vec::new());
        let pretrain = ready(&config, &nothing, &monitor).unwrap();
        pretrain.run(&nothing, &context(&flow)).unwrap();
        monitor.0.lock().unwrap().clear();
        let (config, upstream) = (Config::default(), flow_in(&flow));
        let evaluate = ready(&config, &upstream, &monitor).unwrap();
        let summary = evaluate.run(&upstream, &context(&own)).unwrap();
        (summary, monitor.0.into_inner().unwrap())
    }

    fn p_value(summary: &Summary) -> f64 {
        let of_test = summary.get(&of_rows("test", energy_test::P_VALUE));
        assert!(
            summary
                .get(&of_rows("held-out", energy_test::P_VALUE))
                .is_some()
        );
        of_test.unwrap()
    }

    #[test]
    fn a_flow_that_is_right_passes_and_one_that_lacks_two_modes_is_warned_of() {
        let mut features = Streams::new(5).normal("features", 0, 2 * 6000);
        let (right, warnings) = evaluated(&features, 1, "tokens");
        assert!(p_value(&right) > LEVEL, "{right:?}");
        assert_eq!(warnings, Vec::<String>::new());
        let sees = right.get(&of_rows("test", energy_test::POWER)).unwrap();
        assert!(sees > 0.9, "{sees}");

        for (number, x) in features.iter_mut().enumerate() {
            *x = 0.3 * *x + if number % 4 < 2 { 1.0 } else { -1.0 };
        }
        let (wrong, warnings) = evaluated(&features, 1, "tokens");
        assert!(p_value(&wrong) <= LEVEL, "{wrong:?}");
        let told = warnings.join("\n");
        assert!(
            told.contains("test features") && told.contains("pretrain_flow.steps"),
            "{told}"
        );
        let of = |summary: &Summary| {
            summary
                .get(&of_rows("test", names::WORST_MARGINAL))
                .unwrap()
        };
        assert!(of(&right) < 4.0 && of(&wrong) > 8.0, "{right:?} {wrong:?}");
    }

    /// Red where rows are compared token by token: each token alone is as the flow has it.
    #[test]
    fn tokens_that_repeat_each_other_pass_alone_and_fail_as_whole_rows() {
        let tokens = Streams::new(6).normal("features", 0, 2 * 6000);
        let rows: Vec<f32> = tokens.chunks(2).flat_map(|token| token.repeat(2)).collect();
        let (alone, _) = evaluated(&rows, 2, "tokens");
        assert!(p_value(&alone) > LEVEL, "{alone:?}");
        let (whole, _) = evaluated(&rows, 2, "sequences");
        assert!(p_value(&whole) <= LEVEL, "{whole:?}");
    }

    #[test]
    fn a_flow_without_features_is_refused_before_anything_runs() {
        let dir = tempfile::tempdir().unwrap();
        let upstream = flow_in(dir.path());
        let refused = ready(&Config::default(), &upstream, &Warned::default());
        let told = refused.err().unwrap().to_string();
        assert!(told.contains("a flow without features"), "{told}");
    }
}
