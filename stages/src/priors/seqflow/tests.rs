use super::embedded::{Embedded, SequenceFlow};
use super::embedding::{Embedding, EmbeddingConfig};
use super::network::Network;
use super::*;
use crate::priors::bijection::Bijection;
use crate::priors::kind::Schedule;
use crate::priors::of_sequences::{self, FittedSequences};
use crate::priors::open_sequence_model;
use crate::priors::prior::{PointShape, Points};
use crate::random::{Streams, normal};
use crate::sequences::{Alphabet, Sequence, Tokeniser};
use crate::tensors::{cast, from_f64, to_f32, to_f64};
use crate::training::{OptimiserConfig, perturb};
use burn::tensor::{DType, Device, Tensor};
use nalgebra::DMatrix;
use rand::RngExt;

const TOKENS: usize = 7;
const LETTERS: usize = 9;

fn alphabet() -> Alphabet {
    let letters = ('a'..).take(LETTERS).map(String::from).collect();
    Alphabet::new(Tokeniser::Characters, TOKENS, letters)
}

/// `count` sequences of every length.
fn sequences(count: usize, seed: u64) -> Vec<Sequence> {
    let mut rng = Streams::new(seed).at("sequences", 0);
    let mut sequence = |i: usize| -> Sequence {
        let letter = |_| rng.random_range(1..=LETTERS as u32);
        (0..1 + i % TOKENS).map(letter).collect()
    };
    (0..count).map(&mut sequence).collect()
}

/// Each kind of context, far from where it starts, in f64.
fn networks(shape: PointShape, device: &Device) -> Vec<Network> {
    let network = |config: SeqFlow| {
        let network = Network::new(&config, shape, Streams::new(1), device);
        cast(perturb(network, 0.1, Streams::new(2)), DType::F64)
    };
    SeqFlow::examples().into_iter().map(network).collect()
}

const SHAPE: PointShape = PointShape {
    tokens: 6,
    width: 5,
};

fn points(count: usize, seed: u64) -> Vec<f64> {
    let values = Streams::new(seed).normal("points", 0, count * SHAPE.elements());
    values.into_iter().map(f64::from).collect()
}

fn tensor(values: &[f64], device: &Device) -> Tensor<3> {
    let dims = [values.len() / SHAPE.elements(), SHAPE.tokens, SHAPE.width];
    from_f64(values.to_vec(), dims, DType::F64, device)
}

/// Fails if a token depends on a later one, or not on an earlier one.
#[test]
fn each_token_of_noise_depends_on_those_up_to_it() {
    let device = Device::flex();
    let x = points(1, 3);
    for network in networks(SHAPE, &device) {
        let noise =
            |x: &[f64]| to_f64(network.to_noise(&Points::new(tensor(x, &device))).0).unwrap();
        let plain = noise(&x);
        for token in 0..SHAPE.tokens {
            let mut moved = x.clone();
            moved[token * SHAPE.width] += 0.5;
            let moved = noise(&moved);
            for other in 0..SHAPE.tokens {
                let range = other * SHAPE.width..(other + 1) * SHAPE.width;
                let pairs = plain[range.clone()].iter().zip(&moved[range]);
                let change = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                let free = change < 1e-12;
                assert_eq!(free, other < token, "token {token} and {other}: {change}");
            }
        }
    }
}

/// Fails if a step reads other tokens, another position or another state than the pass over all of them.
#[test]
fn noise_leads_back_token_by_token_to_the_points_it_was_made_of_at_once() {
    let device = Device::flex();
    let x = points(40, 4);
    for network in networks(SHAPE, &device) {
        let (noise, _) = network.to_noise(&Points::new(tensor(&x, &device)));
        let noise = noise.reshape([40, SHAPE.tokens, SHAPE.width]);
        let back = to_f64(network.points_of(noise, None, &mut |_| Ok(())).unwrap()).unwrap();
        for (back, x) in back.iter().zip(&x) {
            assert!((back - x).abs() < 1e-6, "{back} {x}");
        }
    }
}

#[test]
fn the_log_determinant_is_that_of_the_jacobian_by_autodiff() {
    let device = Device::flex().autodiff();
    let elements = SHAPE.elements();
    for network in networks(SHAPE, &device) {
        let x = tensor(&points(1, 5), &device).require_grad();
        let (_, log_det) = network.to_noise(&Points::new(x.clone()));
        let rows: Vec<f64> = (0..elements)
            .flat_map(|i| {
                let (noise, _) = network.to_noise(&Points::new(x.clone()));
                let gradients = noise.clone().narrow(1, i, 1).sum().backward();
                to_f64(x.grad(&gradients).unwrap()).unwrap()
            })
            .collect();
        let jacobian = DMatrix::from_row_slice(elements, elements, &rows);
        let expected = jacobian.determinant().abs().ln();
        let found = to_f64(log_det).unwrap()[0];
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    }
}

fn schedule(steps: u64, learning_rate: f64) -> Schedule {
    Schedule {
        optimiser: OptimiserConfig {
            learning_rate,
            warmup_steps: 0,
            ema: 0.5,
            ..OptimiserConfig::default()
        },
        steps,
        batch: 32,
        evaluate_every: steps,
        evaluation_points: 32,
        early_stopping: None,
    }
}

