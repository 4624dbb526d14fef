//! Usefulness of latents: the accuracy of a linear probe, and the quality of samples of a flow fitted to them,
//! judged by the features of a classifier.
//!
//! The flow of this stage is fitted to the latents themselves, so that autoencoders are compared by their
//! latents and not by the prior they were regularised to.
//!
//! The classifier judges rows it was not trained on: results are compared with the test rows (and, for sweeps
//! that select, with the held-out rows). A Fréchet distance is in squared units of this classifier's features,
//! and is biased upwards by about 1/n for n rows. The distance between held-out and test data shows the size of
//! the bias; samples, of which there may be more, and reconstructions of the same rows can be below it.

use super::same_data::require_same_data;
use super::train_autoencoder;
use super::{AUTOENCODER, CLASSIFIER, Preparation, Prepared, Read, Sections};
use super::{Stage, StageConfig, Upstream};
use crate::autoencoders::{Autoencoder, AutoencoderHeader, Latents, PartLatents, write_images};
use crate::classifiers::{Classifier, LabelledFeatures, LinearProbe};
use crate::comparison::{Gaussian, frechet_distance};
use crate::context::{Context, Monitor, Summary};
use crate::data::{Attribute, Normaliser, OutData, Part, write_datasets};
use crate::devices::Numbers;
use crate::error::{Error, Result};
use crate::figures::{evaluate_latents as names, of_rows};
use crate::priors::{Batch, Evaluation, FitConfig, ROWS_PER_EVALUATION, Steps, points_of};
use crate::problems::Problems;
use crate::tensors::{from_f32, to_f32};
use burn::tensor::{Device, Tensor};
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Measure how useful the latents are: a linear probe, and samples of a flow fitted to them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "EvaluateLatents")]
pub struct Config {
    /// The file of another experiment, relative to this one, whose classifier judges; by default that of this
    /// experiment.
    pub classifier: Option<PathBuf>,
    /// The flow fitted to the latents of the training rows, whitened per dimension.
    pub flow: FitConfig,
    /// Number of samples of that flow to decode and compare with the data.
    pub samples: usize,
    /// Absolute and relative tolerance of the ODE solver (Dormand-Prince) for sampling.
    pub tolerance: f64,
    /// The L2 penalty of the linear probe: its loss is the mean cross-entropy in nats plus half of this
    /// times the sum of squared weights.
    pub probe_l2: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            classifier: None,
            flow: FitConfig::default(),
            samples: 2000,
            tolerance: 1e-3,
            probe_l2: 1e-3,
        }
    }
}

impl StageConfig for Config {
    fn stage(&self) -> Stage {
        Stage::EvaluateLatents
    }

    fn check(&self, problems: &mut Problems) {
        problems.section("flow", |p| self.flow.check(p));
        problems.at_least("samples", self.samples, 2);
        problems.fits("samples", self.samples, 1);
        problems.require(
            (1e-7..=1e-1).contains(&self.tolerance),
            "tolerance",
            self.tolerance,
            "a number in [1e-7, 0.1] (the network computes in f32), such as 1e-3",
        );
        problems.require(
            self.probe_l2 >= 1e-6 && self.probe_l2.is_finite(),
            "probe_l2",
            self.probe_l2,
            "at least 1e-6 (without it the probe of separable points has no minimum), such as 1e-3",
        );
    }

    fn check_with(&self, sections: &Sections, problems: &mut Problems) {
        let autoencoder = sections.get::<train_autoencoder::Config>();
        problems.require(
            autoencoder.is_some_and(|stage| stage.data.is_some()),
            "train_autoencoder",
            match autoencoder {
                Some(_) => "free points, which have no decoder",
                None => "no such section",
            },
            "an autoencoder of data, whose latents `evaluate_latents` measures",
        );
        problems.require(
            self.classifier.is_some() || sections.has(Stage::TrainClassifier),
            "evaluate_latents.classifier",
            "nothing, and no `train_classifier` section",
            "one of them: the file of an experiment that trains a classifier, or such a section here",
        );
    }

    fn reads(&self) -> Vec<Read> {
        vec![
            Read::own(AUTOENCODER, Stage::TrainAutoencoder),
            Read::own(CLASSIFIER, Stage::TrainClassifier).of("classifier", self.classifier.clone()),
        ]
    }

    fn numbers(&self) -> Option<Numbers> {
        Some(self.flow.precision.numbers("flow.precision"))
    }

    fn experiments(&mut self) -> Vec<&mut Option<PathBuf>> {
        vec![&mut self.classifier]
    }

