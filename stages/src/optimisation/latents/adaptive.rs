//! Token-level adaptive candidate sampling (TACS): tokens whose latents matter more are changed more.

/// The probability that a decoded token is the intended one, in the likelihood `p(x | z)`.
const MATCH: f64 = 0.95;

/// The importance of each token of a latent, `omega = log p(x|z) - log E p(x|z')`, where z' is z with that token
/// resampled; `changed` gives, for each token, the number of decoded tokens that each draw changed.
pub(super) fn importance(changed: &[Vec<usize>]) -> Vec<f64> {
    let ratio = (1.0 - MATCH) / MATCH;
    let of = |draws: &Vec<usize>| -> f64 {
        let kept = draws.iter().map(|&k| ratio.powi(k as i32)).sum::<f64>();
        -(kept / draws.len() as f64).ln()
    };
    changed.iter().map(of).collect()
}

/// The probability of changing a number of each token, `share` on average:
/// `min(1, share T softmax(omega / temperature))`.
pub(super) fn probabilities(importance: &[f64], share: f64, temperature: f64) -> Vec<f64> {
    let most = importance.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = importance
        .iter()
        .map(|omega| ((omega - most) / temperature).exp())
        .collect();
    let sum: f64 = weights.iter().sum();
    let scale = share * importance.len() as f64 / sum;
    weights.iter().map(|w| (scale * w).min(1.0)).collect()
}

/// The number of positions in which two sequences differ, padded to the longer one.
pub(super) fn differences(a: &[u32], b: &[u32]) -> usize {
    let same = a.iter().zip(b).filter(|(a, b)| a == b).count();
    a.len().max(b.len()) - same
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_tokens_weigh_ln_19_each_and_draws_are_averaged_as_probabilities() {
        let omega = importance(&[vec![3], vec![0], vec![0, 1]]);
        let expected = [3.0 * 19f64.ln(), 0.0, -((1.0 + 1.0 / 19.0) / 2.0f64).ln()];
        for (found, expected) in omega.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        assert_eq!(differences(&[1, 2, 3], &[1, 3]), 2);
    }

    #[test]
    fn probabilities_are_those_of_the_reference() {
        let omega = [88.3, 58.9, 29.4, 0.0];
        for (temperature, expected) in [
            (400.0, [0.1113, 0.1034, 0.0961, 0.0892]),
            (40.0, [0.2199, 0.1055, 0.0504, 0.0242]),
        ] {
            let found = probabilities(&omega, 0.1, temperature);
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 5e-5, "{found} {expected}");
            }
        }
        assert_eq!(probabilities(&[900.0, 0.0], 0.9, 1.0), [1.0, 0.0]);
    }
}
