//! `encode`, `decode`, `sample` and `score` for a run of a model of sequences: text in, latents out, and back.

use super::applied::{Applied, tell};
use crate::console::Console;
use crate::inference::{Input, Job, Model, Output, dataset_of};
use crate::store::Store;
use crate::tables::TableWriter;
use anyhow::Result;
use latent_align_stages::Error;
use latent_align_stages::context::Summary;
use latent_align_stages::inference::{OfSequences, SequenceFile};
use serde_json::{Value, json};
use std::path::Path;

/// What a command on sequences needs.
pub struct Command<'a> {
    applied: &'a Applied,
    output: Output,
    model: Model,
    store: &'a Store,
    console: &'a Console,
}

/// Refuses options that models of sequences do not have, if one of them was `given`.
///
/// # Errors
/// An input error that names the first.
pub fn refuse(given: &[(&str, bool)]) -> Result<()> {
    match given.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((option, _)) => Err(Error::input(format!(
            "{option}: found it for a run whose model is of sequences, expected it left out: it is for models of numbers"
        ))
        .into()),
    }
}

impl<'a> Command<'a> {
    /// The command on the run of `applied`, whose destination is `output`, with digests of `store`.
    pub fn new(
        applied: &'a Applied,
        output: Output,
        model: Model,
        store: &'a Store,
        console: &'a Console,
    ) -> Self {
        Self {
            applied,
            output,
            model,
            store,
            console,
        }
    }

    /// Encodes the sequences of `file`.
    ///
    /// # Errors
    /// As [`OfSequences::encode`].
    pub fn encode(self, file: &Path, dataset: Option<&str>) -> Result<()> {
        let input = Input::open(file, dataset.unwrap_or_default(), self.store)?;
        let device = self.applied.device()?.open()?;
        let file = SequenceFile { file, dataset };
        let work = OfSequences::encode(&self.model.dir, &file, &device)?;
        let own = self.model.fingerprint().to_owned();
        self.run("encode", Some(&input), json!({}), &work, |partial, file| {
            work.write_latents(partial, &own, file)
        })
    }

    /// Decodes the latents of `file`.
    ///
    /// # Errors
    /// As [`OfSequences::decode`].
    pub fn decode(self, file: &Path, dataset: Option<&str>) -> Result<()> {
        let dataset = dataset_of(file, dataset, &["latents"])?;
        let input = Input::open(file, &dataset, self.store)?;
        let device = self.applied.device()?.open()?;
        let own = self.model.fingerprint();
        let work = OfSequences::decode(&self.model.dir, &input.source(), own, &device)?;
        self.run("decode", Some(&input), json!({}), &work, |partial, file| {
            work.write_texts(partial, file)
        })
    }

    /// Draws `count` samples.
    ///
    /// # Errors
    /// As [`OfSequences::sample`].
    pub fn sample(self, count: usize, seed: u64, temperature: f64) -> Result<()> {
        if !(temperature >= 0.0 && temperature.is_finite()) {
            return Err(Error::input(format!(
                "--temperature: found {temperature}, expected zero or a positive number such as 1"
            ))
            .into());
        }
        let device = self.applied.device()?.open()?;
        let work = OfSequences::sample(&self.model.dir, (count, seed), temperature, &device)?;
        let options = json!({"count": count, "seed": seed, "temperature": temperature});
        self.run("sample", None, options, &work, |partial, file| {
            work.write_texts(partial, file)
        })
    }

    /// Scores the sequences of `file`, and prints the mean figures.
    ///
    /// # Errors
    /// As [`OfSequences::score`].
    pub fn score(self, file: &Path, dataset: Option<&str>, seed: u64) -> Result<()> {
        let input = Input::open(file, dataset.unwrap_or_default(), self.store)?;
        let device = self.applied.device()?.open()?;
        let file = SequenceFile { file, dataset };
        let work = OfSequences::score(&self.model.dir, &file, seed, &device)?;
        let (console, is_stream) = (self.console, self.output.is_stream());
        let model = self.model.fingerprint().to_owned();
        let mut figures = Summary::default();
        self.run(
            "score",
            Some(&input),
            json!({"seed": seed}),
            &work,
            |partial, file| {
                let (table, summary) = work.scores(partial)?;
                figures = summary;
                let about = [("units", "nats".to_owned()), ("model", model)];
                let mut writer = TableWriter::create(file, &about);
                writer.append(&table)?;
                writer.finish()
            },
        )?;
        tell(figures, "all sequences", is_stream, console);
        Ok(())
    }

    fn run(
        self,
        name: &'static str,
        input: Option<&Input>,
        options: Value,
        work: &OfSequences,
        write: impl FnOnce(
            &mut latent_align_stages::inference::Partial,
            &Path,
        ) -> latent_align_stages::Result<()>,
    ) -> Result<()> {
        let model = self.model.fingerprint();
        let written = format!("{} (model of sequences {model})", work.written());
        let job = Job {
            name,
            console: self.console,
            input,
            about: (self.applied).about([("model", self.model.identity()), ("options", options)]),
        };
        Ok(job.run(work, self.output, write, &written)?)
    }
}
