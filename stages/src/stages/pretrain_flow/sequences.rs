//! The stage for sequences of tokens.
//!
//! Besides the model with its alphabet, its artifact contains `scan.json`, and `samples.txt` with one decoded
//! sample per line.

use super::config::{Config, defaults};
use super::rows::Rows;
use crate::context::{Context, Monitor, Summary};
use crate::data::{NonFinite, NormalisationConfig, Part, Split};
use crate::error::{Error, Result};
use crate::figures::{PARAMETERS, of_rows, pretrain_flow as names};
use crate::numerics::mean;
use crate::priors::{FitSequences, FittedSequences};
use crate::problems::Problems;
use crate::sequences::{Corpus, Found, Sequence, SequenceSource, Tokeniser};
use crate::stages::{self, Sections, Stage, Upstream};
use crate::tensors::spread_indices;
use std::collections::HashSet;
use std::fmt::Display;

/// Stages that read a flow over numbers.
const OF_NUMBERS: [Stage; 6] = [
    Stage::TrainAutoencoder,
    Stage::Transport,
    Stage::EstimateNll,
    Stage::EvaluateLikelihood,
    Stage::Sample,
    Stage::EvaluateLatents,
];

/// Reports settings that do not apply to sequences or, for numeric features, settings that apply to sequences only.
pub fn check(config: &Config, problems: &mut Problems) {
    match &config.features.tokeniser {
        Some(tokeniser) => check_of_sequences(config, tokeniser, problems),
        None => check_of_numbers(config, problems),
    }
}

fn check_of_numbers(config: &Config, problems: &mut Problems) {
    if let Some(longest) = config.features.longest {
        problems.add(
            "features.longest",
            longest,
            "none without `features.tokeniser`: only sequences have a length",
        );
    }
    problems.require(
        config.model.of_numbers(),
        "model.kind",
        format!("`{}` without `features.tokeniser`", config.model.name()),
        "a kind for numeric features, such as `flow_matching`; this one is for sequences",
    );
}

fn check_of_sequences(config: &Config, tokeniser: &Tokeniser, problems: &mut Problems) {
    let features = &config.features;
    if let Some(longest) = features.longest {
        problems.within("features.longest", longest, 1..=4096);
    }
    let mut applies = |key: &str, holds: bool, found: &dyn Display, expected: &str| {
        let found = format!("{found} with `features.tokeniser`");
        problems.require(holds, key, found, expected);
    };
    applies(
        "model.kind",
        config.model.of_sequences().is_some(),
        &format!("`{}`", config.model.name()),
        "`seqflow`, `gumbel_max` or `sequence_vae`, the kinds for sequences of tokens",
    );
    let from_file = features.from.is_none();
    applies(
        "features.from",
        from_file,
        &"an artifact",
        "a file of your own",
    );
    applies(
        "features.non_finite",
        features.non_finite == NonFinite::Refuse,
        &"a rule for numbers",
        "none: tokens are always finite",
    );
    applies(
        "features.dataset",
        matches!(tokeniser, Tokeniser::Ids { .. }) || features.dataset == defaults::dataset(),
        &format!("`{}`", features.dataset),
        "none: a text file has no datasets; token numbers in an HDF5 file need `tokeniser: {kind: ids}`",
    );
    applies(
        "normalisation",
        config.normalisation == NormalisationConfig::default(),
        &"a normalisation",
        "none: embedded tokens have length 1",
    );
    applies(
        "rows",
        config.rows == Rows::default(),
        &"a view of rows",
        "none: a sequence is one point of all its tokens",
    );
    let noise = "none: the noise of tokens is `model.embedding.noise`";
    applies("noise", config.noise.is_none(), &"noise", noise);
    applies(
        "condition",
        config.condition.is_none(),
        &"a condition",
        "none: flows over sequences are unconditional",
    );
    let is_one = !features.file.are_several();
    applies(
        "features.file",
        is_one,
        &features.file,
        "one text file: join them",
    );
    applies(
        "compared",
        config.compared == defaults::compared(),
        &config.compared,
        "none: samples are decoded and searched for in the data instead",
    );
    applies(
        "memory_mib",
        config.memory_mib == defaults::memory_mib(),
        &config.memory_mib,
        "none: sequences are kept in memory",
    );
    for (key, part) in [("held_out", &config.held_out), ("test", &config.test)] {
        for (name, given) in [
            ("dataset", part.dataset.is_some()),
            ("indices", part.indices.is_some()),
            ("file", part.file.is_some()),
        ] {
            let expected = "`fraction`: parts are drawn with the seed";
            let found = "a part that is given";
            applies(&format!("{key}.{name}"), !given, &found, expected);
        }
    }
}