fn fitted(config: &SeqFlow, train: &[Sequence], schedule: &Schedule) -> Box<dyn FittedSequences> {
    of_sequences::fitted(config, &alphabet(), [train, &train[..8]], schedule)
}

/// Fails if a token is decoded by anything but the largest cosine, rounding is not corrected, or a sequence and
/// its padding are mixed up.
#[test]
fn every_sequence_is_decoded_exactly_at_random_weights_and_after_training() {
    let all = sequences(1000, 6);
    for config in SeqFlow::examples() {
        let device = Device::flex();
        let module = Embedded::new(&config, &alphabet(), Streams::new(7), &device);
        let random = SequenceFlow::new(
            &config,
            &alphabet(),
            perturb(module, 0.2, Streams::new(8)),
            &device,
        );
        let trained = fitted(&config, &all[..200], &schedule(60, 5e-3));
        for flow in [
            Box::new(random.unwrap()) as Box<dyn FittedSequences>,
            trained,
        ] {
            let latents = flow.encode(&all).unwrap();
            assert_eq!(latents, flow.encode(&all).unwrap());
            assert!(flow.decode(&latents).unwrap() == all);
            let text = flow.text(&all[3]);
            assert_eq!(flow.sequence(&text).unwrap(), all[3]);
        }
    }
}

/// Fails if latents shrink to their centre, as those without noise do, or if those of a sequence depend on the
/// sequences beside it.
#[test]
fn latents_have_the_length_of_noise_and_are_of_their_sequence_alone() {
    let [config, _] = SeqFlow::examples();
    let all = sequences(200, 9);
    let flow = fitted(&config, &all, &schedule(150, 1e-2));
    let square = |latents: &[f32]| {
        latents.iter().map(|&z| f64::from(z).powi(2)).sum::<f64>() / latents.len() as f64
    };
    let fresh = square(&flow.noisy_latents(&all, Streams::new(3)).unwrap());
    assert!((0.7..1.3).contains(&fresh), "{fresh}");
    let latents = flow.encode(&all).unwrap();
    assert!(
        (0.6..1.4).contains(&square(&latents)),
        "{}",
        square(&latents)
    );
    let alone = flow.encode(&all[17..18]).unwrap();
    let size = alone.len();
    for (alone, beside) in alone.iter().zip(&latents[17 * size..18 * size]) {
        assert!((alone - beside).abs() < 1e-4, "{alone} {beside}");
    }
}

/// Fails if a resampled token reads another position or later tokens, others change, or costs are of the wrong
/// tokens.
#[test]
fn a_redrawn_token_is_what_its_noise_decodes_to_after_the_tokens_before_it() {
    let all = sequences(60, 13);
    for config in SeqFlow::examples() {
        let flow = fitted(&config, &all, &schedule(40, 5e-3));
        let width = flow.width();
        let latents = flow.encode(&all).unwrap();
        let places: Vec<usize> = (0..60).map(|i| (i / 3).min(all[i].len()).min(6)).collect();
        let mut rng = Streams::new(5).at("redraw", 0);
        let noise = normal(&mut rng.clone(), 60 * width);
        let redrawn = flow.redraw(&all, &places, &mut rng).unwrap();
        let mut moved = latents.clone();
        for (i, &place) in places.iter().enumerate() {
            let at = (i * TOKENS + place) * width;
            moved[at..at + width].copy_from_slice(&noise[i * width..][..width]);
        }
        let decoded = flow.decode(&moved).unwrap();
        let mut changed = 0;
        for (i, &place) in places.iter().enumerate() {
            let mut expected = alphabet().row(&all[i]);
            expected[place] = alphabet().row(&decoded[i])[place];
            assert_eq!(redrawn[i], Alphabet::sequence_of_row(&expected));
            changed += usize::from(redrawn[i] != all[i]);
        }
        assert!(changed > 20, "{changed}");
        let weighed = flow.weigh(&all).unwrap();
        let pairs = weighed.latents.iter().zip(&latents);
        assert!(pairs.filter(|(a, b)| (**a - **b).abs() > 1e-4).count() < latents.len() / 10);
    }
}

/// Fails if costs are not those of the tokens: a token that never occurred in its position costs more than any
/// that did.
#[test]
fn what_was_never_seen_costs_more() {
    let [config, _] = SeqFlow::examples();
    let runs: Vec<Sequence> = (0..90).map(|i| vec![1 + i % 3; 6]).collect();
    let flow = fitted(&config, &runs, &schedule(250, 1e-2));
    let costs = |sequences: &[Sequence]| flow.weigh(sequences).unwrap().costs;
    let seen = costs(&runs[..3]);
    let broken = costs(&[
        vec![1, 1, 1, 2, 1, 1],
        vec![3, 2, 2, 2, 2, 2],
        vec![1, 1, 1, 1, 9, 1],
    ]);
    for seen in &seen {
        for broken in &broken {
            assert!(broken.worst > seen.worst + 3.0, "{seen:?} {broken:?}");
        }
    }
}

