//! The proposals of a round: regions, candidates, and draws of a surrogate.

use super::anchors::anchors;
use super::config::LatentsConfig;
use super::length::{Length, Shown, patience};
use super::region::{About, Candidate};
use super::surrogate::{Evaluated, Surrogate};
use super::varied::varied;
use crate::error::{Error, Result};
use crate::gaussian_process::{Fit, Located};
use crate::optimisation::history::History;
use crate::optimisation::objective::Canonical;
use crate::optimisation::proposer::{Proposal, Proposer};
use crate::random::Streams;
use crate::sequences::{Cost, Sequence, SequenceModel, Weighed};
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

/// Attempts per round to find enough new sequences, each in larger regions than the one before.
const ATTEMPTS: usize = 10;
/// The number of most promising candidates of a region from which the next generation is made.
const PARENTS: usize = 10;
/// The file of the state between rounds, beside the model's weights.
const STATE: &str = "latents.json";
const WEIGHTS: &str = "model.safetensors";

/// Thompson sampling in trust regions of the latents of a model.
pub struct Latents {
    config: LatentsConfig,
    pub(super) model: Box<dyn SequenceModel>,
    canonical: Canonical,
    state: State,
    /// The model's encoding of the first evaluations, under its current weights.
    encoded: Weighed,
}

/// The state between rounds except the model's weights.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    length: Length,
    /// The starting point for fitting the surrogate's settings.
    fit: Option<Fit>,
    /// The number of evaluations at the last refit of the model, or at the start.
    refitted: Option<usize>,
    /// The share of known sequences, and the best value, in the last round.
    last: Option<(f64, f64)>,
    /// If the surrogate uses proposed latents: the latent [T d] from which each text was proposed, under the
    /// current weights.
    #[serde(default)]
    proposed: BTreeMap<String, Vec<f32>>,
}

/// The evaluations as encoded by the model.
pub(super) struct Seen {
    sequences: Vec<Sequence>,
    /// To be maximised; none if infeasible.
    values: Vec<Option<f64>>,
    /// [n, T d].
    pub latents: Vec<f32>,
    costs: Vec<Cost>,
}

/// The candidates of a region.
#[derive(Default)]
struct Region {
    /// Sequences that were not evaluated, without repetitions.
    fresh: Vec<Sequence>,
    /// The same as a set.
    all: HashSet<Sequence>,
    /// The latent [T d] that each was decoded from, if any.
    from: Vec<Option<Vec<f32>>>,
    /// The model's encoding of them.
    weighed: Weighed,
    /// The first of them as the surrogate sees them.
    located: Option<Located>,
}

impl Latents {
    /// A search in the latents of `model`, for texts in the form that `canonical` gives them.
    pub fn new(config: LatentsConfig, model: Box<dyn SequenceModel>, canonical: Canonical) -> Self {
        let length = Length::new(config.regions.rule, config.regions.length);
        let state = State {
            length,
            fit: None,
            refitted: None,
            last: None,
            proposed: BTreeMap::new(),
        };
        Self {
            config,
            model,
            canonical,
            state,
            encoded: Weighed::default(),
        }
    }

    /// The number of elements of a latent.
    pub(super) fn elements(&self) -> usize {
        self.model.tokens() * self.model.width()
    }

    /// The number of tokens of a latent and their width for the surrogate: each number of a latent with a single
    /// token counts as a token, with its own lengthscale.
    fn grid(&self) -> (usize, usize) {
        match (self.model.tokens(), self.model.width()) {
            (1, width) => (width, 1),
            (tokens, width) => (tokens, width),
        }
    }

    /// The evaluations whose text the model can encode, and their latents. The evaluations of a round are encoded
    /// together, so that a search that was interrupted has the same latents.
    pub(super) fn seen(&mut self, history: &History) -> Result<Seen> {
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
        let (mut done, elements) = (self.encoded.costs.len(), self.elements());
        for of_round in rounds[done..].chunk_by(|a, b| a == b) {
            let of_round = &sequences[done..][..of_round.len()];
            let mut new = self.model.weigh(of_round)?;
            let each = new.latents.chunks_exact_mut(elements);
            for (latent, sequence) in each.zip(of_round) {
                if let Some(proposed) = self.state.proposed.get(&self.model.text(sequence)) {
                    latent.copy_from_slice(proposed);
                }
            }
            self.encoded.latents.extend(new.latents);
            self.encoded.costs.extend(new.costs);
            done += of_round.len();
        }
        let Weighed { latents, costs } = self.encoded.clone();
        Ok(Seen {
            sequences,
            values,
            latents,
            costs,
        })
    }

