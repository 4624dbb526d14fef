//! Proposals of a round: regions, candidates, and what a surrogate hopes of them.

use super::adaptive::{differences, importance, probabilities};
use super::anchors::anchors;
use super::candidates::{candidates, endings, redrawn_tokens};
use super::config::LatentsConfig;
use super::length::{Length, Shown, patience};
use super::surrogate::{Evaluated, Fits, Surrogate};
use crate::error::{Error, Result};
use crate::gaussian_process::Points;
use crate::optimisation::history::History;
use crate::optimisation::proposer::{Proposal, Proposer};
use crate::random::{Streams, normal};
use crate::sequences::{Sequence, SequenceModel};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::Path;

/// Attempts at enough new sequences in a round, each in larger regions than the one before.
const ATTEMPTS: usize = 10;
/// The state between rounds, and the model's weights, in the folder of a state.
const STATE: &str = "latents.json";
const WEIGHTS: &str = "model.safetensors";

/// Thompson sampling in trust regions of the latents of a model.
pub struct Latents {
    config: LatentsConfig,
    model: Box<dyn SequenceModel>,
    state: State,
    /// The latents of the first evaluations that the model can encode, under its weights as they are.
    encoded: Vec<f32>,
}

/// What is kept from round to round besides the model's weights.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    length: Length,
    /// Where the fits of the surrogate's settings start from.
    fits: Fits,
    /// Evaluations that the model was fitted to last, or that there were at the start.
    refitted: Option<usize>,
    /// The share of known sequences, and the best value, in the last round.
    last: Option<(f64, f64)>,
}

/// What was evaluated, as the model sees it.
struct Seen {
    sequences: Vec<Sequence>,
    /// To be high; none where infeasible.
    values: Vec<Option<f64>>,
    /// [n, T d].
    latents: Vec<f32>,
}

/// A region, and what candidates in it came to.
struct Region {
    /// Sequences that were not evaluated, each once.
    fresh: Vec<Sequence>,
    /// The candidates that decoded to them, [n, T d].
    candidates: Vec<f32>,
    /// Their own latents, [n, T d].
    latents: Vec<f32>,
}

impl Latents {
    /// A search in the latents of `model`.
    pub fn new(config: LatentsConfig, model: Box<dyn SequenceModel>) -> Self {
        let length = Length::new(config.regions.rule, config.regions.length);
        let state = State {
            length,
            fits: Fits::default(),
            refitted: None,
            last: None,
        };
        Self {
            config,
            model,
            state,
            encoded: Vec::new(),
        }
    }

    /// Numbers of a latent.
    fn elements(&self) -> usize {
        self.model.tokens() * self.model.width()
    }

    /// The evaluations whose text the model can encode, and their latents. Those of a round are encoded together, whenever that
    /// is: a search that was interrupted has the same latents.
    fn seen(&mut self, history: &History) -> Result<Seen> {
        let (mut sequences, mut values, mut rounds) = (Vec::new(), Vec::new(), Vec::new());
        for evaluation in history.evaluations() {
            if let Ok(sequence) = self.model.sequence(&evaluation.text) {
                sequences.push(sequence);
                values.push(history.value(evaluation));
                rounds.push(evaluation.round);
            }
        }
        if !values.iter().any(Option::is_some) {
            return Err(Error::input(format!(
                "of the {} sequences evaluated so far none is both feasible and in the vocabulary of the model; \
                 start from more or better ones (`initial`)",
                history.evaluations().len()
            )));
        }
        let mut done = self.encoded.len() / self.elements();
        for of_round in rounds[done..].chunk_by(|a, b| a == b) {
            let new = &sequences[done..][..of_round.len()];
            self.encoded.extend(self.model.encode(new)?);
            done += of_round.len();
        }
        Ok(Seen {
            sequences,
            values,
            latents: self.encoded.clone(),
        })
    }

    /// Has the model go on training where enough is new.
    fn refit(
        &mut self,
        history: &History,
        streams: Streams,
        round: u64,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        let (every, count) = (self.config.refit.every, history.evaluations().len());
        let before = *self.state.refitted.get_or_insert(count);
        if every == 0 || count < before + every {
            return Ok(());
        }
        let chosen = self.worth_learning(history);
        self.model.refit(&chosen, streams, round, cancelled)?;
        self.state.refitted = Some(count);
        // latents are others now
        self.state.fits = Fits::default();
        self.encoded.clear();
        Ok(())
    }

