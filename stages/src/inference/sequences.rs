//! Encoding, decoding, sampling and scoring of sequences under a sequence model.

use super::columns::{self, Column};
use super::lineage::Lineage;
use super::rows;
use super::work::{Keep, Work};
use crate::context::{Monitor, Summary, Table};
use crate::data::{Attribute, Dataset, SourceConfig};
use crate::error::{Error, Result};
use crate::figures::sequences as names;
use crate::persist::Partial;
use crate::priors::{FittedSequences, open_fitted_sequences};
use crate::random::Streams;
use crate::sequences::{Alphabet, Sequence, SequenceSource, Tokeniser};
use burn::tensor::Device;
use std::fmt::Write as _;
use std::path::Path;

/// Sequences per pass of a model.
const AT_ONCE: usize = 512;

/// A sequence model and the task to do with it.
pub struct OfSequences {
    model: Box<dyn FittedSequences>,
    job: Job,
}

/// What is done.
enum Job {
    Encode(Vec<Sequence>),
    Score(Vec<Sequence>, Streams),
    Decode(Dataset),
    Sample {
        count: usize,
        temperature: f32,
        streams: Streams,
    },
}

/// The file of sequences to encode or score.
pub struct SequenceFile<'a> {
    /// A text file, or an HDF5 file of token indices.
    pub file: &'a Path,
    /// The dataset of token indices.
    pub dataset: Option<&'a str>,
}

impl SequenceFile<'_> {
    fn read(&self, alphabet: &Alphabet) -> Result<Vec<Sequence>> {
        let numbers = matches!(alphabet.tokeniser(), Tokeniser::Ids { .. });
        if let (Some(dataset), false) = (self.dataset, numbers) {
            return Err(Error::input(format!(
                "--dataset: found `{dataset}`, expected none: the model's sequences are text, one sequence per line"
            )));
        }
        let source = SequenceSource {
            file: self.file.to_owned(),
            dataset: self.dataset.unwrap_or("tokens").to_owned(),
            tokeniser: alphabet.tokeniser().clone(),
            longest: None,
        };
        Ok(source.read_in(alphabet)?.sequences)
    }
}

impl OfSequences {
    /// Encodes the sequences of `file` with the model in the directory `dir`.
    ///
    /// # Errors
    /// File errors; input errors with line and column for invalid sequences.
    pub fn encode(dir: &Path, file: &SequenceFile, device: &Device) -> Result<Self> {
        let model = open_fitted_sequences(dir, device)?;
        let job = Job::Encode(file.read(model.alphabet())?);
        Ok(Self { model, job })
    }

