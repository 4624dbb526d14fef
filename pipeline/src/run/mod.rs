//! Running an experiment: plan, validate inputs, compute stale stages, commit each, report.

mod attendance;
mod compute;
mod entry;
mod fill;
mod folders;
mod monitor;
mod progress;

pub use fill::Workshop;
pub use monitor::StageMonitor;

use crate::config::Loaded;
use crate::console::Console;
use crate::plan::{Plan, shipped_key};
use crate::process::Signals;
use crate::report::Summary;
use crate::shipped;
use crate::store::{Digests, State, Store};
use anyhow::{Context as _, Result};
use folders::Folders;
use latent_align_stages::devices::{DeviceChoice, check_numbers};
use latent_align_stages::problems::Problems;

/// Brings the artifacts of an experiment up to date, or only those that `until` needs, and returns its
/// summary.
///
/// # Errors
/// Input errors are found before any training, and leave earlier runs as they were. A failure of a later
/// stage leaves the artifacts of earlier ones in place.
pub fn run(
    loaded: &Loaded,
    until: Option<&str>,
    store: &Store,
    console: &Console,
) -> Result<Summary> {
    let experiment = &loaded.experiment;
    // before the run is announced to other processes, since the announcement must be revocable
    let signals = Signals::listen()?;
    store.open_for_writing()?;
    let mut digests = Digests::of_store(store.root());
    let plan = crate::plan::make(loaded, store, &mut digests)?;
    digests.save();
    let plan = match until {
        Some(last) => plan.until(last)?,
        None => plan,
    };
    console.print(&format!("{}\n{}\n", plan.heading(), plan.render()));

    let mut folders = Folders::of(&plan, store);
    let mut workshop = Workshop {
        store,
        console,
        signals,
        devices: parsed(experiment.device_names())?,
        digests,
        checkpoints: experiment.checkpoints,
        run: None,
    };
    unpack(&plan, &mut workshop)?;
    let ready = match ready(&plan, &workshop) {
        Ok(ready) => ready,
        Err(error) => {
            folders.not_begun(&error)?;
            return Err(error);
        }
    };
    let outcome = folders.begin().and_then(|()| {
        workshop.run = Some(folders.asked().clone());
        let manifests = compute::all(&plan, ready, &mut workshop, &mut folders)?;
        folders.describe(&manifests)
    });
    folders.end(outcome.as_ref().err())?;
    // last, since it reports how the run ended
    if let Err(why) = folders.report() {
        console.note(&format!("warning: no report: {why:#}"));
    }
    outcome
}

fn parsed(names: &[String]) -> latent_align_stages::Result<Vec<DeviceChoice>> {
    names.iter().map(|name| name.parse()).collect()
}

/// Unpacks the flows of the plan that are part of the program, unless the store has them.
fn unpack(plan: &Plan, workshop: &mut Workshop) -> Result<()> {
    for member in &plan.experiments {
        let flow = member.finished_flow.as_ref();
        let name = member.loaded.experiment.flow.as_deref();
        let Some(flow) = flow.and(name).and_then(shipped::named) else {
            continue;
        };
        let key = shipped_key(flow);
        if let State::Whole(_) = workshop.store.state(&key, &mut workshop.digests)? {
            continue;
        }
        let unpacked = workshop.fill(&key, 1, Vec::new(), |context| flow.unpack(&context.dir));
        unpacked.with_context(|| format!("flow: {}", flow.name))?;
    }
    Ok(())
}

/// Opens the device and every input of the stages that must run.
fn ready(plan: &Plan, workshop: &Workshop) -> Result<Vec<Option<compute::Checked>>> {
    if plan.to_run().next().is_none() {
        let console = workshop.console;
        console.print("Nothing to do: every stage is up to date.\n\n");
    } else {
        // A missing or unsuitable device is reported before any data is read.
        let open = |device: &DeviceChoice| {
            let opened = device.open();
            opened.with_context(|| format!("cannot open the device `{device}`"))
        };
        let opened: Vec<_> = workshop.devices.iter().map(open).collect::<Result<_>>()?;
        let mut problems = Problems::new();
        for planned in plan.to_run() {
            let asked = Vec::from_iter(planned.config.numbers());
            let used = workshop.devices_for(planned.config.as_ref()).len();
            problems.section(planned.key.stage.section(), |problems| {
                for (device, name) in opened.iter().zip(&workshop.devices).take(used) {
                    check_numbers(device, &name.to_string(), &asked, problems);
                }
            });
            if used < opened.len() {
                let (stage, first) = (planned.key.stage, &workshop.devices[0]);
                (workshop.console).note(&format!(
                    "{stage} uses only the first of `devices`, {first}"
                ));
            }
        }
        problems.into_result()?;
    }
    compute::prepare(plan, workshop)
}
