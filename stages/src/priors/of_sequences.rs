//! Models fitted to sequences of tokens, and the common parts of their training.

use super::condition::ConditionKind;
use super::drawing::Ways;
use super::kind::{Fit, Fitted, PriorConfig, Schedule};
use super::prior::{Placement, PointShape, Prior};
use crate::context::{Context, Summary};
use crate::error::{Error, Result};
use crate::problems::Problems;
use crate::random::Streams;
use crate::sequences::{Alphabet, Sequence, SequenceModel};
use crate::training::{OptimiserConfig, Step, Task, Trainer};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;
use rand::seq::SliceRandom;
use std::path::Path;

/// The configuration of a kind of sequence model.
pub trait FitsSequences {
    /// Fits the model and returns figures of the training. Resumes from the checkpoint in `context`, if any.
    ///
    /// # Errors
    /// [`Error::Diverged`]; [`Error::Cancelled`]; device errors.
    fn fit_sequences(
        &self,
        fit: FitSequences,
        context: &Context,
    ) -> Result<(Box<dyn FittedSequences>, Summary)>;
}

/// Data and settings of a fit to sequences.
pub struct FitSequences<'a> {
    pub alphabet: &'a Alphabet,
    /// Training sequences.
    pub train: &'a [Sequence],
    /// Held-out sequences, used to choose weights.
    pub held_out: &'a [Sequence],
    pub schedule: &'a Schedule,
}

/// A fitted sequence model.
pub trait FittedSequences: SequenceModel {
    /// Number of trained parameters.
    fn parameters(&self) -> usize;

    /// Writes the model into the directory `dir`.
    ///
    /// # Errors
    /// File errors.
    fn write(&self, dir: &Path) -> Result<()>;

    /// Likelihoods of `sequences`, or bounds, with random numbers from `streams`.
    ///
    /// # Errors
    /// Device errors; a numerical error for NaN.
    fn likelihoods(&self, sequences: &[Sequence], streams: Streams) -> Result<Likelihoods>;

    /// Latents [n, T d] of `sequences` with fresh noise, distributed as under the model.
    ///
    /// # Errors
    /// Device errors.
    fn noisy_latents(&self, sequences: &[Sequence], streams: Streams) -> Result<Vec<f32>>;
}

/// Likelihoods of sequences, or bounds on them.
pub struct Likelihoods {
    /// An upper bound on the NLL of each sequence in nats, averaged over draws; infinite if there is none.
    pub bounds: Vec<f64>,
    /// A further figure of this kind of model over all sequences, with its name.
    pub besides: (&'static str, f64),
}

/// Fits `config` to `train` on a CPU, for tests.
#[cfg(test)]
pub(super) fn fitted(
    config: &dyn FitsSequences,
    alphabet: &Alphabet,
    parts: [&[Sequence]; 2],
    schedule: &Schedule,
) -> Box<dyn FittedSequences> {
    fitted_by(1, config, alphabet, parts, schedule)
}

/// As [`fitted`], by a number of replicas.
#[cfg(test)]
fn fitted_by(
    devices: usize,
    config: &dyn FitsSequences,
    alphabet: &Alphabet,
    [train, held_out]: [&[Sequence]; 2],
    schedule: &Schedule,
) -> Box<dyn FittedSequences> {
    let context = Context {
        streams: Streams::new(0),
        device: burn::tensor::Device::flex(),
        replicas: vec![burn::tensor::Device::flex(); devices - 1],
        dir: std::path::PathBuf::new(),
        kept: std::env::temp_dir(),
        resume: None,
        monitor: &crate::context::Silent,
    };
    let fit = FitSequences {
        alphabet,
        train,
        held_out,
        schedule,
    };
    config.fit_sequences(fit, &context).unwrap().0
}

/// `sequences` as rows [n, T].
pub(super) fn rows_of<'a>(
    alphabet: &Alphabet,
    sequences: impl IntoIterator<Item = &'a Sequence>,
) -> Vec<u32> {
    let rows = sequences.into_iter().map(|sequence| alphabet.row(sequence));
    rows.flatten().collect()
}

