//! The stages of a plan in turn: check what can be checked before anything is trained, then run and
//! commit each.

use super::fill::Workshop;
use super::folders::Folders;
use crate::plan::{Plan, Planned, Ready, Verdict, flow_shape};
use crate::store::{Manifest, Role, Stage, Upstream};
use anyhow::{Context as _, Result};
use latent_align_stages::priors::PointShape;
use std::collections::BTreeMap;
use std::path::Path;

/// A stage whose input is good, and what its scan warned of.
pub type Checked = (Ready, Vec<String>);

/// Runs and commits every stage that must run, in order, those that are `ready` at once. Returns the manifest
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

/// Runs and commits one stage; it is prepared now if that had to wait.
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
    let upstream = &planned.key.upstream;
    let (ready, warnings) = match ready {
        Some(ready) => ready,
        None => {
            let shape = match flow(upstream) {
                Some(flow) if needs_shape(planned) => shape_of(flow)?,
                _ => PointShape::default(),
            };
            prepare_one(planned, shape, workshop)?
        }
    };
    workshop.fill(&planned.key, warnings, |context| {
        ready.run(upstream, context)
    })
}

/// Opens and scans the inputs of every stage that will run, so that wrong data surfaces before any
/// training; none for a stage that is up to date, and for one whose input, or the shape it must
/// have, comes from a stage that has not run yet.
pub fn prepare(plan: &Plan, workshop: &Workshop) -> Result<Vec<Option<Checked>>> {
    // What will be made, with the shape of its points where that is known beforehand.
    let mut coming: BTreeMap<&str, Option<PointShape>> = BTreeMap::new();
    let mut all = Vec::new();
    for planned in &plan.nodes {
        if !planned.must_run() {
            all.push(None);
            continue;
        }
        let upstream = &planned.key.upstream;
        let must_wait =
            |u: &Upstream| u.role == Role::Features && coming.contains_key(&*u.fingerprint);
        let shape = match flow(upstream) {
            _ if upstream.iter().any(must_wait) => None,
            Some(flow) if needs_shape(planned) => match coming.get(&*flow.fingerprint) {
                Some(known) => *known,
                None => Some(shape_of(flow)?),
            },
            _ => Some(PointShape::default()),
        };
        let ready = match shape {
            Some(shape) => Some(
                prepare_one(planned, shape, workshop)
                    .with_context(|| format!("stage {}", plan.title(planned)))?,
            ),
            None => None,
        };
        let made = ready.as_ref().and_then(|r| r.0.makes());
        coming.insert(&planned.fingerprint, made);
        all.push(ready);
    }
    Ok(all)
}

fn prepare_one(planned: &Planned, flow: PointShape, workshop: &Workshop) -> Result<Checked> {
    let monitor = workshop.monitor(planned.key.stage, None);
    let key = &planned.key;
    let ready = (planned.job).prepare(key.seed, &key.upstream, flow, &monitor);
    let warnings = monitor.finish();
    Ok((ready?, warnings?))
}

fn needs_shape(planned: &Planned) -> bool {
    planned.key.stage == Stage::TrainAutoencoder
}

fn flow(upstream: &[Upstream]) -> Option<&Upstream> {
    upstream.iter().find(|u| u.role == Role::Flow)
}

fn shape_of(flow: &Upstream) -> Result<PointShape> {
    let dir: &Path = &flow.dir;
    flow_shape(dir).with_context(|| format!("reading the flow in {}", dir.display()))
}
