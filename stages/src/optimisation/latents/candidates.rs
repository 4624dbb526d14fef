//! Candidates about a latent: in a box, with tokens that are drawn anew, with another ending.

use crate::random::normal;
use rand::RngExt;
use rand_pcg::Pcg64;
use sobol_burley::{NUM_DIMENSIONS, sample};

/// `count` candidates [count, D] about the latent `centre` `[D]`: those of its numbers that change, each with the probability
/// of its token in `probabilities` and at least one in each candidate, are spread over the box of side `side` by a
/// scrambled Sobol sequence (Owen scrambling; above its number of dimensions, sequences scrambled independently).
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

/// `count` candidates [count, D] that are the latent `centre` `[D]` up to one of its `tokens`, and from there on drawn from
/// N(0, I): up to the `used` first, behind which decoded sequences end.
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
        let kept = rng.random_range(0..used.clamp(1, tokens)) * width;
        all.extend_from_slice(&centre[..kept]);
        all.extend(normal(rng, centre.len() - kept));
    }
    all
}

/// `count` candidates [count, D] that are the latent `centre` `[D]` but for a few of its `tokens`, which are drawn from
/// N(0, I): each of the first `used` and the one behind them as likely as the others, two on average, one at least.
pub(super) fn redrawn_tokens(
    centre: &[f32],
    tokens: usize,
    used: usize,
    count: usize,
    rng: &mut Pcg64,
) -> Vec<f32> {
    let (width, places) = (centre.len() / tokens, (used + 1).min(tokens));
    let further = 1.0 / places as f64;
    let mut all = Vec::with_capacity(count * centre.len());
    for _ in 0..count {
        let mut candidate = centre.to_vec();
        let first = rng.random_range(0..places);
        for place in 0..places {
            if place == first || rng.random::<f64>() < further {
                candidate[place * width..][..width].copy_from_slice(&normal(rng, width));
            }
        }
        all.extend(candidate);
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
        assert_eq!(counts[3], 0, "the last of three used tokens is not kept");
        assert!(
            counts[..3].iter().all(|n| (850..1150).contains(n)),
            "{counts:?}"
        );
        let drawn: f32 = all.iter().filter(|v| **v != 9.0).map(|v| v * v).sum();
        let numbers = all.iter().filter(|v| **v != 9.0).count() as f32;
        assert!((drawn / numbers - 1.0).abs() < 0.03);
    }

    #[test]
    fn two_tokens_are_redrawn_on_average_and_all_alike() {
        let mut rng = Streams::new(2).at("tokens", 0);
        let all = redrawn_tokens(&[9.0; 18], 6, 3, 4000, &mut rng);
        let mut counts = [0; 6];
        for candidate in all.chunks(18) {
            let changed = candidate.chunks(3).map(|token| token[0] != 9.0);
            let changed: Vec<bool> = changed.collect();
            assert!(changed.contains(&true));
            for (count, changed) in counts.iter_mut().zip(changed) {
                *count += usize::from(changed);
            }
        }
        // each as the first with probability 1/4, else with probability 1/4
        let expected = 4000.0 * (0.25 + 0.75 * 0.25);
        for count in &counts[..4] {
            assert!((*count as f64 - expected).abs() < 100.0, "{counts:?}");
        }
        assert_eq!(counts[4..], [0, 0]);
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
