//! A small classifier whose penultimate activations are semantic features.

use super::{Preparation, Stage, StageConfig, Upstream};
use crate::architectures::ArchitectureConfig;
use crate::classifiers::{
    Classifier, ClassifierHeader, LabelledFeatures, Labels, accuracy, cross_entropy,
};
use crate::context::{Context, Monitor, Summary};
use crate::data::{
    Batches, Data, DataConfig, Dataset, Demands, Files, Part, PartConfig, check_memory,
    check_parts, files_of_parts,
};
use crate::devices::Shared;
use crate::error::Result;
use crate::figures::{PARAMETERS, curves, of_rows, train_classifier as names};
use crate::problems::Problems;
use crate::tensors::{scalar, to_f32};
use crate::training::{
    HeldOut, Length, OptimiserConfig, Step, Task, Term, Trainer, gathered, train,
};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Train a small classifier whose penultimate activations are semantic features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TrainClassifier")]
pub struct Config {
    /// The images or vectors to classify.
    pub data: DataConfig,
    /// The dataset of classes in the same file: integers 0 to K - 1, one per item, `[N]`.
    #[serde(default = "defaults::labels")]
    pub labels: String,
    /// Held-out rows, used for selection: learning curves, the best checkpoint, sweeps.
    #[serde(default)]
    pub held_out: PartConfig,
    /// Test rows, never used for selection; reported figures are of these.
    #[serde(default)]
    pub test: PartConfig,
    /// The layers before the features, as in an encoder.
    #[serde(default)]
    pub architecture: ArchitectureConfig,
    /// Number F of penultimate activations, the width of a feature.
    #[serde(default = "defaults::features")]
    pub features: usize,
    /// Optimiser and schedule.
    #[serde(default)]
    pub optimiser: OptimiserConfig,
    /// Training steps.
    #[serde(default = "defaults::steps")]
    pub steps: u64,
    /// Rows per step.
    #[serde(default = "defaults::batch")]
    pub batch: usize,
    /// Steps between evaluations on the held-out rows.
    #[serde(default = "defaults::evaluate_every")]
    pub evaluate_every: u64,
    /// Data smaller than this is kept in memory, larger data is streamed.
    #[serde(default = "defaults::memory_mib")]
    pub memory_mib: usize,
}

mod defaults {
    crate::defaults::defaults! {
        labels: String = "labels".into();
        features: usize = 32;
        steps: u64 = 500;
        batch: usize = 128;
        evaluate_every: u64 = 100;
        memory_mib: usize = 512;
    }
}

impl StageConfig for Config {
    fn stage(&self) -> Stage {
        Stage::TrainClassifier
    }

    fn example() -> Value {
        json!({"data": {"file": "images.h5"}})
    }

    fn check(&self, problems: &mut Problems) {
        problems.section("data", |p| self.data.check(p));
        check_parts(&self.held_out, &self.test, true, problems);
        problems.section("architecture", |p| self.architecture.check(p));
        problems.require(
            !matches!(self.architecture, ArchitectureConfig::Points { .. }),
            "architecture.kind",
            "points",
            "`dense` or `convolutional`, since free points have no data",
        );
        problems.require(
            !matches!(
                self.architecture,
                ArchitectureConfig::Dense { gated: true, .. }
            ),
            "architecture.gated",
            "true",
            "none: the layers of a classifier use SiLU",
        );
        problems.within("features", self.features, 1..=65_536);
        problems.section("optimiser", |p| self.optimiser.check(p));
        problems.at_least("steps", self.steps, 1);
        problems.at_least("batch", self.batch, 1);
        problems.at_least("evaluate_every", self.evaluate_every, 1);
        check_memory(problems, self.memory_mib);
    }

    fn shared(&self) -> Option<Shared> {
        Some(Shared::of_batch(self.batch))
    }

