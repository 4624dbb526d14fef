use super::config::LatentsConfig;
use super::proposer::{Latents, root_mean_square};
use crate::error::{Error, Result};
use crate::optimisation::{Canonical, Direction, Evaluation, History, Proposer};
use crate::random::Streams;
use crate::sequences::{Alphabet, Cost, Sequence, SequenceModel, Tokeniser, Weighed};
use rand::RngExt;
use rand_pcg::Pcg64;
use std::path::Path;
use std::sync::{Arc, Mutex};

const LETTERS: [char; 6] = ['a', 'b', 'c', 'd', 'e', 'f'];
const LENGTH: usize = 10;
const GOAL: &str = "acefbdacfe";

/// A letter is a direction in the plane; a refit rotates the directions.
struct Directions {
    alphabet: Alphabet,
    turned: f32,
    refits: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Default for Directions {
    fn default() -> Self {
        let letters = LETTERS.map(String::from).to_vec();
        Self {
            alphabet: Alphabet::new(Tokeniser::Characters, LENGTH, letters),
            turned: 0.0,
            refits: Arc::default(),
        }
    }
}

impl Directions {
    /// The angle of a token from 1.
    fn angle(&self, token: u32) -> f32 {
        self.turned + std::f32::consts::TAU * (token - 1) as f32 / LETTERS.len() as f32
    }
}

impl SequenceModel for Directions {
    fn tokens(&self) -> usize {
        LENGTH
    }
    fn width(&self) -> usize {
        2
    }
    fn alphabet(&self) -> &Alphabet {
        &self.alphabet
    }
    /// Equal neighbours are costly.
    fn weigh(&self, sequences: &[Sequence]) -> Result<Weighed> {
        let cost = |sequence: &Sequence| {
            let twice = sequence.windows(2).filter(|w| w[0] == w[1]).count() as f64;
            Cost {
                worst: if twice > 0.0 { 6.0 } else { 1.0 },
                mean: 1.0 + twice,
            }
        };
        Ok(Weighed {
            latents: self.encode(sequences)?,
            costs: sequences.iter().map(cost).collect(),
        })
    }
    fn redraw(
        &self,
        sequences: &[Sequence],
        places: &[usize],
        rng: &mut Pcg64,
    ) -> Result<Vec<Sequence>> {
        let mut redrawn = sequences.to_vec();
        for (sequence, &place) in redrawn.iter_mut().zip(places) {
            let letter = rng.random_range(1..=LETTERS.len() as u32);
            match place < sequence.len() {
                true => sequence[place] = letter,
                false => sequence.push(letter),
            }
        }
        Ok(redrawn)
    }
    fn encode(&self, sequences: &[Sequence]) -> Result<Vec<f32>> {
        let tokens = sequences.iter().flatten();
        Ok(tokens
            .flat_map(|&t| [self.angle(t).cos(), self.angle(t).sin()])
            .collect())
    }
    fn decode(&self, latents: &[f32]) -> Result<Vec<Sequence>> {
        let nearest = |point: &[f32]| {
            let cosine = |t: u32| point[0] * self.angle(t).cos() + point[1] * self.angle(t).sin();
            (1..=LETTERS.len() as u32)
                .max_by(|&a, &b| cosine(a).total_cmp(&cosine(b)))
                .unwrap()
        };
        let rows = latents.chunks(2 * LENGTH);
        Ok(rows
            .map(|row| row.chunks(2).map(nearest).collect())
            .collect())
    }
    fn refit(
        &mut self,
        sequences: &[Sequence],
        _: Streams,
        round: u64,
        _: &dyn Fn() -> bool,
    ) -> Result<()> {
        self.turned += 0.1 * round as f32;
        let texts = sequences.iter().map(|s| self.text(s)).collect();
        self.refits.lock().unwrap().push(texts);
        Ok(())
    }
    fn save(&self, path: &Path) -> Result<()> {
        std::fs::write(path, self.turned.to_string()).map_err(|error| Error::file(path, error))
    }
    fn restore(&mut self, path: &Path) -> Result<()> {
        self.turned = std::fs::read_to_string(path).unwrap().parse().unwrap();
        Ok(())
    }
}

/// The number of letters that match the goal; texts with two equal neighbours are infeasible.
fn score(text: &str) -> Option<f64> {
    let letters: Vec<char> = text.chars().collect();
    let same = text.chars().zip(GOAL.chars()).filter(|(a, b)| a == b);
    (letters.windows(2).all(|w| w[0] != w[1])).then(|| same.count() as f64)
}

fn random_text(rng: &mut Pcg64) -> String {
    (0..LENGTH)
        .map(|_| LETTERS[rng.random_range(0..LETTERS.len())])
        .collect()
}

fn start() -> History {
    let mut history = History::new(Direction::Maximise);
    let mut rng = Streams::new(4).at("start", 0);
    for _ in 0..60 {
        evaluate(&mut history, random_text(&mut rng), 0);
    }
    history
}

fn evaluate(history: &mut History, text: String, round: u64) {
    let score = score(&text);
    history.push(Evaluation { text, score, round });
}

fn config() -> LatentsConfig {
    let mut config = LatentsConfig::default();
    config.regions.count = 2;
    config.regions.candidates = 200;
    config.regions.length = 3.0;
    config.surrogate.features = 128;
    config.perturbation.endings = 0.0;
    config.perturbation.tokens = 0.0;
    config.perturbation.joins = 0.0;
    config.refit.every = 40;
    config.refit.best = 20;
    config.refit.newest = 5;
    config
}

fn round(
    search: &mut Latents,
    history: &History,
    number: u64,
) -> Vec<crate::optimisation::Proposal> {
    search
        .propose(history, 10, Streams::new(9), number, &|| false)
        .unwrap()
}

#[test]
fn a_search_finds_what_random_texts_do_not() {
    let mut history = start();
    let before = history.best().unwrap().score.unwrap();
    let refits = Arc::default();
    let model = Directions {
        refits: Arc::clone(&refits),
        ..Directions::default()
    };
    let mut search = Latents::new(config(), Box::new(model), Canonical::default());
    for number in 1..=14 {
        let proposals = round(&mut search, &history, number);
        assert_eq!(proposals.len(), 10);
        for proposal in proposals {
            assert!(!history.knows(&proposal.text), "{} again", proposal.text);
            assert!(proposal.region.unwrap() < 2);
            evaluate(&mut history, proposal.text, number);
        }
    }
    let found = history.best().unwrap().score.unwrap();
    let mut random = start();
    let mut rng = Streams::new(5).at("random", 0);
    while random.evaluations().len() < history.evaluations().len() {
        evaluate(&mut random, random_text(&mut rng), 1);
    }
    let chance = random.best().unwrap().score.unwrap();
    assert!(
        found >= 8.0 && chance <= 6.0 && before <= 6.0,
        "{found} {chance} {before}"
    );
    // 40 new ones after rounds 4, 8 and 12, used for training at the start of the next round
    let refits = refits.lock().unwrap();
    assert_eq!(refits.len(), 3);
    let best = &history.best().unwrap().text;
    assert!(refits[2].contains(best) || history.best().unwrap().round > 12);
    assert!(refits.iter().all(|texts| (20..=25).contains(&texts.len())));
    let mut learnt = refits.iter().flatten();
    assert!(
        learnt.all(|text| score(text).is_some()),
        "an infeasible one"
    );
}

#[test]
fn a_round_is_proposed_again_as_it_was_from_the_state_before_it() {
    proposed_again(&config());
    let mut by_proposed = config();
    by_proposed.regions.encode_again = false;
    by_proposed.refit.every = 0;
    proposed_again(&by_proposed);
}

fn proposed_again(config: &LatentsConfig) {
    let config = || config.clone();
    let mut history = start();
    let mut search = Latents::new(config(), Box::<Directions>::default(), Canonical::default());
    for number in 1..=5 {
        for proposal in round(&mut search, &history, number) {
            evaluate(&mut history, proposal.text, number);
        }
    }
    let dir = tempfile::tempdir().unwrap();
    search.save(dir.path()).unwrap();
    let ahead = round(&mut search, &history, 6);
    let mut again = Latents::new(config(), Box::<Directions>::default(), Canonical::default());
    again.restore(dir.path()).unwrap();
    assert_eq!(round(&mut again, &history, 6), ahead);
    let mut anew = Latents::new(config(), Box::<Directions>::default(), Canonical::default());
    assert_ne!(
        round(&mut anew, &history, 6),
        ahead,
        "without the state it is another round"
    );
}

/// Fails if a score is assigned to another latent than the evaluated one.
#[test]
fn scores_are_learnt_at_the_latents_that_are_judged() {
    for encode_again in [true, false] {
        let mut config = config();
        config.regions.encode_again = encode_again;
        let mut history = start();
        let mut search = Latents::new(config, Box::<Directions>::default(), Canonical::default());
        let proposals = round(&mut search, &history, 1);
        for proposal in &proposals {
            evaluate(&mut history, proposal.text.clone(), 1);
        }
        let learnt = search.seen(&history).unwrap().latents;
        let sequences = proposals
            .iter()
            .map(|p| search.model.sequence(&p.text).unwrap());
        let own = search.model.encode(&sequences.collect::<Vec<_>>()).unwrap();
        let learnt = &learnt[learnt.len() - own.len()..];
        let rows = learnt
            .chunks(search.elements())
            .zip(own.chunks(search.elements()));
        for ((learnt, own), proposal) in rows.zip(&proposals) {
            let expected = match encode_again {
                true => 0.0,
                false => proposal.moved.unwrap(),
            };
            let off = root_mean_square(learnt, own);
            assert!((off - expected).abs() < 1e-6, "{off} {expected}");
        }
        assert!(proposals.iter().any(|p| p.moved.unwrap() > 0.01));
    }
}

#[test]
fn a_surrogate_predicts_scores_in_the_objectives_direction() {
    let mut history = History::new(Direction::Minimise);
    for evaluation in start().evaluations() {
        let mut evaluation = evaluation.clone();
        evaluation.score = evaluation.score.map(|s| 100.0 - s);
        history.push(evaluation);
    }
    let mut search = Latents::new(config(), Box::<Directions>::default(), Canonical::default());
    for proposal in round(&mut search, &history, 1) {
        if let Some(predicted) = proposal.predicted {
            assert!((90.0..=100.0).contains(&predicted), "{predicted}");
        }
    }
}

#[test]
fn nothing_feasible_to_start_from_and_a_wish_to_stop_are_errors() {
    let mut history = History::new(Direction::Maximise);
    evaluate(&mut history, "aabbccddee".into(), 0);
    let mut search = Latents::new(config(), Box::<Directions>::default(), Canonical::default());
    let streams = Streams::new(9);
    let error = search.propose(&history, 10, streams, 1, &|| false);
    let message = error.unwrap_err().to_string();
    assert!(message.contains("`initial`"), "{message}");
    let stopped = search.propose(&start(), 10, streams, 1, &|| true);
    assert!(matches!(stopped, Err(Error::Cancelled)));
}

#[test]
fn settings_out_of_range_are_named() {
    let mut config = LatentsConfig::default();
    let mut problems = crate::problems::Problems::default();
    config.check(&mut problems);
    assert_eq!(
        format!("{problems:?}"),
        format!("{:?}", crate::problems::Problems::default())
    );
    config.regions.candidates = 0;
    config.perturbation.share = 0.0;
    config.surrogate.fitted_to = 1;
    config.refit.best = 0;
    config.refit.newest = 0;
    config.check(&mut problems);
    let found = format!("{problems:?}");
    for key in [
        "regions.candidates",
        "perturbation.share",
        "surrogate.fitted_to",
        "refit.best",
    ] {
        assert!(found.contains(key), "{key}: {found}");
    }
}
