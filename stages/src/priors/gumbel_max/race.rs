//! The race between tokens: from a latent to the winning token, and from a token to a latent of races that it wins.

use rayon::prelude::*;
use statrs::function::erf::{erfc, erfc_inv};
use std::f64::consts::SQRT_2;

/// `-ln Phi(z)`, exponential if z is from N(0, 1).
pub(super) fn time(z: f64) -> f64 {
    match z < 0.0 {
        // Phi is small here, and accurate to all digits
        true => -(0.5 * erfc(-z / SQRT_2)).ln(),
        false => -(-0.5 * erfc(z / SQRT_2)).ln_1p(),
    }
}

/// The inverse of [`time`].
pub(super) fn noise(time: f64) -> f64 {
    let below = (-time).exp();
    match below < 0.5 {
        true => -SQRT_2 * erfc_inv(2.0 * below),
        false => SQRT_2 * erfc_inv(2.0 * -(-time).exp_m1()),
    }
}

/// Numbers of a parallel task.
const TASK: usize = 256;

/// The logarithm of the [`time`] of each of `z`.
pub(super) fn log_times(z: &[f32]) -> Vec<f64> {
    let each = z.par_iter().with_min_len(TASK);
    each.map(|&z| time(f64::from(z)).ln()).collect()
}

/// The winning token for latents with these [`log_times`], and `log_p`; the first one among equals.
pub(super) fn winner(log_times: &[f64], log_p: &[f64]) -> u32 {
    let mut best = (0, f64::INFINITY);
    for (token, (log_time, log_p)) in log_times.iter().zip(log_p).enumerate() {
        let arrival = log_time - log_p;
        if arrival < best.1 {
            best = (token, arrival);
        }
    }
    best.0 as u32
}

/// Latents [n, V] of races with `log_p` [n, V] that `tokens` `[n]` win: a winner arrives at its number of `draws`
/// [n, V], and each other token its number later; all are exponential. `draws` may be fewer, which are then repeated.
pub(super) fn won_by(tokens: &[u32], log_p: &[f64], draws: &[f64]) -> Vec<f32> {
    let size = log_p.len() / tokens.len().max(1);
    let mut all = vec![0.0; log_p.len()];
    let races = all.par_chunks_mut(size.max(1)).enumerate();
    races
        .with_min_len(TASK / size.max(1))
        .for_each(|(race, z)| {
            let log_p = &log_p[race * size..][..size];
            let draws = &draws[race * size % draws.len()..][..size];
            let token = tokens[race] as usize;
            for (other, z) in z.iter_mut().enumerate() {
                let before = log_p[other].exp() * draws[token];
                let time = match other == token {
                    true => before,
                    false => before + draws[other],
                };
                *z = noise(time.max(f64::MIN_POSITIVE)) as f32;
            }
        });
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;
    use rand::RngExt;
    use rand_distr::Exp1;

    const P: [f64; 5] = [0.55, 0.25, 0.15, 0.05 - 1e-6, 1e-6];

    fn log_p() -> Vec<f64> {
        P.iter().map(|p| p.ln()).collect()
    }

    #[test]
    fn times_and_noise_are_each_others_inverse_in_both_tails() {
        for z in [-8.0, -3.0, -0.1, 0.0, 0.4, 2.0, 5.0, 7.0] {
            let back = noise(time(z));
            assert!((back - z).abs() < 1e-6 * z.abs().max(1.0), "{z} {back}");
        }
        // -ln 0.5, and by series beyond: Q(7) = 1.2798e-12
        assert!((time(0.0) - 2f64.ln()).abs() < 1e-12);
        assert!((time(7.0) / 1.279_812_543_885_835e-12 - 1.0).abs() < 1e-9);
    }

    /// Fails if the winner is not drawn with the probabilities p, as with the wrong noise or powers of p.
    #[test]
    fn tokens_win_as_often_as_they_are_probable() {
        let mut rng = Streams::new(1).at("races", 0);
        let (log_p, races) = (log_p(), 40_000);
        let mut wins = [0usize; 5];
        for _ in 0..races {
            wins[winner(&log_times(&crate::random::normal(&mut rng, 5)), &log_p) as usize] += 1;
        }
        for (won, p) in wins.iter().zip(P) {
            let error = (p * (1.0 - p) / f64::from(races)).sqrt();
            let share = *won as f64 / f64::from(races);
            assert!((share - p).abs() < 4.0 * error + 1e-4, "{share} {p}");
        }
    }

    /// Fails if latents given a token are not those of races that it wins: over tokens drawn from p they are N(0,
    /// I), and each decodes to its token, however improbable.
    #[test]
    fn latents_given_a_token_lead_back_to_it_and_are_normal_over_all() {
        let mut rng = Streams::new(2).at("races", 0);
        let log_p = log_p();
        let mut moments = [[0.0; 4]; 5];
        let races = 40_000;
        for _ in 0..races {
            let token = winner(&log_times(&crate::random::normal(&mut rng, 5)), &log_p);
            let draws: Vec<f64> = (0..5).map(|_| rng.sample(Exp1)).collect();
            let z = won_by(&[token], &log_p, &draws);
            assert_eq!(winner(&log_times(&z), &log_p), token);
            for (moments, z) in moments.iter_mut().zip(z) {
                let power = |k: i32| f64::from(z).powi(k) / f64::from(races);
                (1..=4)
                    .zip(moments)
                    .for_each(|(k, moment)| *moment += power(k));
            }
        }
        // four standard errors of the first four moments of N(0, 1)
        for moments in moments {
            for (found, (expected, variance)) in
                moments
                    .iter()
                    .zip([(0.0, 1.0), (1.0, 2.0), (0.0, 15.0), (3.0, 96.0)])
            {
                let error = (variance / f64::from(races)).sqrt();
                assert!((found - expected).abs() < 4.0 * error, "{moments:?}");
            }
        }
        for token in 0..5 {
            let draws = [0.7, 1.3, 0.2, 2.5, 0.01];
            let z = won_by(&[token], &log_p, &draws);
            assert_eq!(winner(&log_times(&z), &log_p), token);
        }
    }
}