    fn inputs(&mut self) -> Vec<(String, &mut PathBuf)> {
        let data = self.data.file.inputs("data.file");
        data.chain(files_of_parts(&mut self.held_out, &mut self.test))
            .collect()
    }

    fn data_files(&mut self) -> Vec<(&'static str, &mut Files)> {
        vec![("data.file", &mut self.data.file)]
    }

    fn prepare(&self, _: &Upstream, seed: u64, monitor: &dyn Monitor) -> Result<Preparation> {
        let prepared = prepare(self, seed, monitor)?;
        Ok(Preparation::Ready(Box::new(prepared)))
    }
}

impl super::Prepared for Prepared {
    fn run(self: Box<Self>, _: &Upstream, context: &Context) -> Result<Summary> {
        (*self).run(context)
    }
}

/// The stage with its input opened, scanned and validated.
pub struct Prepared {
    config: Config,
    data: Data,
    labels: Labels,
}

/// Opens and scans the data and its labels; problems are found here, before any training.
///
/// # Errors
/// File errors; an input error for data or labels that do not match the configuration or each
/// other.
pub(super) fn prepare(config: &Config, seed: u64, monitor: &dyn Monitor) -> Result<Prepared> {
    let demands = Demands {
        stage: "train_classifier",
        parts: [&config.held_out, &config.test],
        images_only: config.architecture.takes_images(),
        batch: config.batch,
        bounded: false,
        binarise: None,
    };
    let data = Data::read(&config.data, demands, seed, monitor)?;
    let given = [&config.held_out, &config.test];
    let given = given.into_iter().filter(|part| part.dataset.is_some());
    let names = given.filter_map(|part| part.labels.as_deref());
    let names = [config.labels.as_str()].into_iter().chain(names);
    let sources: Vec<(&Dataset, &str)> = data.ingest.datasets().iter().zip(names).collect();
    let labels = Labels::read(&sources)?;
    Ok(Prepared {
        config: config.clone(),
        data,
        labels,
    })
}

/// Rows classified at once.
const CHUNK: usize = 512;

impl Prepared {
    /// Trains the classifier and fills the directory of `context`.
    ///
    /// # Errors
    /// Errors of reading and writing; [`crate::Error::Diverged`]; [`crate::Error::Cancelled`].
    pub fn run(self, context: &Context) -> Result<Summary> {
        self.data.ingest.write_scan(&context.dir)?;
        let held_out = Unseen::read(&self, Part::HeldOut, &context.device)?;
        let classifier = self.train(&held_out, context)?;
        let header = ClassifierHeader {
            architecture: self.config.architecture.clone(),
            features: self.config.features,
            classes: self.labels.classes(),
            shape: self.data.shape,
            maximum: self.data.maximum,
        };
        classifier.save(&header, &context.dir)?;
        self.write_features(&classifier, context)?;

        let mut summary = Summary::default();
        for &part in self.data.ingest.unseen() {
            let rows = Unseen::read(&self, part, &context.device)?;
            let (loss, accuracy) = rows.measure(&classifier)?;
            let word = part.word();
            summary.add(of_rows(word, names::ACCURACY), accuracy);
            summary.add(of_rows(word, names::CROSS_ENTROPY), loss);
        }
        summary.add(PARAMETERS, classifier.num_params() as f64);
        Ok(summary)
    }

    /// Trains the classifier for `config.steps` steps on the cross-entropy; returns it with
    /// averaged weights.
    fn train(&self, held_out: &Unseen, context: &Context) -> Result<Classifier> {
        let config = &self.config;
        let devices = context.tracked_devices();
        let classifier = Classifier::new(
            &config.architecture,
            config.features,
            self.labels.classes(),
            self.data.shape,
            context.streams,
            &devices[0],
        )
        .expect("the configuration is checked to have no free points");
        let mut batches = Batches::start(
            &self.data.ingest,
            Part::Train,
            self.data.scale.clone(),
            config.batch,
            context.streams.seed(),
            config.memory_mib << 20,
            context.first_step(),
        )?;
        let trainer = Trainer::new(classifier, &config.optimiser, config.steps);
        let length = Length {
            steps: config.steps,
            evaluate_every: config.evaluate_every,
        };
        let mut task = Classification {
            stage: self,
            batches: &mut batches,
            held_out,
            devices,
        };
        let trained = train(trainer, &mut task, length, context);
        batches.explain(trained, context)
    }