    fn prepare(&self, _: &Upstream, _: u64, _: &dyn Monitor) -> Result<Preparation> {
        Ok(Preparation::Ready(Box::new(self.clone())))
    }
}

impl Prepared for Config {
    fn run(self: Box<Self>, upstream: &Upstream, context: &Context) -> Result<Summary> {
        run(
            &self,
            upstream.dir(AUTOENCODER)?,
            upstream.dir(CLASSIFIER)?,
            context,
        )
    }
}

/// Number of evaluations of the flow's held-out loss.
const EVALUATIONS: u64 = 10;
/// Triples of latents, noise and times per evaluation.
const EVALUATION_POINTS: usize = 2048;
/// Rows decoded at once.
const CHUNK: usize = 512;
/// Minimum number of rows per feature for reliable Fréchet distances.
const ROWS_PER_FEATURE: usize = 10;
/// Samples stored with the artifact.
const KEPT: usize = 64;

/// Measures the latents in the directory `autoencoder` with the classifier in the directory `classifier` and
/// fills the directory of `context`: `samples.h5` and `samples.png`.
///
/// # Errors
/// File errors; an input error for a classifier of other data, or one that was trained on rows it judges;
/// [`crate::Error::Diverged`]; [`crate::Error::Cancelled`].
fn run(
    config: &Config,
    autoencoder: &Path,
    classifier: &Path,
    context: &Context,
) -> Result<Summary> {
    let judge = Judge::load(autoencoder, classifier, &context.device)?;
    require_same_data(
        ("an autoencoder", autoencoder),
        "train_autoencoder.data",
        classifier,
    )?;
    let latents = Latents::load(autoencoder)?;
    let real = LabelledFeatures::load(classifier)?;
    let parts = latents.unseen();
    for (part, rows) in &parts {
        require_unseen(&real, *part, &rows.items, classifier)?;
    }

    let probe = Probe::fit(config, &latents, &real, context)?;
    let sampled = judge.decode(&draw(config, &latents, context)?, context)?;
    judge.write_samples(&sampled.images, context)?;
    let width = real.width();
    let samples = Gaussian::of_rows(&sampled.features, width, "decoded samples")?;

    let mut summary = Summary::default();
    let mut references = Vec::new();
    for (part, rows) in parts {
        let word = part.word();
        let features = real.features_of(&rows.items)?;
        let data = Gaussian::of_rows(&features, width, &format!("the {word} rows"))?;
        let reconstructed = judge.decode(&rows.values, context)?.features;
        let reconstructions = Gaussian::of_rows(&reconstructed, width, "reconstructions")?;
        let probed = probe.accuracy(rows, &real)?;
        summary.add(of_rows(word, names::PROBE_ACCURACY), probed);
        summary.add(
            of_rows(word, names::SAMPLES_DISTANCE),
            frechet_distance(&samples, &data),
        );
        summary.add(
            of_rows(word, names::RECONSTRUCTIONS_DISTANCE),
            frechet_distance(&reconstructions, &data),
        );
        references.push((rows.items.len(), data));
    }
    if let [(_, held_out), (_, test)] = &references[..] {
        summary.add(names::DATA_DISTANCE, frechet_distance(held_out, test));
    }
    if let Some((rows, _)) = references.last() {
        warn_of_few_rows(*rows, width, context);
    }
    Ok(summary)
}

/// Warns if there are too few rows for the covariance of the features.
fn warn_of_few_rows(rows: usize, width: usize, context: &Context) {
    let enough = ROWS_PER_FEATURE * width;
    if rows < enough {
        context.monitor.warn(&format!(
            "{rows} rows are few for Fréchet distances of {width} features (about {enough} are \
             enough): the distances are biased upwards; `test: {{fraction: ...}}` in \
             train_autoencoder and train_classifier sets their number"
        ));
    }
}

/// Refuses a classifier that was trained on some of `items`, which it would judge.
fn require_unseen(
    real: &LabelledFeatures,
    part: Part,
    items: &[i64],
    classifier: &Path,
) -> Result<()> {
    let trained_on = real.trained_on(items)?;
    let Some(first) = trained_on.first() else {
        return Ok(());
    };
    Err(Error::input(format!(
        "{}: found a classifier that trained on {} of the {} {} rows of the autoencoder, the first item \
         {first}, expected one that judges rows it has not seen; give train_classifier the same `held_out`, \
         `test` and seed as train_autoencoder",
        classifier.display(),
        trained_on.len(),
        items.len(),
        part.word()
    )))
}

/// A linear probe fitted to the standardised latents of the training rows.
struct Probe {
    standardise: Normaliser,
    probe: LinearProbe,
}