    /// Scores the sequences of `file`, with noise from `seed`.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn score(dir: &Path, file: &SequenceFile, seed: u64, device: &Device) -> Result<Self> {
        let model = open_fitted_sequences(dir, device)?;
        let sequences = file.read(model.alphabet())?;
        let job = Job::Score(sequences, Streams::of_stage("score", seed));
        Ok(Self { model, job })
    }

    /// Decodes the latents of `source`; those of a model other than `own` are refused.
    ///
    /// # Errors
    /// As [`Dataset::open`]; input errors for rows of another shape, and for latents of another model.
    pub fn decode(dir: &Path, source: &SourceConfig, own: &str, device: &Device) -> Result<Self> {
        let model = open_fitted_sequences(dir, device)?;
        let dataset = source.open()?;
        let (held, tokens, width) = (&dataset.shape()[1..], model.tokens(), model.width());
        if held != [tokens, width] && held != [tokens * width] {
            return Err(Error::input(format!(
                "{}: found rows of shape {held:?}, expected latents [N, {tokens}, {width}], as \
                 produced by the sequence model; encode sequences with this run",
                dataset.describe()
            )));
        }
        let lineage = Lineage::of(&dataset);
        if let Some(theirs) = lineage.flow.as_deref().filter(|&theirs| theirs != own) {
            return Err(Error::input(format!(
                "{}: found latents of the model {theirs}, expected those of {own}; decode them with `latent-align decode \
                 {theirs}`, or encode the sequences with this run",
                dataset.describe()
            )));
        }
        let job = Job::Decode(dataset);
        Ok(Self { model, job })
    }

    /// Draws `count` samples from noise of `seed` with the standard deviation `temperature`.
    ///
    /// # Errors
    /// File errors for the model in `dir`.
    pub fn sample(
        dir: &Path,
        (count, seed): (usize, u64),
        temperature: f64,
        device: &Device,
    ) -> Result<Self> {
        let job = Job::Sample {
            count,
            temperature: temperature as f32,
            streams: Streams::of_stage("sample", seed),
        };
        let model = open_fitted_sequences(dir, device)?;
        Ok(Self { model, job })
    }

    /// Writes the latents of `partial` to the HDF5 file `path`: `latents` [N, T, d] of the model `own`.
    ///
    /// # Errors
    /// File errors.
    pub fn write_latents(&self, partial: &mut Partial, own: &str, path: &Path) -> Result<()> {
        let lineage = Lineage {
            flow: Some(own.to_owned()),
            ..Lineage::default()
        };
        let mut attributes = lineage.attributes();
        let meaning = Attribute::Text("the latent of each sequence".into());
        attributes.push(("meaning".into(), meaning));
        let column = Column {
            name: "latents".into(),
            shape: vec![self.model.tokens(), self.model.width()],
            attributes,
        };
        columns::write(partial, &[column], path)
    }

    /// Writes the sequences of `partial` as text to `path`, one per line.
    ///
    /// # Errors
    /// File errors.
    pub fn write_texts(&self, partial: &mut Partial, path: &Path) -> Result<()> {
        let longest = self.model.alphabet().longest();
        let mut text = String::new();
        partial.each(|bytes| {
            let tokens: Vec<u32> = (bytes.chunks_exact(4))
                .map(|four| u32::from_ne_bytes(four.try_into().expect("four bytes")))
                .collect();
            for row in tokens.chunks_exact(longest) {
                let sequence = Alphabet::sequence_of_row(row);
                writeln!(text, "{}", self.model.text(&sequence)).expect("a string takes all");
            }
            Ok(())
        })?;
        std::fs::write(path, text).map_err(|e| Error::file(path, e))
    }

    /// One row per sequence: its text, the number of tokens including the end token, and a bound on its NLL; and
    /// overall figures.
    ///
    /// # Errors
    /// File errors.
    pub fn scores(&self, partial: &mut Partial) -> Result<(Table, Summary)> {
        let Job::Score(sequences, _) = &self.job else {
            unreachable!("only scores are asked for")
        };
        let mut bounds: Vec<f64> = Vec::new();
        partial.each(|bytes| {
            let eight = bytes.chunks_exact(8);
            bounds.extend(eight.map(|b| f64::from_ne_bytes(b.try_into().expect("eight bytes"))));
            Ok(())
        })?;
        let alphabet = self.model.alphabet();
        let tokens: Vec<i64> = (sequences.iter())
            .map(|sequence| alphabet.tokens_of(sequence) as i64)
            .collect();
        let mut summary = Summary::default();
        let all = tokens.iter().sum::<i64>() as f64;
        summary.add(names::BOUND, bounds.iter().sum::<f64>() / all);
        let mut table = Table::default();
        let texts = sequences.iter().map(|sequence| self.model.text(sequence));
        table.text(names::TEXT, texts.collect());
        table.int(names::TOKENS, tokens);
        table.float(names::NLL, bounds);
        Ok((table, summary))
    }

    /// Describes the output.
    pub fn written(&self) -> String {
        let (rows, model) = (self.total(), &self.model);
        match self.job {
            Job::Encode(_) => format!(
                "/latents {:?} f32, the latent of each sequence",
                [rows, model.tokens(), model.width()]
            ),
            Job::Score(..) => format!("bounds on the NLLs of {rows} sequences in nats"),
            Job::Decode(_) => format!("{rows} decoded sequences, one per line"),
            Job::Sample { .. } => format!("{rows} sampled sequences, one per line"),
        }
    }

    /// Decodes `latents` to rows [n, longest] of bytes.
    fn kept(&self, latents: &[f32], keep: Keep) -> Result<()> {
        let alphabet = self.model.alphabet();
        let decoded = self.model.decode(latents)?;
        let rows: Vec<u32> = decoded.iter().flat_map(|s| alphabet.row(s)).collect();
        keep(bytemuck::cast_slice(&rows))
    }
}

impl Work for OfSequences {
    fn task(&self) -> &'static str {
        "sequences"
    }

    fn total(&self) -> usize {
        match &self.job {
            Job::Encode(sequences) | Job::Score(sequences, _) => sequences.len(),
            Job::Decode(dataset) => dataset.items(),
            Job::Sample { count, .. } => *count,
        }
    }

    fn row_bytes(&self) -> usize {
        match self.job {
            Job::Encode(_) => self.model.tokens() * self.model.width() * size_of::<f32>(),
            Job::Score(..) => size_of::<f64>(),
            _ => self.model.alphabet().longest() * size_of::<u32>(),
        }
    }

    fn compute(&self, from: usize, _: &dyn Monitor, keep: Keep) -> Result<()> {
        let size = self.model.tokens() * self.model.width();
        match &self.job {
            Job::Encode(sequences) => sequences[from..]
                .chunks(AT_ONCE)
                .try_for_each(|some| keep(bytemuck::cast_slice(&self.model.encode(some)?))),
            Job::Score(sequences, streams) => {
                let mut first = from as u64;
                sequences[from..].chunks(AT_ONCE).try_for_each(|some| {
                    let streams = Streams::of_stage("score", streams.seed().wrapping_add(first));
                    first += some.len() as u64;
                    keep(bytemuck::cast_slice(
                        &self.model.likelihoods(some, streams)?.bounds,
                    ))
                })
            }
            Job::Decode(dataset) => rows::each(dataset, from, AT_ONCE, None, |_, latents| {
                self.kept(latents, keep)
            }),
            Job::Sample {
                count,
                temperature,
                streams,
            } => (from..*count).step_by(AT_ONCE).try_for_each(|first| {
                let some = AT_ONCE.min(count - first);
                let mut noise = streams.normal("samples", first as u64, some * size);
                noise.iter_mut().for_each(|z| *z *= temperature);
                self.kept(&noise, keep)
            }),
        }
    }
}
