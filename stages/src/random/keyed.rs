//! Stateless randomness: every decision is a hash of its subject, so nothing needs to be replayed.

use rand::SeedableRng;
use rand_pcg::Pcg64;

/// Purpose of a stream; different purposes never share numbers, even with the same seed.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(crate) enum Purpose {
    Split = 1,
    BlockOrder = 2,
    WindowOrder = 3,
    Projection = 4,
    Generate = 5,
}

/// 64 well-mixed bits of (seed, purpose, words), by the finaliser of SplitMix64 over a running state.
#[inline]
pub(crate) fn mix(seed: u64, purpose: Purpose, words: &[u64]) -> u64 {
    let mut state = finalise(seed ^ 0x6c61_7465_6e74_2d61);
    for &word in [purpose as u64].iter().chain(words) {
        state = finalise(state.wrapping_add(finalise(word)));
    }
    state
}

#[inline]
fn finalise(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Maps 64 bits to [0, 1) with 53 bits of resolution.
#[inline]
pub(crate) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// A generator for (seed, purpose, words).
pub(crate) fn stream(seed: u64, purpose: Purpose, words: &[u64]) -> Pcg64 {
    Pcg64::seed_from_u64(mix(seed, purpose, words))
}

/// Shuffles uniformly (Fisher-Yates). Written out so that the order does not depend on the version of
/// `rand`.
pub(crate) fn shuffle<T>(values: &mut [T], rng: &mut impl rand::Rng) {
    for last in (1..values.len()).rev() {
        let bound = last as u128 + 1;
        let pick = ((rng.next_u64() as u128 * bound) >> 64) as usize;
        values.swap(last, pick);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_seeds_and_purposes_all_change_the_hash() {
        let base = mix(1, Purpose::Split, &[2, 3]);
        assert_ne!(base, mix(2, Purpose::Split, &[2, 3]));
        assert_ne!(base, mix(1, Purpose::BlockOrder, &[2, 3]));
        assert_ne!(base, mix(1, Purpose::Split, &[3, 2]));
        assert_eq!(base, mix(1, Purpose::Split, &[2, 3]));
    }

    #[test]
    fn a_shuffle_reaches_every_place_equally_often() {
        let mut first = [0u32; 5];
        for seed in 0..20_000 {
            let mut values = [0, 1, 2, 3, 4];
            shuffle(&mut values, &mut stream(seed, Purpose::WindowOrder, &[]));
            first[values[0]] += 1;
        }
        // 4000 expected, standard deviation 57.
        assert!(
            first.iter().all(|&n| (3700..4300).contains(&n)),
            "{first:?}"
        );
    }
}
