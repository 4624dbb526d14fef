//! Crossover of sequences: the head of one and the tail of another.

use crate::sequences::Sequence;
use rand::RngExt;
use rand_pcg::Pcg64;

/// The first tokens of one of `pair` and the last tokens of the other, in random order, at most `longest` in total:
/// cut at the same position or at two different ones with equal probability.
pub(super) fn joined(pair: [&[u32]; 2], longest: usize, rng: &mut Pcg64) -> Sequence {
    let [head, tail] = match rng.random_bool(0.5) {
        true => pair,
        false => [pair[1], pair[0]],
    };
    let kept = rng.random_range(0..=head.len());
    let from = match rng.random_bool(0.5) {
        true => kept.min(tail.len()),
        false => rng.random_range(0..=tail.len()),
    };
    let mut both = [&head[..kept], &tail[from..]].concat();
    both.truncate(longest);
    both
}

/// The first of `pair` with a segment replaced by one of the other, at most `longest` in total: the same positions
/// with probability 1/2, or if both have the maximum length.
pub(super) fn spliced([one, other]: [&[u32]; 2], longest: usize, rng: &mut Pcg64) -> Sequence {
    if one.is_empty() || other.is_empty() {
        return one.to_vec();
    }
    let piece = |sequence: &[u32], rng: &mut Pcg64| {
        let from = rng.random_range(0..sequence.len());
        let most = (sequence.len() - from).min(LONGEST_PIECE);
        from..from + rng.random_range(1..=most)
    };
    let taken = piece(other, rng);
    let is_full = one.len() == longest && other.len() == longest;
    let given = match is_full || rng.random_bool(0.5) {
        true => taken.start.min(one.len())..taken.end.min(one.len()),
        false => piece(one, rng),
    };
    let mut both = [&one[..given.start], &other[taken], &one[given.end..]].concat();
    both.truncate(longest);
    both
}

/// The largest number of tokens in a segment.
const LONGEST_PIECE: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    /// Fails if full sequences change their length, or the remaining tokens change their order.
    #[test]
    fn a_piece_of_one_takes_the_place_of_a_piece_of_the_other() {
        let (a, b): (Vec<u32>, Vec<u32>) = ((1..=20).collect(), (101..=120).collect());
        let mut rng = Streams::new(3).at("spliced", 0);
        for _ in 0..500 {
            let full = spliced([&a, &b], 20, &mut rng);
            assert!(full.iter().zip(1..).all(|(t, i)| t % 100 == i) && full.len() == 20);
            let other = spliced([&a, &b], 25, &mut rng);
            let kept: Vec<u32> = other.iter().copied().filter(|t| *t < 100).collect();
            let taken: Vec<u32> = other.iter().copied().filter(|t| *t > 100).collect();
            assert!(kept.is_sorted() && taken.windows(2).all(|w| w[1] == w[0] + 1));
            assert!((1..=12).contains(&taken.len()) && other.len() <= 25);
        }
        assert_eq!(spliced([&a, &[]], 20, &mut rng), a);
    }

    /// Fails if a token is lost or moved: half of the pairs of equal length keep every token in its position.
    #[test]
    fn two_of_one_length_exchange_their_ends() {
        let (a, b) = ([1, 2, 3, 4, 5], [11, 12, 13, 14, 15]);
        let mut rng = Streams::new(3).at("joined", 0);
        let (mut in_place, mut heads, mut longest) = (0, 0, 0);
        for _ in 0..2000 {
            let both = joined([&a, &b], 8, &mut rng);
            let of_first = both.iter().take_while(|t| **t < 10).count();
            heads += usize::from(both.first().is_some_and(|t| *t < 10));
            longest = longest.max(both.len());
            let rest = match of_first {
                0 => &both[both.iter().take_while(|t| **t > 10).count()..],
                kept => &both[kept..],
            };
            let ordered = |part: &[u32]| part.windows(2).all(|w| w[1] == w[0] + 1);
            assert!(ordered(rest) && ordered(&both[..both.len() - rest.len()]));
            in_place +=
                usize::from(both.iter().zip(1..).all(|(t, i)| t % 10 == i) && both.len() == 5);
        }
        assert_eq!(longest, 8);
        // at one position, and a sixth of the others by chance
        assert!((1080..1260).contains(&in_place), "{in_place}");
        assert!((800..1200).contains(&heads), "{heads}");
    }
}