/// Fails if noise that decodes to another token is kept, or a token without any such noise gets some.
#[test]
fn noise_always_decodes_to_its_token() {
    let device = Device::flex();
    let table = Embedding::new([40, 3], Streams::new(1), &device);
    let host = table.on_host().unwrap();
    let tokens: Vec<u32> = (0..40).cycle().take(2000).collect();
    let mut rng = Streams::new(2).at("noise", 0);
    let found = host.dequantise_with(&tokens, 0.3, &mut rng);
    let e = to_f32(table.of(&tokens)).unwrap();
    let v: Vec<f32> = e
        .iter()
        .zip(&found.noise)
        .map(|(e, noise)| e + noise)
        .collect();
    for (v, &token) in v.chunks(3).zip(&tokens) {
        assert_eq!(host.nearest(v), token);
    }
    assert!(found.draws.iter().any(|&draws| draws > 1));
    // noise that always leads to the opposite side
    let away = host.dequantise(&tokens[..40], 1.0, |place, _, noise| {
        let row = &to_f32(table.rows()).unwrap()[place * 3..][..3];
        noise
            .iter_mut()
            .zip(row)
            .for_each(|(noise, e)| *noise = -2.0 * e);
    });
    assert!(away.noise.iter().all(|&noise| noise == 0.0));
}

/// The largest cosine of two rows of the table after training with likelihood and a similarity loss of `weight`.
fn closest_rows(weight: f64) -> f32 {
    let [mut config, _] = SeqFlow::examples();
    config.embedding = EmbeddingConfig {
        width: 6,
        similarity: weight,
        ..EmbeddingConfig::default()
    };
    let dir = tempfile::tempdir().unwrap();
    let flow = fitted(&config, &sequences(200, 10), &schedule(150, 2e-2));
    flow.write(dir.path()).unwrap();
    let flow = SequenceFlow::read(dir.path(), &Device::flex()).unwrap();
    let rows = to_f32(flow.module.embedding.rows()).unwrap();
    let rows: Vec<&[f32]> = rows.chunks(6).collect();
    let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let pairs = (0..rows.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
    let cosines = pairs.map(|(i, j)| cosine(rows[i], rows[j]));
    cosines.fold(-1.0, f32::max)
}

/// Fails if the similarity loss acts on the wrong pairs, or has no effect.
#[test]
fn likelihood_alone_pulls_embeddings_together_and_the_similarity_loss_holds_them_apart() {
    let (alone, held) = (closest_rows(0.0), closest_rows(10.0));
    assert!(held < 0.9 && alone > 0.99, "{held} {alone}");
}

#[test]
fn a_refit_is_likelier_of_its_sequences_repeats_itself_and_can_be_undone() {
    let [_, config] = SeqFlow::examples();
    let all = sequences(300, 11);
    let mut flow = fitted(&config, &all, &schedule(60, 5e-3));
    let dir = tempfile::tempdir().unwrap();
    let before = dir.path().join("before.safetensors");
    flow.save(&before).unwrap();
    let few: Vec<Sequence> = all[..40].iter().cycle().take(320).cloned().collect();
    let nll = |flow: &dyn FittedSequences| {
        let bounds = flow.likelihoods(&few, Streams::new(1)).unwrap().bounds;
        bounds.iter().sum::<f64>() / few.len() as f64
    };
    let started = nll(flow.as_ref());
    let refit = |flow: &mut dyn FittedSequences, round| {
        flow.refit(&few, Streams::new(4), round, &|| false).unwrap();
        flow.encode(&few[..5]).unwrap()
    };
    let first = refit(flow.as_mut(), 1);
    assert!(
        nll(flow.as_ref()) < started,
        "{} {started}",
        nll(flow.as_ref())
    );
    flow.restore(&before).unwrap();
    assert_eq!(nll(flow.as_ref()), started);
    assert!(refit(flow.as_mut(), 2) != first, "another round");
    flow.restore(&before).unwrap();
    assert_eq!(refit(flow.as_mut(), 1), first);
    let stopped = flow.refit(&few, Streams::new(4), 1, &|| true);
    assert!(matches!(stopped, Err(crate::Error::Cancelled)));
}

#[test]
fn a_flow_over_sequences_that_was_written_is_the_same_when_it_is_read() {
    let [config, _] = SeqFlow::examples();
    let all = sequences(50, 12);
    let flow = fitted(&config, &all, &schedule(10, 5e-3));
    let dir = tempfile::tempdir().unwrap();
    flow.write(dir.path()).unwrap();
    let read = open_sequence_model(dir.path(), &Device::flex()).unwrap();
    assert_eq!(read.encode(&all).unwrap(), flow.encode(&all).unwrap());
    assert_eq!(read.text(&all[5]), flow.text(&all[5]));
    std::fs::remove_file(dir.path().join("seqflow.safetensors")).unwrap();
    let told = open_sequence_model(dir.path(), &Device::flex());
    let told = told.err().unwrap().to_string();
    assert!(told.contains("a flow over sequences"), "{told}");
}
