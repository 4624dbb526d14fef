//! Random search: independent draws from the objective's space.

use super::history::History;
use super::objective::{Canonical, Space};
use super::proposer::{Proposal, Proposer};
use crate::error::{Error, Result};
use crate::random::Streams;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The number of consecutive known draws after which it gives up.
const PATIENCE: usize = 10_000;

/// Random search.
pub struct RandomSearch {
    space: Arc<dyn Space>,
    canonical: Canonical,
}

impl RandomSearch {
    /// Random search on the texts of `space`, in the form that `canonical` gives them.
    pub fn new(space: Arc<dyn Space>, canonical: Canonical) -> Self {
        Self { space, canonical }
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
        new_texts(history, &self.canonical, count, cancelled, || {
            self.space.draw(&mut rng)
        })
    }
}

/// At most `count` new texts from `next`, in canonical form and not in `history`; fewer if many consecutive ones
/// are known.
///
/// # Errors
/// [`Error::Cancelled`] if `cancelled` says so; those of `canonical`.
pub(super) fn new_texts(
    history: &History,
    canonical: &Canonical,
    count: usize,
    cancelled: &dyn Fn() -> bool,
    mut next: impl FnMut() -> String,
) -> Result<Vec<Proposal>> {
    let (mut seen, mut proposed, mut known) = (BTreeSet::new(), BTreeSet::new(), 0);
    let mut proposals = Vec::new();
    while proposals.len() < count && known < PATIENCE {
        let mut some = Vec::new();
        while some.len() < count - proposals.len() && known < PATIENCE {
            if cancelled() {
                return Err(Error::Cancelled);
            }
            let text = next();
            match history.knows(&text) || !seen.insert(text.clone()) {
                true => known += 1,
                false => some.push(text),
            }
        }
        for text in canonical.of(some, cancelled)? {
            match text.filter(|text| !history.knows(text) && proposed.insert(text.clone())) {
                Some(text) => {
                    known = 0;
                    proposals.push(Proposal::of(text));
                }
                None => known += 1,
            }
        }
    }
    Ok(proposals)
}
