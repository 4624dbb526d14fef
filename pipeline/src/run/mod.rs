//! Running an experiment: plan, check every input, compute what is stale, commit each stage, show.

mod attendance;
mod compute;
mod fill;
mod folders;
mod memory;
mod metrics;
mod monitor;
mod parent;
mod progress;
mod signals;

pub use fill::Workshop;
pub use metrics::write_table;
pub use monitor::StageMonitor;
pub use parent::{PARENT, end_with_parent};
pub use signals::Signals;

use crate::config::Loaded;
use crate::console::Console;
use crate::plan::{Plan, Verdict};
use crate::report::Summary;
use crate::store::{Digests, Manifest, Store};
use anyhow::{Context as _, Result};
use folders::Folders;
use latent_align_stages::devices::DeviceChoice;

/// Brings the artifacts of an experiment up to date, those that `until` needs where that is given, and
/// returns its summary.
///
/// # Errors
/// Wrong input is found before anything is trained. A failure of a later stage leaves the artifacts
/// of earlier ones in place.
pub fn run(
    loaded: &Loaded,
    until: Option<&str>,
    store: &Store,
    console: &Console,
) -> Result<Summary> {
    let experiment = &loaded.experiment;
    // before others are told that this process works on the run: it must be able to take that back
    let signals = Signals::listen()?;
    store.open_for_writing()?;
    let mut digests = Digests::of_store(store.root());
    let plan = crate::plan::make(loaded, store, &mut digests)?;
    digests.save();
    let plan = match until {
        Some(last) => plan.until(last)?,
        None => plan,
    };
    console.print(&format!(
        "{} ({})\n{}\n",
        experiment.name,
        loaded.file.display(),
        plan.render()
    ))?;

    let mut folders = Folders::of(&plan, store)?;
    let attendance = folders.attend()?;
    let outcome = bring_up_to_date(&plan, &mut folders, store, console, digests, signals)
        .and_then(|manifests| folders.describe(&manifests));
    if let Some(attendance) = attendance {
        attendance.end(outcome.as_ref().err(), until.is_none())?;
    }
    // last, since it says how the run ended
    if let Err(why) = folders.report() {
        console.note(&format!("warning: no report: {why:#}"));
    }
    outcome
}

/// Computes what must be computed, and returns the manifest of every stage of the plan.
fn bring_up_to_date(
    plan: &Plan,
    folders: &mut Folders,
    store: &Store,
    console: &Console,
    digests: Digests,
    signals: Signals,
) -> Result<Vec<Manifest>> {
    if plan.to_run().next().is_none() {
        console.print("Nothing to do: every stage is up to date.\n\n")?;
        let mut manifests = Vec::new();
        for (number, planned) in plan.nodes.iter().enumerate() {
            folders.link(number, &planned.key)?;
            if let Verdict::UpToDate(manifest) = &planned.verdict {
                manifests.push((**manifest).clone());
            }
        }
        return Ok(manifests);
    }
    let device: DeviceChoice = plan.experiments[0].loaded.experiment.device.parse()?;
    // A device that is not there is found before any data is read.
    device
        .open()
        .with_context(|| format!("cannot open the device `{device}`"))?;
    let mut workshop = Workshop {
        store,
        console,
        signals,
        device,
        digests,
        checkpoints: plan.experiments[0].loaded.experiment.checkpoints,
        run: Some(folders.asked().clone()),
    };
    compute::all(plan, &mut workshop, folders)
}
