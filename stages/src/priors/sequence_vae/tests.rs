use super::config::SequenceVae;
use super::model::SequenceVaeModel;
use crate::priors::kind::Schedule;
use crate::priors::of_sequences::{self, FittedSequences};
use crate::random::Streams;
use crate::sequences::{Alphabet, Sequence, SequenceModel, Tokeniser};
use crate::training::OptimiserConfig;
use burn::tensor::Device;

const TOKENS: usize = 5;

fn alphabet() -> Alphabet {
    let letters = ('a'..='d').map(String::from).collect();
    Alphabet::new(Tokeniser::Characters, TOKENS, letters)
}

/// Runs of one letter: 20 sequences, ln 20 = 3.0 nats.
fn runs() -> Vec<Sequence> {
    let each = (0..20).map(|i: u32| vec![1 + i % 4; 1 + i as usize / 4]);
    each.collect()
}

fn fitted(kl_weight: f64, steps: u64) -> Box<dyn FittedSequences> {
    let config = SequenceVae {
        latent: 6,
        embedding: 8,
        width: 24,
        layers: 2,
        kl_weight,
        warm_up_steps: steps / 4,
    };
    let schedule = Schedule {
        optimiser: OptimiserConfig {
            learning_rate: 1e-2,
            ema: 0.9,
            ..OptimiserConfig::default()
        },
        steps,
        batch: 40,
        evaluate_every: steps,
        evaluation_points: 20,
        early_stopping: None,
    };
    of_sequences::fitted(&config, &alphabet(), [&runs(), &runs()], &schedule)
}

fn exact(model: &dyn SequenceModel) -> usize {
    let decoded = model.decode(&model.encode(&runs()).unwrap()).unwrap();
    decoded.iter().zip(runs()).filter(|(a, b)| *a == b).count()
}

/// Fails if a latent does not reach the decoder, tokens after the end count, or a term has the wrong sign: no bound
/// is below the entropy of the sequences.
#[test]
fn few_sequences_are_learnt_and_their_bound_is_no_lower_than_their_entropy() {
    let model = fitted(0.05, 250);
    assert!(exact(model.as_ref()) >= 18, "{}", exact(model.as_ref()));
    let draws = (0..20).flat_map(|seed| {
        model
            .likelihoods(&runs(), Streams::new(seed))
            .unwrap()
            .bounds
    });
    let draws: Vec<f64> = draws.collect();
    let bound = draws.iter().sum::<f64>() / draws.len() as f64;
    assert!((20f64.ln() - 0.05..20.0).contains(&bound), "{bound}");
    let dir = tempfile::tempdir().unwrap();
    model.write(dir.path()).unwrap();
    let read = crate::priors::open_sequence_model(dir.path(), &Device::flex()).unwrap();
    let latents = model.encode(&runs()).unwrap();
    assert_eq!(read.encode(&runs()).unwrap(), latents);
    assert_eq!(
        read.decode(&latents).unwrap(),
        model.decode(&latents).unwrap()
    );
    assert!(SequenceVaeModel::read(&dir.path().join("nowhere"), &Device::flex()).is_err());
}

#[test]
fn a_refit_learns_its_sequences_repeats_itself_and_can_be_undone() {
    let mut model = fitted(1.0, 60);
    let few: Vec<Sequence> = runs()[..8].iter().cycle().take(640).cloned().collect();
    let nll = |model: &dyn FittedSequences| {
        model
            .likelihoods(&few, Streams::new(1))
            .unwrap()
            .bounds
            .iter()
            .sum::<f64>()
    };
    let dir = tempfile::tempdir().unwrap();
    let before = dir.path().join("before.safetensors");
    model.save(&before).unwrap();
    let started = nll(model.as_ref());
    model.refit(&few, Streams::new(2), 3, &|| false).unwrap();
    let first = nll(model.as_ref());
    assert!(first < started, "{first} {started}");
    model.restore(&before).unwrap();
    assert_eq!(nll(model.as_ref()), started);
    model.refit(&few, Streams::new(2), 3, &|| false).unwrap();
    assert_eq!(nll(model.as_ref()), first);
}

/// Fails if a resampled token does not follow the decoder's probabilities at its position, or costs are of other
/// tokens: in a run of one letter nothing else is likely.
#[test]
fn redrawn_tokens_are_likely_ones_and_what_breaks_a_run_costs_more() {
    let model = fitted(0.05, 250);
    let run = vec![2, 2, 2, 2];
    let many = vec![run.clone(); 200];
    let mut rng = Streams::new(3).at("redraw", 0);
    let redrawn = model.redraw(&many, &[2; 200], &mut rng).unwrap();
    let kept = redrawn.iter().filter(|s| **s == run).count();
    assert!(kept > 150, "{kept}");
    let weighed = model.weigh(&[run.clone(), vec![2, 2, 3, 2]]).unwrap();
    assert_eq!(weighed.latents[..6], model.encode(&[run]).unwrap()[..]);
    let [run, broken] = [weighed.costs[0], weighed.costs[1]];
    assert!(broken.worst > run.worst + 1.0, "{run:?} {broken:?}");
}