/// One-hot tokens of rows [n, T] with a vocabulary of `size`, 0 after the first end of a row: [n, T, V].
pub(super) fn said(rows: &[u32], [tokens, size]: [usize; 2]) -> Vec<f32> {
    let mut said = vec![0.0; rows.len() * size];
    let each = rows
        .chunks_exact(tokens)
        .zip(said.chunks_exact_mut(tokens * size));
    for (row, said) in each {
        let with_end = Alphabet::sequence_of_row(row).len() + 1;
        for (&token, said) in row.iter().zip(said.chunks_exact_mut(size)).take(with_end) {
            said[token as usize] = 1.0;
        }
    }
    said
}

/// The configuration of a kind of sequence model that is not a density over points.
pub(super) trait OfSequencesAlone {
    /// Name of the kind, as in `kind: NAME`.
    const KIND: &str;

    /// Reports every value out of range.
    fn check(&self, problems: &mut Problems);
}

/// The error for using `kind` as a density over points.
fn of_sequences_alone(kind: &str) -> Error {
    Error::input(format!(
        "model.kind: found `{kind}` for features that are numbers, expected sequences, `features.tokeniser`, or another \
         kind"
    ))
}

impl<K: OfSequencesAlone> PriorConfig for K {
    fn check(&self, problems: &mut Problems) {
        OfSequencesAlone::check(self, problems);
    }

    fn ways(&self) -> Ways {
        Ways::plain(K::KIND)
    }

    fn parameters(&self, _: PointShape, _: Option<ConditionKind>) -> u128 {
        0
    }

    fn fit(&self, _: Fit, _: &Context) -> Result<Fitted> {
        Err(of_sequences_alone(K::KIND))
    }

    fn load(
        &self,
        _: &Path,
        _: PointShape,
        _: Option<ConditionKind>,
        _: &Placement,
    ) -> Result<Box<dyn Prior>> {
        Err(of_sequences_alone(K::KIND))
    }
}

/// Refuses invalid sequences.
///
/// # Errors
/// An input error that shows the sequence.
pub(super) fn require(alphabet: &Alphabet, sequences: &[Sequence]) -> Result<()> {
    let (longest, size) = (alphabet.longest(), alphabet.size());
    let good = |sequence: &&Sequence| {
        let known = |&token: &u32| (1..size as u32).contains(&token);
        sequence.len() <= longest && sequence.iter().all(known)
    };
    match sequences.iter().find(|sequence| !good(sequence)) {
        None => Ok(()),
        Some(sequence) => Err(Error::input(format!(
            "found the sequence {sequence:?}, expected at most {longest} tokens from 1 to {}",
            size - 1
        ))),
    }
}

/// Training order of sequences: reshuffled in each epoch.
pub(super) struct Shuffled<'a> {
    sequences: &'a [Sequence],
    batch: usize,
    /// The epoch of `order`.
    pass: Option<u64>,
    order: Vec<usize>,
}

impl<'a> Shuffled<'a> {
    pub fn new(sequences: &'a [Sequence], batch: usize) -> Self {
        Self {
            sequences,
            batch,
            pass: None,
            order: Vec::new(),
        }
    }

    /// The sequences of `step`.
    pub fn at(&mut self, step: u64, streams: Streams) -> Vec<&'a Sequence> {
        let count = self.sequences.len() as u64;
        let places = step * self.batch as u64..(step + 1) * self.batch as u64;
        let mut of_place = |place: u64| {
            let pass = place / count;
            if self.pass != Some(pass) {
                self.pass = Some(pass);
                self.order = (0..self.sequences.len()).collect();
                let mut rng = streams.at("order of sequences", pass);
                self.order.shuffle(&mut rng);
            }
            &self.sequences[self.order[(place % count) as usize]]
        };
        places.map(&mut of_place).collect()
    }
}

/// Sequences per step of [`refitted`].
const REFIT_BATCH: usize = 32;