    /// The best and the newest of the feasible evaluations, as sequences: a model that learns infeasible ones proposes more
    /// of them.
    fn worth_learning(&self, history: &History) -> Vec<Sequence> {
        let all = history.evaluations().iter();
        let feasible = all.clone().filter(|evaluation| evaluation.score.is_some());
        let newest = feasible.rev().take(self.config.refit.newest);
        let best = history.best_first().into_iter();
        let best = best.take(self.config.refit.best);
        let chosen: HashSet<&str> = best.chain(newest).map(|e| e.text.as_str()).collect();
        all.filter(|evaluation| chosen.contains(evaluation.text.as_str()))
            .filter_map(|evaluation| self.model.sequence(&evaluation.text).ok())
            .collect()
    }

    /// What is believed after what was seen.
    fn surrogate(&mut self, seen: &Seen, rng: &mut Pcg64) -> Result<Surrogate> {
        let evaluated = Evaluated {
            latents: &seen.latents,
            tokens: self.model.tokens(),
            width: self.model.width(),
            values: &seen.values,
        };
        Surrogate::new(
            &evaluated,
            &self.config.surrogate,
            &mut self.state.fits,
            rng,
        )
    }

    /// The probability that a number of each token changes in candidates about `centre`, which stands for `sequence`.
    fn changes(&self, centre: &[f32], sequence: &[u32], rng: &mut Pcg64) -> Result<Vec<f64>> {
        let (tokens, width) = (self.model.tokens(), self.model.width());
        let perturbation = &self.config.perturbation;
        let Some(temperature) = perturbation.temperature.filter(|_| tokens > 1) else {
            return Ok(vec![perturbation.share; tokens]);
        };
        let mut redrawn = Vec::with_capacity(tokens * perturbation.draws * centre.len());
        for token in 0..tokens {
            for _ in 0..perturbation.draws {
                let mut latent = centre.to_vec();
                latent[token * width..][..width].copy_from_slice(&normal(rng, width));
                redrawn.extend(latent);
            }
        }
        let decoded = self.model.decode(&redrawn)?;
        let changed: Vec<Vec<usize>> = decoded
            .chunks(perturbation.draws)
            .map(|draws| draws.iter().map(|d| differences(d, sequence)).collect())
            .collect();
        let omega = importance(&changed);
        Ok(probabilities(&omega, perturbation.share, temperature))
    }

    /// The region about evaluation `anchor`: what is new of its candidates, `taken` being what is not, and how many of all
    /// were.
    fn region(
        &self,
        (seen, anchor): (&Seen, usize),
        history: &History,
        taken: &mut HashSet<Sequence>,
        rng: &mut Pcg64,
    ) -> Result<(Region, usize)> {
        let elements = self.elements();
        let centre = &seen.latents[anchor * elements..][..elements];
        let sequence = &seen.sequences[anchor];
        let changes = self.changes(centre, sequence, rng)?;
        let (tokens, count) = (self.model.tokens(), self.config.regions.candidates);
        let share = |share: f64| match tokens {
            1 => 0,
            _ => (share * count as f64) as usize,
        };
        let (some, anew) = (
            share(self.config.perturbation.tokens),
            share(self.config.perturbation.endings),
        );
        let side = self.state.length.side;
        let mut drawn = candidates(centre, &changes, side, count - some - anew, rng);
        drawn.extend(redrawn_tokens(centre, tokens, sequence.len(), some, rng));
        drawn.extend(endings(centre, tokens, sequence.len(), anew, rng));
        let decoded = self.model.decode(&drawn)?;
        let (mut fresh, mut from, mut known) = (Vec::new(), Vec::new(), 0);
        for (sequence, latent) in decoded.into_iter().zip(drawn.chunks(elements)) {
            let text = self.model.text(&sequence);
            if text.is_empty() || history.knows(&text) {
                known += 1;
            } else if taken.insert(sequence.clone()) {
                fresh.push(sequence);
                from.extend_from_slice(latent);
            }
        }
        let region = Region {
            latents: self.model.encode(&fresh)?,
            candidates: from,
            fresh,
        };
        Ok((region, known))
    }