    /// The sequences of the best of `feasible`, for joins.
    fn partners<'a>(
        &self,
        seen: &'a Seen,
        mut feasible: Vec<usize>,
        rng: &mut Pcg64,
    ) -> Vec<&'a Sequence> {
        let value = |i: usize| seen.values[i].unwrap_or(f64::NEG_INFINITY);
        feasible.shuffle(rng); // breaks ties at random
        feasible.sort_by(|&a, &b| value(b).total_cmp(&value(a)));
        let best = feasible.iter().take(self.config.perturbation.partners);
        best.map(|&i| &seen.sequences[i]).collect()
    }

    /// Trains the model further if there are enough new evaluations.
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
        // latents change
        self.state.fit = None;
        self.encoded = Weighed::default();
        self.state.proposed.clear();
        Ok(())
    }

    /// The best and the newest feasible evaluations, as sequences: a model trained on infeasible ones proposes more
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

    /// The surrogate given the evaluations.
    fn surrogate(&mut self, seen: &Seen, rng: &mut Pcg64) -> Result<Surrogate> {
        let (tokens, width) = self.grid();
        let evaluated = Evaluated {
            sequences: &seen.sequences,
            latents: &seen.latents,
            tokens,
            width,
            values: &seen.values,
            costs: &seen.costs,
        };
        Surrogate::new(&evaluated, &self.config.surrogate, &mut self.state.fit, rng)
    }

    /// The region around evaluation `anchor`: its new candidates that are not yet `proposed`, and the share of
    /// known sequences among those in the box.
    fn region(
        &self,
        (seen, anchor): (&Seen, usize),
        partners: &[&Sequence],
        surrogate: &Surrogate,
        known: &Known,
        rng: &mut Pcg64,
    ) -> Result<(Region, f64)> {
        let elements = self.elements();
        let about = About {
            centre: &seen.latents[anchor * elements..][..elements],
            sequence: &seen.sequences[anchor],
            side: self.state.length.side,
            partners,
        };
        let (perturbation, regions) = (&self.config.perturbation, &self.config.regions);
        let count = regions.candidates / regions.generations;
        let candidates = about.candidates(self.model.as_ref(), perturbation, count, rng)?;
        let mut region = Region::default();
        let share = self.add(&mut region, candidates, known)?;
        let of_tokens = perturbation.tokens + perturbation.joins;
        if of_tokens == 0.0 {
            return Ok((region, share));
        }
        let joins = (perturbation.joins / of_tokens * count as f64) as usize;
        for _ in 1..regions.generations {
            let best = self.best_places(surrogate, &mut region, PARENTS, rng);
            let parents: Vec<&Sequence> = best.iter().map(|&place| &region.fresh[place]).collect();
            if parents.is_empty() {
                break;
            }
            let shares = [count - joins, joins];
            let next = varied(self.model.as_ref(), &parents, (partners, &[]), shares, rng)?;
            let next = next.into_iter().map(Candidate::of_tokens).collect();
            self.add(&mut region, next, known)?;
        }
        Ok((region, share))
    }

    /// Adds the new ones of `candidates` to `region`, in canonical form. Returns the share of known sequences among
    /// those of the box.
    fn add(&self, region: &mut Region, candidates: Vec<Candidate>, known: &Known) -> Result<f64> {
        let Known {
            history,
            proposed,
            cancelled,
        } = known;
        let (mut boxed, mut open) = (0, Vec::new());
        let mut texts = Vec::new();
        for candidate in candidates {
            boxed += usize::from(candidate.boxed);
            let text = self.model.text(&candidate.sequence);
            if !text.is_empty()
                && !history.knows(&text)
                && !region.all.contains(&candidate.sequence)
            {
                texts.push(text);
                open.push(candidate);
            }
        }
        let (mut new, mut new_boxed) = (Vec::new(), 0);
        for (text, candidate) in self.canonical.of(texts, cancelled)?.into_iter().zip(open) {
            let text = text.filter(|text| !history.knows(text) && !proposed.contains(text));
            let sequence = text.and_then(|text| self.model.sequence(&text).ok());
            let Some(sequence) = sequence else { continue };
            new_boxed += usize::from(candidate.boxed);
            if region.all.insert(sequence.clone()) {
                new.push(sequence);
                region.from.push(candidate.latent);
            }
        }
        let weighed = self.model.weigh(&new)?;
        region.weighed.latents.extend(weighed.latents);
        region.weighed.costs.extend(weighed.costs);
        region.fresh.extend(new);
        Ok((boxed - new_boxed) as f64 / boxed.max(1) as f64)
    }

    /// The indices in `region` of at most `count` sequences, each the best under its own draw of `surrogate`.
    fn best_places(
        &self,
        surrogate: &Surrogate,
        region: &mut Region,
        count: usize,
        rng: &mut Pcg64,
    ) -> Vec<usize> {
        let before = region.located.take();
        let done = before.as_ref().map_or(0, Located::count);
        let (new, elements) = (done..region.fresh.len(), self.elements());
        let sequences: Vec<&Sequence> = region.fresh.iter().collect();
        let located = match self.config.regions.encode_again {
            true => surrogate.locate(
                &sequences[done..],
                &region.weighed.latents[done * elements..],
            ),
            false => surrogate.locate(&sequences[done..], &region.candidates(new, elements)),
        };
        let located = match before {
            Some(before) => before.and(&located),
            None => located,
        };
        let mut chosen: Vec<usize> = Vec::new();
        let (count, features) = (
            count.min(region.fresh.len()),
            self.config.surrogate.features,
        );
        let candidates = (sequences.as_slice(), &located);
        for hopes in surrogate.hopes(candidates, &region.weighed.costs, count, features, rng) {
            let best = (hopes.into_iter().enumerate())
                .filter(|(place, _)| !chosen.contains(place))
                .max_by(|(_, a), (_, b)| a.total_cmp(b));
            chosen.extend(best.map(|(place, _)| place));
        }
        region.located = Some(located);
        chosen
    }

    /// The `quota` best sequences of `region` under draws of `surrogate`, and their indices.
    fn best_of_draws(
        &self,
        surrogate: &Surrogate,
        (index, region): (u32, &mut Region),
        quota: usize,
        history: &History,
        rng: &mut Pcg64,
    ) -> Vec<(Proposal, usize)> {
        let elements = self.elements();
        let encode_again = self.config.regions.encode_again;
        let chosen = self.best_places(surrogate, region, quota, rng);
        let latents = &region.weighed.latents;
        let sequences: Vec<&Sequence> = chosen.iter().map(|&place| &region.fresh[place]).collect();
        let own = (chosen.iter()).flat_map(|&place| &latents[place * elements..][..elements]);
        let own: Vec<f32> = own.copied().collect();
        let of_own = surrogate.expects(&surrogate.locate(&sequences, &own));
        let candidates = region.candidates(chosen.iter().copied(), elements);
        let of_candidates = surrogate.expects(&surrogate.locate(&sequences, &candidates));
        (chosen.iter().enumerate())
            .map(|(i, &place)| {
                let (value, spread) = match encode_again {
                    true => of_own[i],
                    false => of_candidates[i],
                };
                let of_latent = region.from[place].as_ref();
                let own = &latents[place * elements..][..elements];
                let proposal = Proposal {
                    text: self.model.text(&region.fresh[place]),
                    region: Some(index),
                    predicted: Some(history.score(value)),
                    uncertainty: Some(spread),
                    moved: of_latent.map(|latent| root_mean_square(own, latent)),
                    discrepancy: of_latent
                        .filter(|_| surrogate.is_of_latents())
                        .map(|_| (of_own[i].0 - of_candidates[i].0).abs()),
                };
                (proposal, place)
            })
            .collect()
    }
}