/// Reports sections that read a flow over numbers.
pub fn check_with(config: &Config, sections: &Sections, problems: &mut Problems) {
    if config.features.tokeniser.is_none() {
        return;
    }
    for stage in OF_NUMBERS.into_iter().filter(|&stage| sections.has(stage)) {
        problems.add(
            stage.section(),
            "a section",
            "none: the flow of this experiment is over sequences, `pretrain_flow.features.tokeniser`",
        );
    }
}

/// The stage with its sequences read and validated.
pub struct Prepared {
    config: Config,
    corpus: Corpus,
    found: Found,
}

/// Reads the sequences, split by `tokeniser`; problems are found here, before any training.
///
/// # Errors
/// File errors; input errors with line and column.
pub fn prepare(
    config: &Config,
    tokeniser: &Tokeniser,
    seed: u64,
    monitor: &dyn Monitor,
) -> Result<Prepared> {
    let features = &config.features;
    let source = SequenceSource {
        file: features.file.first().to_owned(),
        dataset: features.dataset.clone(),
        tokeniser: tokeniser.clone(),
        longest: features.longest,
    };
    let corpus = source.read()?;
    let split = Split::drawn(seed, config.held_out.share(), config.test.share());
    let found = Found::of(&corpus, &split);
    let [train, held_out, test] = found.parts;
    let wants = |part: Part, count: usize, share: f64| match count == 0 && share > 0.0 {
        false => Ok(()),
        true => Err(Error::input(format!(
            "{}: found no sequence in the {} part of {} ({} of them different), expected at least \
             one; give more sequences, or raise pretrain_flow.{}.fraction",
            features.file,
            part.word(),
            found.sequences,
            found.sequences - found.duplicates,
            part.key(),
        ))),
    };
    wants(Part::Train, train, 1.0)?;
    wants(Part::HeldOut, held_out, 1.0)?;
    wants(Part::Test, test, config.test.share())?;
    if config.test.share() == 0.0 {
        monitor.warn(
            "no test part (pretrain_flow.test.fraction is 0): figures are of held-out \
            sequences, which are also used for selection",
        );
    }
    Ok(Prepared {
        config: config.clone(),
        corpus,
        found,
    })
}

impl stages::Prepared for Prepared {
    fn run(self: Box<Self>, _: &Upstream, context: &Context) -> Result<Summary> {
        (*self).run(context)
    }
}

impl Prepared {
    fn run(self, context: &Context) -> Result<Summary> {
        self.found.write(&context.dir)?;
        let held_out = self.some(Part::HeldOut, self.config.held_out.at_most);
        let evaluated = spread_indices(held_out.len(), self.config.evaluation_points);
        let fit = FitSequences {
            alphabet: &self.corpus.alphabet,
            train: &self.some(Part::Train, usize::MAX),
            held_out: &evaluated.map(|i| held_out[i].clone()).collect::<Vec<_>>(),
            schedule: &self.config.schedule(),
        };
        let kind = (self.config.model.of_sequences()).expect("checked with the configuration");
        let (flow, figures) = kind.fit_sequences(fit, context)?;
        let flow = flow.as_ref();
        flow.write(&context.dir)?;
        let mut summary = figures;
        let test = self.some(Part::Test, self.config.test.at_most);
        let scored = self.config.nll_points;
        for (part, sequences) in [(Part::Test, &test), (Part::HeldOut, &held_out)] {
            let chosen = spread_indices(sequences.len(), scored);
            let chosen: Vec<Sequence> = chosen.map(|i| sequences[i].clone()).collect();
            if !chosen.is_empty() {
                self.likelihoods(flow, part, &chosen, &mut summary, context)?;
                context.check_cancelled()?;
            }
        }
        self.samples(flow, &mut summary, context)?;
        summary.add(PARAMETERS, flow.parameters() as f64);
        Ok(summary)
    }

