//! Free points, moved by the regulariser alone.

use super::before;
use super::config::Config;
use super::diagnose::{Diagnosed, Spread, diagnose};
use super::objective::{Objective, PART, TERMS, length, note};
use super::prior::Prior;
use super::trajectory::Trajectory;
use crate::autoencoders::Points;
use crate::context::{Context, Summary};
use crate::data::{Described, OutData, Part, write_described};
use crate::error::Result;
use crate::figures::train_autoencoder as names;
use crate::persist::Resumable;
use crate::priors::about_points;
use crate::random::Streams;
use crate::tensors::to_f32;
use crate::training::{HeldOut, Step, Task, Term, Trainer, train};

/// Name of the trajectory in checkpoints.
const TRAJECTORY: &str = "trajectory";

/// Moves `count` free points against `prior`, then writes them, their trajectories and diagnostics into the
/// directory of `context`.
///
/// # Errors
/// [`crate::error::Error::Diverged`]; [`crate::error::Error::Cancelled`]; errors of files and of the device.
pub fn move_points(
    config: &Config,
    count: usize,
    prior: &Prior,
    context: &Context,
) -> Result<Summary> {
    let streams = context.streams;
    let device = context.device.clone().autodiff();
    let width = config.latent.width;
    let points = Points::new(count, width, &config.posterior, streams, &device);
    let drawn = |points: &Points, stream: &str| {
        let drawn = points.posterior().draw(&mut streams.at(stream, 0));
        to_f32(drawn.latents)
    };
    let start = drawn(&points, "initial latents")?;
    let mut task = Move {
        objective: Objective::new(config, prior, 1.0, context)?,
        trajectory: Trajectory::new(count, config.steps),
        streams,
    };
    let trainer = Trainer::new(points, &config.optimiser, config.steps);
    let trained = train(trainer, &mut task, length(config), context);
    let trained = context.explain(trained, |_| Vec::new())?; // there are no batches

    let mut trajectory = task.trajectory;
    let posterior = trained.posterior();
    trajectory.keep(config.steps, &posterior.centre())?;
    if width == 2 {
        (context.monitor).table(names::TRAJECTORY, &trajectory.table())?;
    }
    let latents = drawn(&trained, "latents")?;
    let means = (posterior.has_density())
        .then(|| to_f32(posterior.centre()))
        .transpose()?;
    let own = [("points", &*latents), ("initial_points", &*start)];
    let means_of = means.as_deref().map(|means| ("point_means", means));
    write(own.into_iter().chain(means_of), [count, 1, width], context)?;
    before::write(&start, config, context)?;

    let mut summary = Summary::default();
    // points have no data: only the features have parts
    let parts = match prior.test {
        Some(_) => &[Part::HeldOut, Part::Test][..],
        None => &[Part::HeldOut],
    };
    for (number, &against) in parts.iter().enumerate() {
        let shown = number + 1 == parts.len();
        let latents = Diagnosed {
            values: &latents,
            means: means.as_deref(),
            tokens: 1,
            part: None,
            against,
            shown,
            spread: shown.then_some(Spread {
                initial: &start,
                explained: None,
                config,
            }),
        };
        diagnose(&latents, prior, &mut summary, context)?;
    }
    Ok(summary)
}

/// Writes `latents.h5`, whose datasets have one `shape`.
fn write<'a>(
    datasets: impl Iterator<Item = (&'static str, &'a [f32])>,
    shape: [usize; 3],
    context: &Context,
) -> Result<()> {
    let about = about_points();
    let described = datasets.map(|(name, values)| Described {
        name,
        shape: &shape,
        values: OutData::F32(values),
        about: &about,
    });
    let described: Vec<_> = described.collect();
    Ok(write_described(
        &context.dir.join("latents.h5"),
        &described,
        &[],
    )?)
}

/// The training.
struct Move<'a> {
    objective: Objective<'a>,
    trajectory: Trajectory,
    streams: Streams,
}

impl Task<Points, 2> for Move<'_> {
    const PART: &'static str = PART;
    const TERMS: [Term; 2] = TERMS;

    fn step(&mut self, replicas: &[&Points], step: u64) -> Result<Step<2>> {
        let mut rng = self.streams.at("points", step);
        let posterior = replicas[0].posterior();
        self.trajectory.note(step, &posterior.centre())?;
        let drawn = posterior.draw(&mut rng);
        let terms = (self.objective).terms(None, drawn, posterior.as_ref(), &[], &mut rng)?;
        Ok(self.objective.step(terms, step))
    }

    fn learn(&mut self, step: u64) {
        self.objective.learn(step);
    }

    fn check(&mut self) -> Result<()> {
        self.objective.check()
    }

    fn evaluate(&mut self, _: &Points) -> Result<Option<HeldOut<2>>> {
        Ok(None)
    }

    fn note(means: [f64; 2]) -> String {
        note(means)
    }

    fn parts(&mut self) -> Vec<(&'static str, &mut dyn Resumable)> {
        let student = self.objective.part().into_iter();
        let trajectory: (_, &mut dyn Resumable) = (TRAJECTORY, &mut self.trajectory);
        student.chain([trajectory]).collect()
    }
}