    /// Writes the features of the rows of all parts, in file order.
    fn write_features(&self, classifier: &Classifier, context: &Context) -> Result<()> {
        let (size, width) = (self.data.shape.elements(), self.config.features);
        let (mut items, mut features) = (Vec::new(), Vec::new());
        for part in Part::ALL {
            self.data.ingest.for_each_block(part, &mut |ids, rows| {
                for rows in rows.chunks(CHUNK * size) {
                    context.check_cancelled()?;
                    let rows = self.data.scale.apply(rows);
                    let rows = self.data.tensor(rows, &context.device);
                    features.extend(to_f32(classifier.features(rows))?);
                }
                items.extend(ids.iter().map(|&item| (item, part)));
                Ok(())
            })?;
        }
        let rows = (items.iter().zip(features.chunks_exact(width)))
            .map(|(&(item, part), row)| (item, self.labels.of(item), part, row))
            .collect();
        LabelledFeatures::write(rows, width, &context.dir)
    }
}

/// The training on the cross-entropy of batches.
struct Classification<'a> {
    stage: &'a Prepared,
    batches: &'a mut Batches,
    held_out: &'a Unseen,
    /// Of the replicas, with autodiff.
    devices: Vec<Device>,
}

impl Task<Classifier, 2> for Classification<'_> {
    const PART: &'static str = "classifier";
    const TERMS: [Term; 2] = [
        Term::LOSS,
        Term {
            train: curves::TRAIN_ACCURACY,
            held_out: curves::HELD_OUT_ACCURACY,
            words: "the held-out accuracy",
            part: "train_accuracy",
        },
    ];

    fn step(&mut self, replicas: &[&Classifier], _: u64) -> Result<Step<2>> {
        let batch = self.batches.next_of_items()?;
        let targets = (self.stage.labels).targets(&batch.items, &self.devices[0]);
        let rows = (self.stage.data).tensors(&batch.rows, &self.devices);
        let logits = replicas.iter().zip(rows);
        let logits = gathered(
            logits
                .map(|(classifier, rows)| classifier.logits(rows))
                .collect(),
        );
        let accuracy = accuracy(logits.clone().inner(), targets.clone().inner());
        let loss = cross_entropy(logits, targets);
        Ok(Step {
            terms: [Some(loss.clone()), Some(accuracy)],
            loss,
        })
    }

    fn evaluate(&mut self, averaged: &Classifier) -> Result<Option<HeldOut<2>>> {
        let (loss, accuracy) = self.held_out.measure(averaged)?;
        Ok(Some(HeldOut {
            loss,
            terms: [Some(loss), Some(accuracy)],
        }))
    }

    fn note([loss, accuracy]: [f64; 2]) -> String {
        format!("loss {loss:.4}, accuracy {accuracy:.3}")
    }
}

/// Held-out or test rows and their classes, on the device.
struct Unseen {
    chunks: Vec<(Tensor<4>, Tensor<2>)>,
}

impl Unseen {
    fn read(stage: &Prepared, part: Part, device: &Device) -> Result<Self> {
        let data = &stage.data;
        let at_most = match part {
            Part::Test => stage.config.test.at_most,
            _ => stage.config.held_out.at_most,
        };
        let found = data.ingest.some_rows_of_items(part, at_most)?;
        let rows = found.rows.chunks(CHUNK * data.shape.elements());
        let chunks = (found.items.chunks(CHUNK).zip(rows))
            .map(|(items, rows)| {
                let rows = data.tensor(data.scale.apply(rows), device);
                (rows, stage.labels.targets(items, device))
            })
            .collect();
        Ok(Self { chunks })
    }

