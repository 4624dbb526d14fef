//! Subsets of latents for figures with quadratic cost.

use crate::random::Streams;
use rand::seq::SliceRandom;

/// A representative subset of latents.
pub struct Thinned {
    /// Row-major [n, d].
    pub latents: Vec<f32>,
    /// Number of consecutive latents per row of data.
    pub group: usize,
}

/// At most `at_most` of the `latents` [N, T, d], with T `tokens` of `width` d per row of data, from as
/// many rows as possible: an equal number of tokens per row, drawn so that all tokens occur in equally
/// many rows. (Taking every second latent would select the same tokens in every row.)
pub fn thin(
    latents: &[f32],
    tokens: usize,
    width: usize,
    at_most: usize,
    streams: Streams,
) -> Thinned {
    let row = tokens * width;
    let count = latents.len() / row;
    let rows = count.min(at_most);
    // a divisor of T, so that a shuffled deck of tokens is used up evenly
    let wanted = at_most.checked_div(rows).unwrap_or(1).clamp(1, tokens);
    let group = (1..=wanted)
        .rev()
        .find(|&k| tokens.is_multiple_of(k))
        .expect("1 divides");
    let mut rng = streams.at("tokens of rows", 0);
    let mut kept = Vec::with_capacity(rows * group * width);
    let mut deck = Vec::new();
    for i in 0..rows {
        if deck.is_empty() {
            deck = (0..tokens).collect();
            if group < tokens {
                deck.shuffle(&mut rng);
            } else {
                deck.reverse(); // all, in order
            }
        }
        let start = i * count / rows * row;
        for token in deck.drain(deck.len() - group..).rev() {
            kept.extend_from_slice(&latents[start + token * width..][..width]);
        }
    }
    Thinned {
        latents: kept,
        group,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Latents [rows, tokens, 1] whose values are their indices.
    fn places(rows: usize, tokens: usize) -> Vec<f32> {
        (0..rows * tokens).map(|i| i as f32).collect()
    }

    #[test]
    fn every_token_stands_for_as_many_rows_as_any_other_whatever_is_left_out() {
        for (tokens, at_most, group) in [(2, 1000, 1), (4, 1000, 1), (4, 2500, 2), (6, 3500, 3)] {
            let found = thin(&places(1000, tokens), tokens, 1, at_most, Streams::new(0));
            assert_eq!(found.group, group);
            let mut of_token = vec![0; tokens];
            for latent in &found.latents {
                of_token[*latent as usize % tokens] += 1;
            }
            let (least, most) = (of_token.iter().min(), of_token.iter().max());
            assert!(most.unwrap() - least.unwrap() <= 1, "{of_token:?}");
            // the tokens of a group are distinct and of one row
            for latents in found.latents.chunks(group) {
                let mut distinct: Vec<usize> = latents.iter().map(|&x| x as usize).collect();
                distinct.sort_unstable();
                distinct.dedup();
                assert_eq!(distinct.len(), group);
                assert!(distinct.iter().all(|&x| x / tokens == distinct[0] / tokens));
            }
        }
    }

    #[test]
    fn few_latents_are_all_kept_in_their_order_and_many_tokens_leave_one_of_each_row() {
        let few = thin(&places(30, 3), 3, 1, 1000, Streams::new(0));
        assert_eq!((few.latents, few.group), (places(30, 3), 3));
        let many = thin(&places(500, 256), 256, 1, 400, Streams::new(0));
        assert_eq!((many.latents.len(), many.group), (400, 1));
        let none = thin(&[], 2, 1, 10, Streams::new(0));
        assert!(none.latents.is_empty());
    }
}
