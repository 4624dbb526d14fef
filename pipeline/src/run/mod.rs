//! Running an experiment: plan, check every input, compute what is stale, commit each stage, show.

mod fill;
mod memory;
mod metrics;
mod monitor;
mod progress;
mod signals;

pub use fill::Workshop;
pub use monitor::StageMonitor;
pub use signals::Signals;

use crate::config::Loaded;
use crate::console::Console;
use crate::job::{Folders, Ready, flow_width};
use crate::plan::{Plan, Planned, Verdict};
use crate::report::Summary;
use crate::store::{Digests, Manifest, RunFolder, Stage, Store};
use anyhow::{Context as _, Result};
use latent_align_stages::devices::DeviceChoice;

/// Brings the artifacts of an experiment up to date and returns its summary.
///
/// # Errors
/// Wrong input is found before anything is trained. A failure of a later stage leaves the artifacts
/// of earlier ones in place.
pub fn run(loaded: &Loaded, store: &Store, console: &Console) -> Result<Summary> {
    let experiment = &loaded.experiment;
    store.open_for_writing()?;
    let mut digests = Digests::of_store(store.root());
    let plan = crate::plan::make(experiment, store, &mut digests)?;
    digests.save();
    console.print(&format!(
        "{} ({})\n{}\n",
        experiment.name,
        loaded.file.display(),
        plan.render()
    ))?;

    let folder = RunFolder::of(store, &experiment.name);
    for stage in Stage::ALL {
        let present = plan.stages.iter().any(|p| p.job.stage() == stage);
        if !present {
            folder.unlink(stage);
        }
    }
    if let Some((flow, _)) = &plan.finished_flow {
        folder.link(Stage::PretrainFlow, &flow.dir)?;
    }

    let idle = plan.to_run().next().is_none();
    let manifests = if idle {
        console.print("Nothing to do: every stage is up to date.\n\n")?;
        let mut manifests = Vec::new();
        for planned in plan.stages {
            folder.link(planned.key.stage, &store_path(store, &planned))?;
            if let Verdict::UpToDate(manifest) = planned.verdict {
                manifests.push(*manifest);
            }
        }
        manifests
    } else {
        let device: DeviceChoice = experiment.device.parse()?;
        // A device that is not there is found before any data is read.
        device
            .open()
            .with_context(|| format!("cannot open the device `{device}`"))?;
        let mut workshop = Workshop {
            store,
            console,
            signals: Signals::listen()?,
            device,
            digests,
        };
        compute(plan, experiment.seed, &mut workshop, &folder)?
    };

    let summary = Summary::new(loaded, &folder, &manifests);
    folder.write(
        "config.yaml",
        &serde_yaml::to_string(experiment).context("the configuration cannot be written")?,
    )?;
    folder.write("summary.md", &summary.markdown())?;
    Ok(summary)
}

fn store_path(store: &Store, planned: &Planned) -> std::path::PathBuf {
    store.artifact(planned.key.stage, &planned.key.fingerprint())
}

/// Prepares every stage that will run, then runs and commits them in order.
fn compute(
    plan: Plan,
    seed: u64,
    workshop: &mut Workshop,
    folder: &RunFolder,
) -> Result<Vec<Manifest>> {
    let ready = prepare(&plan, seed, workshop)?;
    let mut folders = Folders {
        flow: plan.finished_flow.as_ref().map(|f| f.0.dir.clone()),
        autoencoder: None,
    };
    let mut manifests = Vec::new();
    for (planned, ready) in plan.stages.into_iter().zip(ready) {
        let stage = planned.key.stage;
        let place = store_path(workshop.store, &planned);
        let manifest = match (planned.verdict, ready) {
            (Verdict::Run(_), Some(ready)) => {
                let (ready, warnings) = ready;
                workshop
                    .fill(&planned.key, warnings, |context| {
                        ready.run(&folders, context)
                    })
                    .with_context(|| format!("stage {stage}"))?
            }
            (Verdict::UpToDate(manifest), _) => *manifest,
            (Verdict::Run(_), None) => anyhow::bail!("{stage} was planned but not prepared"),
        };
        folder.link(stage, &place)?;
        match stage {
            Stage::PretrainFlow => folders.flow = Some(place),
            Stage::TrainAutoencoder => folders.autoencoder = Some(place),
            Stage::EstimateNll => {}
        }
        manifests.push(manifest);
    }
    Ok(manifests)
}

/// A stage whose input is good, and what its scan warned of.
type Checked = (Ready, Vec<String>);

/// Opens and scans the inputs of every stage that will run, so that wrong data surfaces before any
/// training.
///
/// With each comes what its scan warned of.
fn prepare(plan: &Plan, seed: u64, workshop: &Workshop) -> Result<Vec<Option<Checked>>> {
    let mut finished = plan.finished_flow.as_ref().map(|f| f.0.dir.clone());
    let mut width = None;
    let mut all = Vec::new();
    for planned in &plan.stages {
        let stage = planned.job.stage();
        let ready = if matches!(planned.verdict, Verdict::Run(_)) {
            let needs_width = stage == Stage::TrainAutoencoder;
            let flow_width = match (width, &finished) {
                (Some(width), _) => width,
                (None, Some(dir)) if needs_width => flow_width(dir)
                    .with_context(|| format!("reading the flow in {}", dir.display()))?,
                (None, _) => 0,
            };
            let monitor = workshop.monitor(stage, None);
            let ready = planned
                .job
                .prepare(seed, flow_width, &monitor)
                .with_context(|| format!("stage {stage}"));
            let warnings = monitor.finish();
            Some((ready?, warnings?))
        } else {
            if stage == Stage::PretrainFlow {
                finished = Some(store_path(workshop.store, planned));
            }
            None
        };
        if let Some(made) = ready.as_ref().and_then(|r| r.0.latent_width()) {
            width = Some(made);
        }
        all.push(ready);
    }
    Ok(all)
}
