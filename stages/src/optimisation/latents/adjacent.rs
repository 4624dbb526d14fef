//! Adjacent pairs of tokens of evaluated sequences: in many spaces a sequence is infeasible because one token may not
//! follow another.

use crate::sequences::Sequence;
use std::collections::{BTreeMap, BTreeSet};

/// A token and the next one.
type Pair = (u32, u32);

/// In how many evaluated sequences each adjacent pair of tokens occurs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Adjacent {
    /// Of the feasible sequences, and of the infeasible ones.
    counts: BTreeMap<Pair, [usize; 2]>,
}

/// The pairs of a sequence that occur in no feasible sequence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Doubts {
    /// The number of pairs that occur in no evaluated sequence.
    pub unknown: usize,
    /// The number of pairs that occur in infeasible sequences only.
    pub suspected: usize,
}

impl Adjacent {
    /// The pairs of `evaluated` sequences, each with whether it is feasible.
    pub fn of<'a>(evaluated: impl Iterator<Item = (&'a Sequence, bool)>) -> Self {
        let mut all = Self::default();
        for (sequence, feasible) in evaluated {
            for pair in pairs(sequence) {
                all.counts.entry(pair).or_default()[usize::from(!feasible)] += 1;
            }
        }
        all
    }

    /// The doubts about a `sequence` that was not evaluated.
    pub fn doubts(&self, sequence: &Sequence) -> Doubts {
        self.without(sequence, [0, 0])
    }

    /// The doubts about an evaluated `sequence` as they were without its own evaluation. With it, every infeasible
    /// sequence would have a pair that only infeasible ones have: its own evidence.
    pub fn doubts_of_others(&self, sequence: &Sequence, feasible: bool) -> Doubts {
        let own = if feasible { [1, 0] } else { [0, 1] };
        self.without(sequence, own)
    }

    fn without(&self, sequence: &Sequence, own: [usize; 2]) -> Doubts {
        let mut doubts = Doubts::default();
        for pair in pairs(sequence) {
            let [feasible, infeasible] = self.counts.get(&pair).copied().unwrap_or_default();
            match [feasible - own[0], infeasible - own[1]] {
                [0, 0] => doubts.unknown += 1,
                [0, _] => doubts.suspected += 1,
                _ => {}
            }
        }
        doubts
    }
}

/// The adjacent pairs of `sequence`, each once.
fn pairs(sequence: &Sequence) -> BTreeSet<Pair> {
    sequence.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails if a sequence is evidence about itself, or if a pair that occurs twice in it counts twice.
    #[test]
    fn a_sequence_is_judged_by_the_others() {
        let evaluated = [
            (vec![1, 2, 3], true),
            (vec![1, 2, 4, 1, 2], false),
            (vec![2, 4, 5], false),
        ];
        let adjacent = Adjacent::of(
            evaluated
                .iter()
                .map(|(sequence, feasible)| (sequence, *feasible)),
        );
        let of_new = |sequence: Vec<u32>| {
            let Doubts { unknown, suspected } = adjacent.doubts(&sequence);
            [unknown, suspected]
        };
        assert_eq!(of_new(vec![1, 2, 3]), [0, 0]);
        assert_eq!(of_new(vec![2, 4, 5, 7, 5, 7]), [2, 2]); // 5 7 and 7 5; 2 4 and 4 5
        assert_eq!(of_new(vec![9]), [0, 0]);
        let of_old: Vec<[usize; 2]> = (evaluated.iter())
            .map(|(sequence, feasible)| adjacent.doubts_of_others(sequence, *feasible))
            .map(|Doubts { unknown, suspected }| [unknown, suspected])
            .collect();
        // 2 3 is unknown without the first; 1 2 is suspected without it. 4 1 is unknown without the second.
        assert_eq!(of_old, [[1, 1], [1, 1], [1, 1]]);
    }
}