    /// At most `at_most` sequences of `part`, evenly spaced.
    fn some(&self, part: Part, at_most: usize) -> Vec<Sequence> {
        let items = self.found.items(part);
        let chosen = spread_indices(items.len(), at_most);
        chosen
            .map(|i| self.corpus.sequences[items[i]].clone())
            .collect()
    }

    fn likelihoods(
        &self,
        flow: &dyn FittedSequences,
        part: Part,
        chosen: &[Sequence],
        summary: &mut Summary,
        context: &Context,
    ) -> Result<()> {
        let word = part.word();
        let alphabet = &self.corpus.alphabet;
        let tokens: usize = chosen
            .iter()
            .map(|sequence| alphabet.tokens_of(sequence))
            .sum();
        let a_token = |sum: f64| sum / tokens as f64;
        let found = flow.likelihoods(chosen, context.streams)?;
        let bound: f64 = found.bounds.iter().sum();
        if bound.is_finite() {
            summary.add(of_rows(word, names::SEQUENCE_NLL), a_token(bound));
        }
        let frequencies = self.frequencies(chosen);
        summary.add(of_rows(word, names::FREQUENCY_NLL), a_token(frequencies));
        let (name, value) = found.besides;
        summary.add(of_rows(word, name), value);
        let noisy = flow.noisy_latents(chosen, context.streams)?;
        summary.add(of_rows(word, names::LATENT_SQUARE), mean_square(&noisy));
        for (name, latents) in [
            (names::EXACT_NOISY, noisy),
            (names::EXACT, flow.encode(chosen)?),
        ] {
            let decoded = flow.decode(&latents)?;
            let exact = decoded.iter().zip(chosen).filter(|(a, b)| a == b).count();
            summary.add(of_rows(word, name), exact as f64 / chosen.len() as f64);
        }
        Ok(())
    }

    /// The NLL of `chosen` in nats under independent tokens with their frequencies in all sequences.
    fn frequencies(&self, chosen: &[Sequence]) -> f64 {
        let occurrences = &self.found.occurrences;
        let all: usize = occurrences.iter().sum();
        let of = |token: u32| (all as f64 / occurrences[token as usize] as f64).ln();
        let longest = self.corpus.alphabet.longest();
        let sequence = |sequence: &Sequence| {
            let end = if sequence.len() < longest { of(0) } else { 0.0 };
            sequence.iter().map(|&token| of(token)).sum::<f64>() + end
        };
        chosen.iter().map(sequence).sum()
    }

    /// Draws samples, writes them as text, and reports how many occur in the data.
    fn samples(
        &self,
        flow: &dyn FittedSequences,
        summary: &mut Summary,
        context: &Context,
    ) -> Result<()> {
        let count = self.config.samples;
        if count == 0 {
            return Ok(());
        }
        let size = flow.tokens() * flow.width();
        let drawn = flow.decode(&context.streams.normal("samples", 0, count * size))?;
        context.check_cancelled()?;
        let known: HashSet<&Sequence> = self.corpus.sequences.iter().collect();
        let share = |count_of: usize| count_of as f64 / count as f64;
        let in_data = drawn
            .iter()
            .filter(|sequence| known.contains(sequence))
            .count();
        let different = drawn.iter().collect::<HashSet<_>>().len();
        summary.add(names::SAMPLES_IN_DATA, share(in_data));
        summary.add(names::DIFFERENT_SAMPLES, share(different));
        let lines = drawn.iter().map(|sequence| flow.text(sequence) + "\n");
        let path = context.dir.join("samples.txt");
        std::fs::write(&path, lines.collect::<String>()).map_err(|e| Error::file(&path, e))
    }
}

fn mean_square(values: &[f32]) -> f64 {
    mean(
        &values
            .iter()
            .map(|&z| f64::from(z).powi(2))
            .collect::<Vec<_>>(),
    )
}