/// Trains `module`, which has no autodiff, on `sequences` for one epoch of `task` with Adam at a learning rate of 1e-3
/// and gradients clipped at 1, as in the released code of NF-BO. Noise and order are keyed by `round`. Returns the
/// module unchanged if there are no sequences.
///
/// # Errors
/// An input error for an invalid sequence; [`Error::Diverged`]; [`Error::Cancelled`] if `cancelled` returns true;
/// device errors.
pub(super) fn refitted<'a, M: Module, T: Task<M, 1>>(
    module: M,
    (alphabet, sequences): (&Alphabet, &'a [Sequence]),
    round: u64,
    cancelled: &dyn Fn() -> bool,
    task: impl FnOnce(Shuffled<'a>) -> T,
) -> Result<M> {
    /// Moves weights to the device with autodiff.
    struct Track;
    impl ModuleMapper for Track {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|weights| Tensor::from_inner(weights).require_grad())
        }
    }
    if sequences.is_empty() {
        return Ok(module);
    }
    require(alphabet, sequences)?;
    let batch = REFIT_BATCH.min(sequences.len());
    let steps = sequences.len().div_ceil(batch) as u64;
    let mut task = task(Shuffled::new(sequences, batch));
    let optimiser = OptimiserConfig {
        learning_rate: 1e-3,
        warmup_steps: 0,
        final_learning_rate: 1.0,
        gradient_clip: 1.0,
        ema: 0.0,
        ..OptimiserConfig::default()
    };
    let mut trainer = Trainer::new(module.map(&mut Track), &optimiser, steps);
    for step in round * steps..(round + 1) * steps {
        if cancelled() {
            return Err(Error::Cancelled);
        }
        let Step { loss, .. } = task.step(&[&trainer.module], step)?;
        trainer = trainer.step(loss.backward());
    }
    trainer.check()?;
    Ok(trainer.module.valid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::priors::ModelConfig;
    use crate::priors::conformance::values_in;
    use crate::sequences::Tokeniser;
    use serde_json::json;

    /// The weights after 20 steps on runs of one letter, shared by `devices`.
    fn weights(config: &ModelConfig, devices: usize) -> Vec<f32> {
        let letters = ('a'..='d').map(String::from).collect();
        let alphabet = Alphabet::new(Tokeniser::Characters, 5, letters);
        let runs = (0..20).map(|i: u32| vec![1 + i % 4; 1 + i as usize / 4]);
        let runs: Vec<Sequence> = runs.collect();
        let schedule = Schedule::short(20);
        let config = config.of_sequences().expect("a kind for sequences");
        let fitted = fitted_by(devices, config, &alphabet, [&runs, &runs], &schedule);
        let dir = tempfile::tempdir().unwrap();
        fitted.write(dir.path()).unwrap();
        let files = std::fs::read_dir(dir.path()).unwrap();
        let mut values = Vec::new();
        for file in files.map(|file| file.unwrap().path()) {
            if file.extension().is_some_and(|of| of == "safetensors") {
                values.extend(values_in(&std::fs::read(file).unwrap()));
            }
        }
        values
    }

    /// Fails if replicas see the same sequences, or the noise of others.
    #[test]
    fn replicas_that_share_sequences_take_the_steps_of_one_that_has_all_of_them() {
        let small = json!({"embedding": 8, "width": 24, "layers": 2});
        let [mut vae, mut gumbel_max] = [small.clone(), small];
        (vae["kind"], vae["latent"]) = (json!("sequence_vae"), json!(6));
        gumbel_max["kind"] = json!("gumbel_max");
        let read = |config| serde_json::from_value::<ModelConfig>(config).unwrap();
        let flow = ModelConfig::SeqFlow(crate::priors::SeqFlow::examples()[0].clone());
        for config in [read(vae), read(gumbel_max), flow] {
            let whole = weights(&config, 1);
            for devices in [2, 4] {
                let shared = weights(&config, devices);
                assert!(!whole.is_empty() && whole.len() == shared.len());
                let far = whole.iter().zip(&shared).map(|(a, b)| (a - b).abs());
                let far = far.fold(0.0, f32::max);
                assert!(far < 1e-4, "{}: {devices}: {far}", config.name());
            }
        }
    }
}
