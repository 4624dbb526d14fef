//! Executes the stages of a plan in order: validates inputs before any training, then runs and commits each
//! stage.

use super::fill::Workshop;
use super::folders::Folders;
use crate::plan::{Plan, Planned, Verdict};
use crate::store::{Key, Manifest, Upstream as Read};
use anyhow::{Context as _, Result};
use latent_align_stages::priors::PointShape;
use latent_align_stages::stages::{Artifact, Preparation, Prepared, Standing, Upstream};
use std::any::Any;
use std::collections::BTreeMap;

/// A stage with validated input, and the warnings of its scan.
pub type Checked = (Box<dyn Prepared>, Vec<String>);

/// Artifacts to be made, by fingerprint, with the shape of a flow's points if known in advance.
type Coming<'a> = BTreeMap<&'a str, Option<PointShape>>;

/// Runs and commits every stage that must run, in order, starting with those in `ready`. Returns the manifest
/// of every stage of the plan.
pub fn all(
    plan: &Plan,
    ready: Vec<Option<Checked>>,
    workshop: &mut Workshop,
    folders: &mut Folders,
) -> Result<Vec<Manifest>> {
    let mut manifests = Vec::new();
    for ((number, planned), ready) in plan.nodes.iter().enumerate().zip(ready) {
        let manifest = match &planned.verdict {
            Verdict::UpToDate(manifest) => (**manifest).clone(),
            Verdict::Run(_) => run(plan, planned, ready, workshop)
                .with_context(|| format!("stage {}", plan.title(planned)))?,
        };
        folders.link(number, &planned.key)?;
        manifests.push(manifest);
    }
    Ok(manifests)
}

/// Runs and commits one stage, preparing it now if that was postponed.
fn run(
    plan: &Plan,
    planned: &Planned,
    ready: Option<Checked>,
    workshop: &mut Workshop,
) -> Result<Manifest> {
    if planned.member > 0 {
        let title = plan.title(planned);
        workshop
            .console
            .note(&format!("{title}, which this reads:"));
    }
    let upstream = upstream(plan, planned, &Coming::new());
    let (ready, warnings) = match ready {
        Some(ready) => ready,
        None => prepare_one(planned, &upstream, workshop)?
            .expect("a stage waits only for what is not made"),
    };
    let devices = workshop.devices_for(planned.config.as_ref()).len();
    workshop.fill(&planned.key, devices, warnings, |context| {
        ready.run(&upstream, context)
    })
}

/// Opens and scans the inputs of every stage that will run, so that invalid data is found before any
/// training; None for a stage that is up to date, or must wait for another.
pub fn prepare(plan: &Plan, workshop: &Workshop) -> Result<Vec<Option<Checked>>> {
    let mut coming = Coming::new();
    let mut all = Vec::new();
    for planned in &plan.nodes {
        if !planned.must_run() {
            all.push(None);
            continue;
        }
        let ready = prepare_one(planned, &upstream(plan, planned, &coming), workshop)
            .with_context(|| format!("stage {}", plan.title(planned)))?;
        let made = ready.as_ref().and_then(|(ready, _)| ready.makes());
        coming.insert(&planned.fingerprint, made);
        all.push(ready);
    }
    Ok(all)
}

/// Prepares a stage; None if it must wait.
fn prepare_one(
    planned: &Planned,
    upstream: &Upstream,
    workshop: &Workshop,
) -> Result<Option<Checked>> {
    let Key { stage, seed, .. } = planned.key;
    let monitor = workshop.monitor(stage, None);
    let prepared = planned.config.prepare(upstream, seed, &monitor);
    let warnings = monitor.finish();
    match prepared? {
        Preparation::Ready(ready) => Ok(Some((ready, warnings?))),
        Preparation::Wait => Ok(None),
    }
}

/// The artifacts that a stage reads, some of which may be `coming`.
fn upstream(plan: &Plan, planned: &Planned, coming: &Coming) -> Upstream {
    let made_by = |read: &Read| {
        let mut nodes = plan.nodes.iter();
        let made = nodes.find(|n| n.key.stage == read.stage && n.fingerprint == read.fingerprint);
        made.map(|node| -> Box<dyn Any> { node.config.boxed() })
    };
    let read = planned.key.upstream.iter().map(|read| Artifact {
        role: read.role,
        name: format!("{} {}", read.stage, read.fingerprint),
        dir: read.dir.clone(),
        config: made_by(read),
        standing: match coming.get(&*read.fingerprint) {
            Some(&points) => Standing::Coming { points },
            None => Standing::Made,
        },
    });
    Upstream(read.collect())
}
