//! One trial.

use crate::config::Loaded;
use serde_json::{Map, Value};

/// One variant with one seed.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The variant's name.
    pub variant: String,
    /// The keys it sets, and their values.
    pub settings: Map<String, Value>,
    /// The experiment with the trial's name and seed.
    pub loaded: Loaded,
}

impl Trial {
    /// The name of its run.
    pub fn name(&self) -> &str {
        &self.loaded.experiment.name
    }

    /// The devices of its experiment, as written: one, or those that share its trainings.
    pub fn devices(&self) -> &[String] {
        self.loaded.experiment.device_names()
    }
}

/// The name of the run of a variant with a seed.
pub fn run_name(sweep: &str, variant: &str, seed: u64) -> String {
    format!("{sweep}.{variant}.seed{seed}")
}

/// The name of the run of the trial `run` on the rung of `steps`.
pub fn rung_name(run: &str, steps: u64) -> String {
    format!("{run}.rung{steps}")
}

/// Whether `run` is the run of a trial on a rung of successive halving.
pub fn is_rung(run: &str) -> bool {
    let numbered = |part: Option<&str>, word: &str| {
        let number = part.and_then(|part| part.strip_prefix(word));
        number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let mut parts = run.rsplit('.');
    numbered(parts.next(), "rung") && numbered(parts.next(), "seed")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Detects: runs of rungs listed among results, and runs hidden that a user called so.
    #[test]
    fn runs_of_rungs_are_known_by_their_names() {
        let trial = run_name("weight", "weight-0.1", 3);
        assert!(is_rung(&rung_name(&trial, 100)));
        for other in [
            trial.as_str(),
            "rung5",
            "my.rung5",
            "a.seed1.rung",
            "a.seedx.rung5",
        ] {
            assert!(!is_rung(other), "{other}");
        }
    }
}