    /// Cross-entropy in nats and accuracy, means over rows.
    fn measure(&self, classifier: &Classifier) -> Result<(f64, f64)> {
        let (mut loss, mut right, mut count) = (0.0, 0.0, 0.0);
        for (rows, targets) in &self.chunks {
            let here = rows.dims()[0] as f64;
            let logits = classifier.logits(rows.clone());
            loss += here * scalar(cross_entropy(logits.clone(), targets.clone()))?;
            right += here * scalar(accuracy(logits, targets.clone()))?;
            count += here;
        }
        Ok((loss / count, right / count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Silent;
    use crate::random::Streams;
    use crate::tensors::from_f32;
    use std::path::Path;

    /// A classifier of the handwritten digits after `steps` steps, in `dir`.
    fn classify(architecture: serde_json::Value, steps: u64, dir: &Path) -> (Summary, Device) {
        let file = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap())
            .join("../configs/data/digits.h5");
        let config: Config = serde_json::from_value(serde_json::json!({
            "data": {"file": file, "maximum": 16},
            "architecture": architecture,
            "features": 12,
            "optimiser": {"learning_rate": 4e-3},
            "steps": steps,
            "batch": 64,
        }))
        .unwrap();
        let mut problems = Problems::new();
        config.check(&mut problems);
        problems.into_result().unwrap();
        let device = Device::flex();
        let context = Context {
            streams: Streams::of_stage("train-classifier", 3),
            device: device.clone(),
            replicas: Vec::new(),
            dir: dir.to_owned(),
            resume: None,
            kept: std::env::temp_dir(),
            monitor: &Silent,
        };
        let prepared = prepare(&config, 3, &Silent).unwrap();
        (prepared.run(&context).unwrap(), device)
    }

    #[test]
    fn digits_are_told_apart_and_the_features_on_disk_are_those_of_the_weights_on_disk() {
        for architecture in [
            serde_json::json!({"kind": "dense", "widths": [48]}),
            serde_json::json!({"kind": "convolutional", "channels": [8, 16]}),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let (summary, device) = classify(architecture.clone(), 150, dir.path());
            let accuracy = summary.get("test accuracy").unwrap();
            assert!(accuracy > 0.7, "{architecture}: {accuracy}");

            let (classifier, header) = Classifier::load(dir.path(), &device).unwrap();
            assert_eq!((header.features, header.classes), (12, 10));
            let stored = LabelledFeatures::load(dir.path()).unwrap();
            let file = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap())
                .join("../configs/data/digits.h5");
            let (_, images) = crate::data::read_dataset_f32(&file, "images").unwrap();
            let images = images.iter().map(|v| v / 16.0).collect();
            let images: Tensor<4> = from_f32(images, [1797, 1, 8, 8], &device);
            let features = to_f32(classifier.features(images.clone())).unwrap();
            for (stored, computed) in stored.values().iter().zip(&features) {
                assert!((stored - computed).abs() < 1e-4, "{stored} {computed}");
            }

            // the accuracy in the summary is that of the logits on test rows
            let items: Vec<i64> = (0..1797).collect();
            let labels = stored.labels_of(&items).unwrap();
            let logits = to_f32(classifier.logits(images)).unwrap();
            let right = (logits.chunks_exact(10).zip(labels)).map(|(row, label)| {
                let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                row[label] == most
            });
            let tested: Vec<bool> = (stored.parts().zip(right))
                .filter_map(|(part, right)| (part == Part::Test).then_some(right))
                .collect();
            let share = tested.iter().filter(|r| **r).count() as f64 / tested.len() as f64;
            assert!((share - accuracy).abs() < 1e-6, "{share} {accuracy}");
        }
    }
}
