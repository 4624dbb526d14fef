//! The finished flow that an experiment names instead of pretraining one.

use crate::config;
use crate::shipped::{self, FLOWS, ShippedFlow};
use crate::store::{Digests, Key, Stage, State, Store, Upstream};
use latent_align_stages::stages::FLOW;
use latent_align_stages::{Error, Result};
use std::path::Path;

/// The flow that an experiment names; that of a quick run is for quick runs only.
pub fn finished_flow(
    store: &Store,
    flow: &str,
    digests: &mut Digests,
    quick: bool,
) -> Result<Upstream> {
    if let Some(shipped) = shipped::named(flow) {
        let key = shipped_key(shipped);
        let fingerprint = key.fingerprint();
        return Ok(Upstream {
            role: FLOW,
            stage: key.stage,
            // a run unpacks it there
            dir: store.artifact(key.stage, &fingerprint),
            fingerprint,
        });
    }
    let dir = if config::is_fingerprint_prefix(flow) {
        store
            .find(Some(Stage::PretrainFlow), flow)
            .map_err(|e| e.under("flow"))?
    } else {
        Path::new(flow).to_owned()
    };
    let wrong = |why: &str| {
        Error::input(format!(
            "flow: {}: {why}; expected a finished pretrain-flow artifact, or {}, which is part of this program",
            dir.display(),
            shipped::names()
        ))
    };
    match digests.state_of(&dir) {
        State::Absent => Err(wrong("no such folder")),
        State::Damaged(why) => Err(wrong(&why)),
        State::Unreadable(why) => Err(wrong(&format!("cannot be read: {why}"))),
        State::Whole(m) if m.stage != Stage::PretrainFlow => {
            Err(wrong(&format!("an artifact of {}", m.stage)))
        }
        State::Whole(m) if m.quick && !quick => Err(wrong("of a quick run, which has no results")),
        State::Whole(manifest) => {
            let inside = store.artifact(manifest.stage, &manifest.fingerprint);
            let same = inside.canonicalize().ok() == dir.canonicalize().ok();
            Ok(Upstream {
                role: FLOW,
                stage: manifest.stage,
                fingerprint: manifest.fingerprint,
                dir: if same && inside.exists() { inside } else { dir },
            })
        }
    }
}

/// The key of the artifact that `shipped` becomes.
pub fn shipped_key(shipped: &ShippedFlow) -> Key {
    Key {
        stage: Stage::PretrainFlow,
        config: shipped.identity(),
        seed: 0,
        inputs: Vec::new(),
        upstream: Vec::new(),
        quick: false,
    }
}

/// The key of the flow that is part of the program and has this fingerprint, if there is one.
pub fn key_of_shipped(fingerprint: &str) -> Option<Key> {
    let mut keys = FLOWS.iter().map(shipped_key);
    keys.find(|key| key.fingerprint() == fingerprint)
}