    /// The `quota` sequences of `region` that draws of `surrogate` hope most of, each the best of a draw of its own.
    fn best_of_draws<'b>(
        &self,
        surrogate: &Surrogate,
        (index, region): (u32, &'b Region),
        quota: usize,
        history: &History,
        rng: &mut Pcg64,
    ) -> Vec<Proposal> {
        let points =
            |latents: &[f32]| Points::new(latents, self.model.tokens(), self.model.width());
        let (own, candidates) = (points(&region.latents), points(&region.candidates));
        let judged = match self.config.regions.encode_again {
            true => &own,
            false => &candidates,
        };
        let mut chosen: Vec<usize> = Vec::new();
        let quota = quota.min(region.fresh.len());
        for hopes in surrogate.hopes(judged, quota, self.config.surrogate.features, rng) {
            let best = (hopes.into_iter().enumerate())
                .filter(|(place, _)| !chosen.contains(place))
                .max_by(|(_, a), (_, b)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
            chosen.extend(best.map(|(place, _)| place));
        }
        let expects = |points: &Points| surrogate.expects(&points.select(&chosen));
        let (of_own, of_candidates) = (expects(&own), expects(&candidates));
        let elements = self.elements();
        let row = |latents: &'b [f32], place: usize| &latents[place * elements..][..elements];
        (chosen.iter().enumerate())
            .map(|(i, &place)| {
                let (value, spread) = match self.config.regions.encode_again {
                    true => of_own[i],
                    false => of_candidates[i],
                };
                let (a, b) = (row(&region.latents, place), row(&region.candidates, place));
                Proposal {
                    text: self.model.text(&region.fresh[place]),
                    region: Some(index),
                    predicted: Some(history.score(value)),
                    uncertainty: Some(spread),
                    moved: Some(root_mean_square(a, b)),
                    discrepancy: Some((of_own[i].0 - of_candidates[i].0).abs()),
                }
            })
            .collect()
    }
}

/// The root mean square of the differences between two rows.
fn root_mean_square(a: &[f32], b: &[f32]) -> f64 {
    let squares = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2));
    (squares.sum::<f64>() / a.len() as f64).sqrt()
}

impl Proposer for Latents {
    fn propose(
        &mut self,
        history: &History,
        count: usize,
        streams: Streams,
        round: u64,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<Proposal>> {
        let best = |history: &History| history.best().and_then(|best| history.value(best));
        let best = best(history).unwrap_or(f64::NEG_INFINITY);
        if let Some((known, before)) = self.state.last {
            let better = best > before;
            let patience = patience(self.elements(), count);
            self.state.length.after(Shown { known, better }, patience);
        }
        self.refit(history, streams, round, cancelled)?;
        let seen = self.seen(history)?;
        let surrogate = self.surrogate(&seen, &mut streams.at("surrogate", round))?;
        let feasible: Vec<usize> = (0..seen.values.len())
            .filter(|&i| seen.values[i].is_some())
            .collect();
        let values: Vec<f64> = feasible.iter().filter_map(|&i| seen.values[i]).collect();
        let mut rng = streams.at("regions", round);
        let (mut proposals, mut taken) = (Vec::new(), HashSet::new());
        for _ in 0..ATTEMPTS {
            let regions = &self.config.regions;
            let most = regions.count.min(count);
            let about = anchors(&values, most, regions.temperature, &mut rng);
            let mut known = 0;
            for (index, &anchor) in about.iter().enumerate() {
                if cancelled() {
                    return Err(Error::Cancelled);
                }
                let (region, old) =
                    self.region((&seen, feasible[anchor]), history, &mut taken, &mut rng)?;
                known += old;
                let quota = (count - proposals.len()) / (about.len() - index);
                let numbered = (index as u32, &region);
                let of_region = self.best_of_draws(&surrogate, numbered, quota, history, &mut rng);
                proposals.extend(of_region);
            }
            let share = known as f64 / (about.len() * regions.candidates) as f64;
            self.state.last = Some((share, best));
            if proposals.len() == count {
                break;
            }
            self.state.length.grow();
        }
        Ok(proposals)
    }

    fn encoded_and_back(&self, texts: &[&str]) -> Result<Vec<(usize, String)>> {
        let known = texts.iter().enumerate();
        let known =
            known.filter_map(|(place, text)| Some((place, self.model.sequence(text).ok()?)));
        let (places, sequences): (Vec<usize>, Vec<Sequence>) = known.unzip();
        let decoded = self.model.decode(&self.model.encode(&sequences)?)?;
        let texts = decoded.iter().map(|sequence| self.model.text(sequence));
        Ok(places.into_iter().zip(texts).collect())
    }

    fn save(&self, dir: &Path) -> Result<()> {
        let text = serde_json::to_string(&self.state).expect("plain data serialises");
        let path = dir.join(STATE);
        std::fs::write(&path, text).map_err(|error| Error::file(&path, error))?;
        self.model.save(&dir.join(WEIGHTS))
    }

    fn restore(&mut self, dir: &Path) -> Result<()> {
        let path = dir.join(STATE);
        let text = std::fs::read_to_string(&path).map_err(|error| Error::file(&path, error))?;
        self.state = serde_json::from_str(&text).map_err(|error| {
            let path = path.display();
            Error::input(format!(
                "{path}: found {error}, expected the state of a search in latents"
            ))
        })?;
        self.encoded.clear();
        self.model.restore(&dir.join(WEIGHTS))
    }
}
