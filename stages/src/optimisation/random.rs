//! Random search: whatever the objective's space draws.

use super::history::History;
use super::objective::Space;
use super::proposer::{Proposal, Proposer};
use crate::error::{Error, Result};
use crate::random::Streams;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Draws in a row that are known before it gives up.
const PATIENCE: usize = 10_000;

/// Random search.
pub struct RandomSearch {
    space: Arc<dyn Space>,
}

impl RandomSearch {
    /// Over the texts of `space`.
    pub fn new(space: Arc<dyn Space>) -> Self {
        Self { space }
    }
}

impl Proposer for RandomSearch {
    fn propose(
        &mut self,
        history: &History,
        count: usize,
        streams: Streams,
        round: u64,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<Proposal>> {
        let mut rng = streams.at("random search", round);
        new_texts(history, count, cancelled, || self.space.draw(&mut rng))
    }
}

/// At most `count` texts that `next` gives and `history` does not have; fewer once it gave known ones many times.
///
/// # Errors
/// [`Error::Cancelled`] where `cancelled` says so.
pub(super) fn new_texts(
    history: &History,
    count: usize,
    cancelled: &dyn Fn() -> bool,
    mut next: impl FnMut() -> String,
) -> Result<Vec<Proposal>> {
    let (mut seen, mut proposals, mut known) = (BTreeSet::new(), Vec::new(), 0);
    while proposals.len() < count && known < PATIENCE {
        if cancelled() {
            return Err(Error::Cancelled);
        }
        let text = next();
        match history.knows(&text) || !seen.insert(text.clone()) {
            true => known += 1,
            false => {
                known = 0;
                proposals.push(Proposal::of(text));
            }
        }
    }
    Ok(proposals)
}