impl Probe {
    fn fit(
        config: &Config,
        latents: &Latents,
        real: &LabelledFeatures,
        context: &Context,
    ) -> Result<Self> {
        let width = latents.width();
        let standardise = Normaliser::standardise(&latents.train.values, width);
        let probe = LinearProbe::fit(
            &standardise.apply(&latents.train.values),
            width,
            &real.labels_of(&latents.train.items)?,
            real.classes(),
            config.probe_l2,
            || context.check_cancelled(),
        )?;
        Ok(Self { standardise, probe })
    }

    /// The accuracy on `rows`.
    fn accuracy(&self, rows: &PartLatents, real: &LabelledFeatures) -> Result<f64> {
        let points = self.standardise.apply(&rows.values);
        Ok((self.probe).accuracy(&points, &real.labels_of(&rows.items)?))
    }
}

/// Samples [n, T * d] of a flow fitted to the latents of the training rows, as latents.
fn draw(config: &Config, latents: &Latents, context: &Context) -> Result<Vec<f32>> {
    let (width, flow) = (latents.width(), &config.flow);
    let streams = context.streams;
    let whiten = Normaliser::standardise(&latents.train.values, width);
    let points = whiten.apply(&latents.train.values);
    let held_out = Batch::new(whiten.apply(&latents.held_out.values));
    let evaluation = Evaluation::new(
        &held_out,
        None,
        width,
        EVALUATION_POINTS,
        streams,
        &context.device,
    );
    let rows = points.len() / width;
    let batch = |step| {
        let mut rng = streams.at("rows", step);
        Ok((0..flow.batch)
            .flat_map(|_| {
                let row = rng.random_range(0..rows);
                points[row * width..(row + 1) * width].iter().copied()
            })
            .collect())
    };
    let every = (flow.steps / EVALUATIONS).max(1);
    let network = flow.fit(width, batch, &evaluation, every, streams, context)?;

    let mut samples = Vec::with_capacity(config.samples * width);
    for first in (0..config.samples).step_by(ROWS_PER_EVALUATION) {
        let count = ROWS_PER_EVALUATION.min(config.samples - first);
        let noise = streams.normal("samples", first as u64, count * width);
        let noise = from_f32(noise, [count, 1, width], &context.device);
        let drawn = points_of(
            &network,
            noise,
            Steps::Adaptive(config.tolerance),
            &mut |_| context.check_cancelled(),
        )?;
        samples.extend(to_f32(drawn.points)?);
        let done = (first + count) as u64;
        (context.monitor).progress("samples", done, config.samples as u64, "");
    }
    Ok((whiten.inverse(&samples)).expect("a diagonal without zeros is invertible"))
}

/// The frozen networks that decode latents and compute features of data.
struct Judge {
    autoencoder: Autoencoder,
    about: AutoencoderHeader,
    classifier: Classifier,
    /// Conversion from the scale of the autoencoder's data to that of the classifier's.
    factor: f64,
}

/// Decoded latents.
struct Decoded {
    /// The first ones as data of the autoencoder, row-major [n, C, H, W].
    images: Vec<f32>,
    /// The classifier's features of all of them, row-major [n, F].
    features: Vec<f32>,
}

impl Judge {
    fn load(autoencoder_dir: &Path, classifier_dir: &Path, device: &Device) -> Result<Self> {
        let (autoencoder, about) = Autoencoder::load(autoencoder_dir, device)?;
        let (classifier, header) = Classifier::load(classifier_dir, device)?;
        if about.shape != header.shape {
            return Err(Error::input(format!(
                "{}: found a classifier of {:?}, expected {:?}, the shape that the autoencoder in \
                 {} decodes to; train both on the same dataset",
                classifier_dir.display(),
                header.shape,
                about.shape,
                autoencoder_dir.display()
            )));
        }
        Ok(Self {
            factor: about.maximum / header.maximum,
            autoencoder,
            about,
            classifier,
        })
    }

    /// Latents [n, T * d] -> data and features.
    fn decode(&self, latents: &[f32], context: &Context) -> Result<Decoded> {
        let (tokens, width) = (self.about.latent.tokens, self.about.latent.width);
        let (mut images, mut features) = (Vec::new(), Vec::new());
        let kept = KEPT * self.about.shape.elements();
        for chunk in latents.chunks(CHUNK * tokens * width) {
            context.check_cancelled()?;
            let rows = [chunk.len() / width, width]; // [B * T, d]
            let decoded =
                (self.autoencoder).decode(from_f32(chunk.to_vec(), rows, &context.device));
            let data: Tensor<4> = self.about.reconstruction.data(decoded);
            if images.len() < kept {
                images.extend(to_f32(data.clone())?);
            }
            let scaled = data.mul_scalar(self.factor);
            features.extend(to_f32(self.classifier.features(scaled))?);
        }
        images.truncate(kept);
        Ok(Decoded { images, features })
    }

