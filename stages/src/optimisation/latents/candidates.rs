//! Candidates around a latent: in a box, and with a new ending.

use crate::random::normal;
use rand::RngExt;
use rand_pcg::Pcg64;
use sobol_burley::{NUM_DIMENSIONS, sample};

/// `count` candidates [count, D] around the latent `centre` `[D]`. The changed numbers of each candidate, chosen
/// with the probability of their token in `probabilities` and at least one, are spread over the box of side `side`
/// by a scrambled Sobol sequence (Owen scrambling; above its number of dimensions, independently scrambled
/// sequences).
pub(super) fn candidates(
    centre: &[f32],
    probabilities: &[f64],
    side: f64,
    count: usize,
    rng: &mut Pcg64,
) -> Vec<f32> {
    let width = centre.len() / probabilities.len();
    let scrambles: Vec<u32> = (0..centre.len().div_ceil(NUM_DIMENSIONS as usize))
        .map(|_| rng.random())
        .collect();
    let mut all = Vec::with_capacity(count * centre.len());
    for candidate in 0..count {
        let mut changes: Vec<bool> = (0..centre.len())
            .map(|i| rng.random::<f64>() < probabilities[i / width])
            .collect();
        if !changes.contains(&true) {
            changes[rng.random_range(0..centre.len())] = true;
        }
        all.extend(centre.iter().enumerate().map(|(i, &value)| {
            if !changes[i] {
                return value;
            }
            let (group, dimension) = (i as u32 / NUM_DIMENSIONS, i as u32 % NUM_DIMENSIONS);
            let uniform = sample(candidate as u32, dimension, scrambles[group as usize]);
            value + (side * (f64::from(uniform) - 0.5)) as f32
        }));
    }
    all
}

/// `count` candidates [count, D] that equal the latent `centre` `[D]` up to one of its `tokens`, and are drawn from
/// N(0, I) from there on. At most the first `used` tokens are kept, where the sequence ends, so that some
/// candidates extend it.
pub(super) fn endings(
    centre: &[f32],
    tokens: usize,
    used: usize,
    count: usize,
    rng: &mut Pcg64,
) -> Vec<f32> {
    let width = centre.len() / tokens;
    let mut all = Vec::with_capacity(count * centre.len());
    for _ in 0..count {
        let kept = rng.random_range(0..=used.min(tokens - 1)) * width;
        all.extend_from_slice(&centre[..kept]);
        all.extend(normal(rng, centre.len() - kept));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    #[test]
    fn candidates_fill_the_box_and_change_tokens_as_often_as_asked() {
        let centre = vec![1.0f32; 600];
        let mut rng = Streams::new(2).at("candidates", 0);
        let probabilities = [0.0, 0.5, 1.0];
        let all = candidates(&centre, &probabilities, 4.0, 512, &mut rng);
        let changed = |token: usize| {
            let numbers = all
                .chunks(600)
                .flat_map(|c| &c[token * 200..(token + 1) * 200]);
            numbers.filter(|&&value| value != 1.0).count() as f64 / (512.0 * 200.0)
        };
        assert_eq!(changed(0), 0.0);
        assert!((changed(1) - 0.5).abs() < 0.01, "{}", changed(1));
        assert!(changed(2) > 0.999);
        assert!(all.iter().all(|value| (-1.0..3.0).contains(value)));
        // a Sobol sequence has one of 512 points in each of 512 slices of every dimension
        for dimension in [400, 599] {
            let slices = all
                .chunks(600)
                .map(|c| ((c[dimension] + 1.0) * 128.0) as usize);
            let slices: std::collections::BTreeSet<usize> = slices.collect();
            assert!(slices.len() > 500, "{}", slices.len());
        }
    }

    #[test]
    fn endings_keep_what_is_before_them_and_draw_the_rest() {
        let mut rng = Streams::new(2).at("endings", 0);
        let all = endings(&[9.0; 12], 4, 3, 3000, &mut rng);
        let kept = |candidate: &[f32]| candidate.iter().take_while(|v| **v == 9.0).count();
        let mut counts = [0; 4];
        for candidate in all.chunks(12) {
            let kept = kept(candidate);
            assert!(kept % 3 == 0 && candidate[kept..].iter().all(|v| *v != 9.0));
            counts[kept / 3] += 1;
        }
        assert!(counts.iter().all(|n| (650..850).contains(n)), "{counts:?}");
        let drawn: f32 = all.iter().filter(|v| **v != 9.0).map(|v| v * v).sum();
        let numbers = all.iter().filter(|v| **v != 9.0).count() as f32;
        assert!((drawn / numbers - 1.0).abs() < 0.03);
    }

    #[test]
    fn a_candidate_changes_something() {
        let mut rng = Streams::new(2).at("candidates", 1);
        let all = candidates(&[0.0; 4], &[0.0, 0.0], 1.0, 50, &mut rng);
        assert!(
            all.chunks(4)
                .all(|c| c.iter().filter(|v| **v != 0.0).count() == 1)
        );
    }
}
