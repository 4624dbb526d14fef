//! Restriction of a plan to one artifact and what it needs.

use super::planned::Plan;
use crate::config::hint;
use crate::store::Stage;
use latent_align_stages::{Error, Result};
use std::collections::BTreeSet;

impl Plan {
    /// Keeps only what `last` needs, a stage of the requested experiment or the start of a fingerprint.
    ///
    /// # Errors
    /// [`Error::Input`] if the plan has no such stage.
    pub fn until(mut self, last: &str) -> Result<Self> {
        let asked = &self.experiments[0].nodes;
        let by_stage = (asked.iter()).find(|n| self.nodes[**n].key.stage.name() == last);
        let by_fingerprint = || {
            let starts = |node: &usize| self.nodes[*node].fingerprint.starts_with(last);
            (0..self.nodes.len()).find(starts)
        };
        let Some(last) = by_stage.copied().or_else(by_fingerprint) else {
            let stages: Vec<&str> = asked
                .iter()
                .map(|n| self.nodes[*n].key.stage.name())
                .collect();
            return Err(Error::input(format!(
                "--until: found {last}, expected a stage of the experiment ({}) or the start of a fingerprint \
                 that `plan` shows{}",
                stages.join(", "),
                hint(last, &stages)
            )));
        };
        let mut kept = BTreeSet::from([last]);
        // Each node comes after everything it reads.
        for node in (0..=last).rev() {
            if kept.contains(&node) {
                for upstream in &self.nodes[node].key.upstream {
                    let reads = |n: &usize| self.is(*n, upstream.stage, &upstream.fingerprint);
                    kept.extend((0..node).find(reads));
                }
            }
        }
        let numbers: Vec<usize> = kept.iter().copied().collect();
        let number = |node: &usize| numbers.binary_search(node).ok();
        for experiment in &mut self.experiments {
            experiment.nodes = experiment.nodes.iter().filter_map(number).collect();
        }
        let mut node = 0..;
        self.nodes
            .retain(|_| kept.contains(&node.next().unwrap_or_default()));
        Ok(self)
    }

    fn is(&self, node: usize, stage: Stage, fingerprint: &str) -> bool {
        let node = &self.nodes[node];
        node.key.stage == stage && node.fingerprint == fingerprint
    }
}