/// Known sequences.
struct Known<'a> {
    history: &'a History,
    /// Proposed in this round.
    proposed: &'a BTreeSet<String>,
    cancelled: &'a dyn Fn() -> bool,
}

impl Region {
    /// The latents [n, T d] that the sequences at `places` were decoded from, or their own if they were not
    /// decoded.
    fn candidates(&self, places: impl Iterator<Item = usize>, elements: usize) -> Vec<f32> {
        let latent = |place: usize| match &self.from[place] {
            Some(latent) => latent,
            None => &self.weighed.latents[place * elements..][..elements],
        };
        places.flat_map(latent).copied().collect()
    }
}

/// The root mean square of the differences between two rows.
pub(super) fn root_mean_square(a: &[f32], b: &[f32]) -> f64 {
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
        let best = history.best().and_then(|best| history.value(best));
        let best = best.unwrap_or(f64::NEG_INFINITY);
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
        let partners = self.partners(&seen, feasible.clone(), &mut rng);
        let (mut proposals, mut proposed) = (Vec::new(), BTreeSet::new());
        let encode_again = self.config.regions.encode_again;
        for _ in 0..ATTEMPTS {
            let regions = &self.config.regions;
            let most = regions.count.min(count);
            let about = anchors(&values, most, regions.temperature, &mut rng);
            let mut known = 0.0;
            for (index, &anchor) in about.iter().enumerate() {
                if cancelled() {
                    return Err(Error::Cancelled);
                }
                let centre = (&seen, feasible[anchor]);
                let not_new = Known {
                    history,
                    proposed: &proposed,
                    cancelled,
                };
                let (mut region, old) =
                    self.region(centre, &partners, &surrogate, &not_new, &mut rng)?;
                known += old;
                let quota = (count - proposals.len()) / (about.len() - index);
                let numbered = (index as u32, &mut region);
                let of_region = self.best_of_draws(&surrogate, numbered, quota, history, &mut rng);
                for (proposal, place) in of_region {
                    let latent = region.from[place].as_ref().filter(|_| !encode_again);
                    let latent = latent.map(|latent| (proposal.text.clone(), latent.clone()));
                    self.state.proposed.extend(latent);
                    proposed.insert(proposal.text.clone());
                    proposals.push(proposal);
                }
            }
            self.state.last = Some((known / about.len() as f64, best));
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
        let latents = self.model.weigh(&sequences)?.latents; // as the surrogate has them
        let decoded = self.model.decode(&latents)?;
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
        self.encoded = Weighed::default();
        self.model.restore(&dir.join(WEIGHTS))
    }
}
