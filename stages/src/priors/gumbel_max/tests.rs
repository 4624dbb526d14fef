use super::config::GumbelMax;
use super::model::GumbelMaxModel;
use super::race::winner;
use crate::priors::kind::Schedule;
use crate::priors::of_sequences::{self, FittedSequences};
use crate::priors::open_sequence_model;
use crate::random::{Streams, normal};
use crate::sequences::{Alphabet, Sequence, Tokeniser};
use crate::training::OptimiserConfig;
use burn::tensor::Device;
use rand::RngExt;

const TOKENS: usize = 6;
const LETTERS: usize = 5;

fn alphabet() -> Alphabet {
    let letters = ('a'..).take(LETTERS).map(String::from).collect();
    Alphabet::new(Tokeniser::Characters, TOKENS, letters)
}

/// `count` random sequences of every length.
fn sequences(count: usize) -> Vec<Sequence> {
    let mut rng = Streams::new(6).at("sequences", 0);
    let mut sequence = |i: usize| -> Sequence {
        let letter = |_| rng.random_range(1..=LETTERS as u32);
        (0..1 + i % TOKENS).map(letter).collect()
    };
    (0..count).map(&mut sequence).collect()
}

/// Runs of one letter: 30 sequences, ln 30 = 3.4 nats.
fn runs() -> Vec<Sequence> {
    let each = (0..30).map(|i: u32| vec![1 + i % 5; 1 + i as usize / 5]);
    each.collect()
}

fn fitted(steps: u64) -> Box<dyn FittedSequences> {
    let config = GumbelMax {
        embedding: 8,
        width: 24,
        layers: 2,
    };
    let schedule = Schedule {
        optimiser: OptimiserConfig {
            learning_rate: 2e-2,
            ema: 0.9,
            ..OptimiserConfig::default()
        },
        steps,
        batch: 30,
        evaluate_every: steps,
        evaluation_points: 30,
        early_stopping: None,
    };
    of_sequences::fitted(&config, &alphabet(), [&runs(), &runs()], &schedule)
}

fn nlls(model: &dyn FittedSequences, sequences: &[Sequence]) -> Vec<f64> {
    let likelihoods = model.likelihoods(sequences, Streams::new(0));
    likelihoods.unwrap().bounds
}

/// Fails if a token races with the probabilities of another position, or rounding is not corrected.
#[test]
fn every_sequence_is_decoded_exactly_before_and_after_training() {
    let all = sequences(1000);
    for steps in [1, 150] {
        let model = fitted(steps);
        let latents = model.encode(&all).unwrap();
        assert_eq!(latents, model.encode(&all).unwrap());
        assert!(model.decode(&latents).unwrap() == all);
        let noisy = model.noisy_latents(&all, Streams::new(1)).unwrap();
        let decoded = model.decode(&noisy).unwrap();
        let same = decoded.iter().zip(&all).filter(|(a, b)| a == b).count();
        assert!(same >= 995, "{same}");
    }
}

/// Fails if the NLL is of other tokens, or samples from N(0, I) do not follow its distribution.
#[test]
fn nlls_are_those_of_what_noise_decodes_to() {
    let model = fitted(150);
    // over all sequences of one token at most, and of two
    let texts: Vec<Sequence> = (1..=LETTERS as u32)
        .flat_map(|a| (0..=LETTERS as u32).map(move |b| if b == 0 { vec![a] } else { vec![a, b] }))
        .collect();
    let p: Vec<f64> = nlls(model.as_ref(), &texts)
        .iter()
        .map(|nll| (-nll).exp())
        .collect();
    let draws = 20_000;
    let mut rng = Streams::new(2).at("noise", 0);
    let noise = normal(&mut rng, draws * model.tokens() * model.width());
    let drawn = model.decode(&noise).unwrap();
    for (text, p) in texts.iter().zip(p) {
        let share = drawn.iter().filter(|d| *d == text).count() as f64 / draws as f64;
        let error = (p * (1.0 - p) / draws as f64).sqrt();
        assert!(
            (share - p).abs() < 4.5 * error + 1e-3,
            "{text:?}: {share} {p}"
        );
    }
    let bound = nlls(model.as_ref(), &runs()).iter().sum::<f64>() / 30.0;
    assert!(
        (30f64.ln() - 1e-3..30f64.ln() + 0.4).contains(&bound),
        "{bound}"
    );
}

/// Fails if a resampled token is not of its position, others change, or costs are not those of the tokens.
#[test]
fn redrawn_tokens_win_their_race_and_costs_add_up_to_the_nll() {
    let model = fitted(150);
    let run = vec![2, 2, 2, 2];
    let many = vec![run.clone(); 300];
    let mut rng = Streams::new(3).at("redraw", 0);
    let redrawn = model.redraw(&many, &[2; 300], &mut rng).unwrap();
    let kept = redrawn
        .iter()
        .filter(|s| **s == run || **s == run[..2])
        .count();
    assert!(kept > 270, "{kept}");
    let all = [run, vec![2, 2, 3, 2], vec![1; 6]];
    let weighed = model.weigh(&all).unwrap();
    assert_eq!(weighed.latents, model.encode(&all).unwrap());
    for ((sequence, cost), nll) in all
        .iter()
        .zip(&weighed.costs)
        .zip(nlls(model.as_ref(), &all))
    {
        let tokens = (sequence.len() + 1).min(TOKENS);
        assert!((cost.mean * tokens as f64 - nll).abs() < 1e-5);
    }
    let [run, broken, _] = [weighed.costs[0], weighed.costs[1], weighed.costs[2]];
    assert!(broken.worst > run.worst + 1.0, "{run:?} {broken:?}");
}

#[test]
fn a_refit_learns_its_sequences_repeats_itself_and_what_was_written_is_read() {
    let mut model = fitted(20);
    let few: Vec<Sequence> = runs()[..8].iter().cycle().take(640).cloned().collect();
    let nll = |model: &dyn FittedSequences| nlls(model, &few).iter().sum::<f64>();
    let dir = tempfile::tempdir().unwrap();
    let before = dir.path().join("before.safetensors");
    model.save(&before).unwrap();
    let started = nll(model.as_ref());
    model.refit(&few, Streams::new(2), 3, &|| false).unwrap();
    let first = nll(model.as_ref());
    assert!(first < started, "{first} {started}");
    model.restore(&before).unwrap();
    model.refit(&few, Streams::new(2), 3, &|| false).unwrap();
    assert_eq!(nll(model.as_ref()), first);
    model.write(dir.path()).unwrap();
    let read = open_sequence_model(dir.path(), &Device::flex()).unwrap();
    assert_eq!(
        read.encode(&few[..8]).unwrap(),
        model.encode(&few[..8]).unwrap()
    );
    assert!(GumbelMaxModel::read(&dir.path().join("nowhere"), &Device::flex()).is_err());
    // the first of equal ones
    assert_eq!(winner(&[0.0, 0.0], &[-0.7, -0.7]), 0);
}
