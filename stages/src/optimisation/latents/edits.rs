//! Single random edits of a sequence with equal probabilities, which reach sequences that a model never samples.

use crate::sequences::Sequence;
use rand::RngExt;
use rand_pcg::Pcg64;

/// Edits `sequence` at one position: with probability 1/2 its token is replaced by any of the `size` tokens except
/// the end token (0), otherwise it is deleted, or any token is inserted before it. A sequence of `longest` tokens
/// keeps its length: a token is deleted and another one inserted elsewhere, so that the tokens between them shift
/// by one position.
pub(super) fn edit(sequence: &mut Sequence, longest: usize, size: usize, rng: &mut Pcg64) {
    let token = |rng: &mut Pcg64| rng.random_range(1..size as u32);
    let is_full = sequence.len() == longest;
    let place = rng.random_range(0..(sequence.len() + 1).min(longest));
    match rng.random_range(0..4) {
        2 if sequence.len() > 1 && place < sequence.len() => {
            sequence.remove(place);
            if is_full {
                sequence.insert(rng.random_range(0..longest), token(rng));
            }
        }
        3 if !is_full => sequence.insert(place, token(rng)),
        3 => {
            sequence.insert(place, token(rng));
            sequence.remove(rng.random_range(0..=longest));
        }
        _ if place < sequence.len() => sequence[place] = token(rng),
        _ => sequence.push(token(rng)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    /// Fails if a full sequence changes its length, or only replacements are made.
    #[test]
    fn full_sequences_keep_their_length_and_others_gain_and_lose_a_token() {
        let mut rng = Streams::new(3).at("edits", 0);
        let (mut lengths, mut moved) = ([0; 3], 0);
        for _ in 0..2000 {
            let mut full: Sequence = (1..=8).collect();
            edit(&mut full, 8, 50, &mut rng);
            assert!(full.len() == 8 && full.iter().all(|t| (1..50).contains(t)));
            moved += usize::from(full.iter().zip(1..=8).filter(|(a, b)| **a != *b).count() > 1);
            let mut short: Sequence = vec![1, 2, 3, 4];
            edit(&mut short, 8, 50, &mut rng);
            lengths[short.len() - 3] += 1;
        }
        // an edit behind the end appends a token, whatever its kind
        assert!((320..480).contains(&lengths[0]), "{lengths:?}");
        assert!((620..900).contains(&lengths[2]), "{lengths:?}");
        assert!((600..1000).contains(&moved), "{moved}");
        let mut one = vec![1];
        (0..100).for_each(|_| {
            edit(&mut one, 3, 9, &mut rng);
            assert!(!one.is_empty() && one.len() <= 3);
        });
    }
}