    /// Writes the first samples as HDF5 and as a picture.
    fn write_samples(&self, images: &[f32], context: &Context) -> Result<()> {
        let shape = self.about.shape;
        let count = images.len() / shape.elements();
        write_datasets(
            &context.dir.join("samples.h5"),
            &[(
                "samples",
                &[count, shape.channels, shape.height, shape.width],
                OutData::F32(images),
            )],
            &[(
                "origin",
                Attribute::Text("decoded samples of a flow fitted to the latents".into()),
            )],
        )?;
        let painted = write_images(&context.dir.join("samples.png"), images, shape)?;
        if !painted && shape.height > 1 {
            context.monitor.warn(&format!(
                "no picture of the samples: found {} channels, expected 1 or 3",
                shape.channels
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoencoders::{LatentConfig, Reconstruction};
    use crate::context::Silent;
    use crate::data::{Batches, Data, DataConfig, Demands, PartConfig, read_dataset_f32};
    use crate::posteriors::PosteriorConfig;
    use crate::random::Streams;
    use crate::stages::train_classifier;
    use crate::training::Trainer;
    use serde_json::json;
    use std::path::PathBuf;

    fn digits() -> PathBuf {
        PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap())
            .join("../configs/data/digits.h5")
    }

    fn context(dir: &Path) -> Context<'static> {
        Context {
            streams: Streams::of_stage("evaluate-latents", 1),
            device: Device::flex(),
            replicas: Vec::new(),
            dir: dir.to_owned(),
            resume: None,
            kept: std::env::temp_dir(),
            monitor: &Silent,
        }
    }

    /// Writes the artifact of an autoencoder trained for `steps` steps on the reconstruction alone.
    fn autoencoder(file: &Path, steps: u64, dir: &Path) {
        autoencoder_of(file, PartConfig::default(), steps, dir);
    }

    /// As [`autoencoder`], with the given test part.
    fn autoencoder_of(file: &Path, test: PartConfig, steps: u64, dir: &Path) {
        let architecture =
            serde_json::from_value(json!({"kind": "dense", "widths": [64]})).unwrap();
        let config: DataConfig =
            serde_json::from_value(json!({"file": file, "maximum": 16})).unwrap();
        let demands = Demands {
            stage: "train_autoencoder",
            parts: [&PartConfig::default(), &test],
            images_only: false,
            batch: 64,
            bounded: false,
            binarise: None,
        };
        let data = Data::read(&config, demands, 1, &Silent).unwrap();
        let header = AutoencoderHeader {
            architecture,
            latent: LatentConfig {
                tokens: 2,
                width: 4,
                top: None,
            },
            posterior: PosteriorConfig::default(),
            reconstruction: Reconstruction::Mse,
            shape: data.shape,
            maximum: data.maximum,
            binarise: None,
        };
        let device = Device::flex().autodiff();
        let model = Autoencoder::new(&header, Streams::new(1), &device).unwrap();
        let scale = data.scale.clone();
        let mut batches =
            Batches::start(&data.ingest, Part::Train, scale, 64, 1, 1 << 24, 0).unwrap();
        let optimiser = serde_json::from_value(json!({"learning_rate": 3e-3})).unwrap();
        let mut trainer = Trainer::new(model, &optimiser, steps);
        for _ in 0..steps {
            let rows = data.tensor(batches.next().unwrap(), &device);
            let decoded = trainer
                .module
                .decode(trainer.module.encode(rows.clone()).centre());
            let model = &trainer.module;
            let loss = model
                .reconstruction_losses(header.reconstruction, decoded, rows)
                .mean();
            trainer = trainer.step(loss.backward());
        }
        let model = trainer.averaged();
        model.save(&header, dir).unwrap();
        data.ingest.write_scan(dir).unwrap();
        let of_part = |part: Part| {
            let (mut items, mut latents) = (Vec::new(), Vec::new());
            let mut add = |ids: &[usize], rows: &[f32]| {
                let rows = data.tensor(data.scale.apply(rows), &Device::flex());
                latents.extend(to_f32(model.encode(rows).centre())?);
                items.extend(ids.iter().map(|&id| id as i64));
                Ok(())
            };
            data.ingest.for_each_block(part, &mut add).unwrap();
            (items, latents)
        };
        let parts = Part::ALL.map(of_part);
        let [train, held_out, test] = &parts;
        let shapes = [train, held_out, test].map(|part| ([part.0.len()], [part.0.len(), 2, 4]));
        write_datasets(
            &dir.join("latents.h5"),
            &[
                ("train_items", &shapes[0].0, OutData::I64(&train.0)),
                ("train_latents", &shapes[0].1, OutData::F32(&train.1)),
                ("held_out_items", &shapes[1].0, OutData::I64(&held_out.0)),
                ("held_out_latents", &shapes[1].1, OutData::F32(&held_out.1)),
                ("test_items", &shapes[2].0, OutData::I64(&test.0)),
                ("test_latents", &shapes[2].1, OutData::F32(&test.1)),
            ],
            &[],
        )
        .unwrap();
    }

    /// A classifier whose data is scaled differently from the autoencoder's, to [0, 1/2].
    fn classifier(dir: &Path) {
        let config: train_classifier::Config = serde_json::from_value(json!({
            "data": {"file": digits(), "maximum": 32},
            "architecture": {"kind": "dense", "widths": [48]},
            "features": 8,
            "optimiser": {"learning_rate": 4e-3},
            "steps": 200,
        }))
        .unwrap();
        let prepared = train_classifier::prepare(&config, 1, &Silent).unwrap();
        prepared.run(&context(dir)).unwrap();
    }

    fn config() -> Config {
        serde_json::from_value(json!({
            "flow": {
                "network": {"width": 32, "blocks": 2, "frequencies": 32},
                "optimiser": {"learning_rate": 3e-3},
                "steps": 200, "batch": 128, "times": 16,
            },
            "samples": 300,
        }))
        .unwrap()
    }

    #[test]
    fn a_trained_autoencoder_is_more_useful_than_an_untrained_one_by_every_figure() {
        let classified = tempfile::tempdir().unwrap();
        classifier(classified.path());
        let measure = |steps: u64| {
            let (encoded, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            autoencoder(&digits(), steps, encoded.path());
            let context = context(out.path());
            let summary = run(&config(), encoded.path(), classified.path(), &context).unwrap();
            assert!(out.path().join("samples.png").is_file());
            let path = out.path().join("samples.h5");
            let (shape, samples) = read_dataset_f32(&path, "samples").unwrap();
            assert_eq!(shape, [KEPT, 1, 8, 8]);
            assert!(samples.iter().all(|v| v.is_finite()));
            summary
        };
        let (untrained, trained) = (measure(1), measure(300));
        let figure = |summary: &Summary, name: &str| summary.get(name).unwrap();
        let [before, after] =
            [&untrained, &trained].map(|s| figure(s, "test linear probe accuracy"));
        assert!(after > before && after > 0.75, "{before} {after}");
        let floor = "Fréchet distance between held-out and test data";
        assert_eq!(figure(&untrained, floor), figure(&trained, floor));
        assert!(figure(&trained, floor) > 0.0);
        for name in ["samples", "reconstructions"] {
            for part in ["held-out", "test"] {
                let name = format!("{part} Fréchet distance of {name}");
                let (before, after) = (figure(&untrained, &name), figure(&trained, &name));
                assert!(after < 0.5 * before, "{name}: {before} {after}");
            }
        }
    }

    #[test]
    fn a_classifier_that_trained_on_rows_that_it_would_judge_is_refused() {
        let (encoded, classified) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let larger = PartConfig {
            fraction: Some(0.2),
            ..PartConfig::default()
        };
        autoencoder_of(&digits(), larger, 1, encoded.path());
        classifier(classified.path());
        let out = tempfile::tempdir().unwrap();
        let context = context(out.path());
        let error = run(&config(), encoded.path(), classified.path(), &context).unwrap_err();
        let message = error.to_string();
        for words in [
            "trained on",
            "test rows of the autoencoder",
            "the same `held_out`",
        ] {
            assert!(message.contains(words), "{words}: {message}");
        }
    }

    #[test]
    fn a_classifier_of_other_data_is_refused() {
        let (encoded, classified) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let other = encoded.path().join("other.h5");
        let (shape, mut images) = read_dataset_f32(&digits(), "images").unwrap();
        images.swap(3, 4); // the same shape and nearly the same moments
        images[0] += 1.0;
        write_datasets(&other, &[("images", &shape, OutData::F32(&images))], &[]).unwrap();
        autoencoder(&other, 1, encoded.path());
        classifier(classified.path());
        let out = tempfile::tempdir().unwrap();
        let context = context(out.path());
        let error = run(&config(), encoded.path(), classified.path(), &context).unwrap_err();
        assert!(error.to_string().contains("different data"), "{error}");
    }
}
