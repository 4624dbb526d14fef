//! Candidates made of the tokens of good sequences.

use super::edits::edit;
use super::joined::{joined, spliced};
use crate::error::Result;
use crate::sequences::{Sequence, SequenceModel};
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_pcg::Pcg64;

/// The largest number of resampled tokens of a sequence, half of them uniform, the others from the model; each
/// further token is half as likely as the one before.
const MOST_REDRAWN: usize = 6;

/// `redrawn` copies of `parents` in turn with resampled tokens, and `joins` crossovers of a parent with a partner or
/// with one of `endings`, every other one with resampled tokens. The result may contain repetitions.
///
/// # Errors
/// Device errors.
pub(super) fn varied(
    model: &dyn SequenceModel,
    parents: &[&Sequence],
    (partners, endings): (&[&Sequence], &[Sequence]),
    [redrawn, joins]: [usize; 2],
    rng: &mut Pcg64,
) -> Result<Vec<Sequence>> {
    let (longest, size) = (model.alphabet().longest(), model.alphabet().size());
    let parent = |i: usize| parents[i % parents.len()];
    let mut all: Vec<Sequence> = (0..redrawn).map(|i| parent(i).clone()).collect();
    for i in 0..joins {
        let ending = endings.choose(rng).filter(|_| rng.random_bool(0.5));
        let partner = match (ending, partners.choose(rng)) {
            (Some(ending), _) => ending,
            (None, Some(partner)) => partner,
            (None, None) => parent(i),
        };
        let pair: [&[u32]; 2] = [parent(i), partner];
        all.push(match rng.random_bool(0.5) {
            true => joined(pair, longest, rng),
            false => spliced(pair, longest, rng),
        });
    }
    let mut changing: Vec<usize> = (0..redrawn)
        .chain((redrawn..all.len()).step_by(2))
        .collect();
    for _ in 0..MOST_REDRAWN {
        let (any, by_model): (Vec<usize>, Vec<usize>) =
            changing.iter().partition(|_| rng.random_bool(0.5));
        for i in any {
            edit(&mut all[i], longest, size, rng);
        }
        let sequences: Vec<Sequence> = by_model.iter().map(|&i| all[i].clone()).collect();
        let places: Vec<usize> = (sequences.iter())
            .map(|sequence| rng.random_range(0..(sequence.len() + 1).min(longest)))
            .collect();
        let changed = model.redraw(&sequences, &places, rng)?;
        by_model
            .iter()
            .zip(changed)
            .for_each(|(&i, sequence)| all[i] = sequence);
        changing.retain(|_| rng.random_bool(0.5));
        if changing.is_empty() {
            break;
        }
    }
    Ok(all)
}
