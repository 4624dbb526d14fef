//! `latent-align sample RUN --count N --out FILE`

use super::applied::{Applied, ConditionArguments, grid};
use super::sequences::{Command, refuse};
use crate::console::Console;
use crate::destination::Destination;
use crate::inference::{Job, Models, Output};
use crate::store::Store;
use anyhow::Result;
use clap::Args;
use latent_align_stages::Error;
use latent_align_stages::inference::{Decoding, Grid, Sample, SampleConfig};
use latent_align_stages::priors::{AwayFrom, Guidance, SampleOptions, Steps, Sweeps, Way};
use latent_align_stages::random::Streams;
use serde_json::json;

/// Options of `sample`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    applied: Applied,
    /// The number of samples
    #[arg(long, value_name = "N")]
    count: usize,
    /// The seed of the noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The standard deviation of the noise
    ///
    /// 1 for the flow's own distribution, less for likelier samples
    #[arg(
        long,
        value_name = "T",
        default_value_t = 1.0,
        allow_negative_numbers = true
    )]
    temperature: f64,
    /// The tolerance of the ODE solver
    ///
    /// Absolute and relative
    #[arg(
        long,
        value_name = "T",
        default_value_t = 1e-5,
        conflicts_with = "steps"
    )]
    tolerance: f64,
    /// Take this many equal steps of the ODE instead (`flow_matching`, `mixture`)
    ///
    /// Steps of Dormand-Prince, 6 evaluations each, without adaptation to the tolerance
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// Draw several tokens at once, iterating until samples change by less (`tarflow`, `starflow`)
    ///
    /// Sweeps over the tokens until no sample changes by more than this relative amount (root mean square); 0 for
    /// as many sweeps as tokens, which is exact
    #[arg(long, value_name = "T", conflicts_with = "steps")]
    sweeps: Option<f64>,
    /// Tokens per sweep; 0 for all of them
    #[arg(long, value_name = "N", default_value_t = 0, requires = "sweeps")]
    sweep_tokens: usize,
    #[command(flatten)]
    condition: ConditionArguments,
    /// The strength of the condition (classifier-free guidance)
    ///
    /// 1 for the density under the condition, more for more typical and less varied samples; for `flow_matching`,
    /// `tarflow` and `starflow`
    #[arg(
        long,
        value_name = "SCALE",
        default_value_t = 1.0,
        allow_negative_numbers = true
    )]
    guidance: f64,
    /// Increase guidance from none at the first token to its full strength at the last (`tarflow`, `starflow`)
    #[arg(long)]
    guidance_rising: bool,
    /// Guide away from the flow at this temperature of its attention (`tarflow`, `starflow`)
    ///
    /// The attention's logits are divided by it. Without it, samples are guided away from the condition "none";
    /// with it, no --condition is needed
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    guidance_temperature: Option<f64>,
    /// Remove noise of this standard deviation, with which the flow was trained, from its samples
    ///
    /// In the flow's space: one step along the gradient of the log-likelihood (Tweedie); for likelihoods in closed
    /// form
    #[arg(long, value_name = "SIGMA", allow_negative_numbers = true)]
    denoise: Option<f64>,
    /// Decode the samples with the run's autoencoder
    ///
    /// It must be aligned with the flow
    #[arg(long)]
    decode: bool,
    /// Also write a grid of the first images, such as 8x8, to OUT with the ending .png
    ///
    /// Of the data that --decode writes, or of a flow of images
    #[arg(long, value_name = "RxC", value_parser = grid)]
    grid: Option<Grid>,
}

/// Draws the samples, and prints where they are and which space they are in.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    let Arguments {
        applied,
        count,
        seed,
        temperature,
        tolerance,
        steps,
        condition,
        guidance,
        sweeps,
        sweep_tokens,
        guidance_rising,
        guidance_temperature,
        denoise,
        decode,
        grid,
    } = arguments;
    let output = Output::new(&applied.out, applied.force)?;
    let picture = applied.out.with_extension("png");
    if grid.is_some() {
        Output::new(&picture, applied.force)?;
    }
    let models = Models::find(store, &applied.run)?;
    if let Some(model) = models.of_sequences()? {
        refuse(&[
            ("--steps", steps.is_some()),
            ("--sweeps", sweeps.is_some()),
            ("--condition", condition.is_given()),
            ("--guidance", *guidance != 1.0),
            ("--guidance-rising", *guidance_rising),
            ("--guidance-temperature", guidance_temperature.is_some()),
            ("--denoise", denoise.is_some()),
            ("--decode", *decode),
            ("--grid", grid.is_some()),
        ])?;
        return Command::new(applied, output, model, store, console).sample(
            *count,
            *seed,
            *temperature,
        );
    }
    let flow = models.flow()?;
    let autoencoder = decode.then(|| models.autoencoder()).transpose()?;
    if let Some(autoencoder) = &autoencoder {
        let aligned = autoencoder.lineage().flow;
        if aligned.as_deref() != Some(flow.fingerprint()) {
            return Err(Error::input(format!(
                "{}: found an autoencoder that is aligned with {}, expected one whose latents \
                 follow the flow {}: decoding that flow's samples with it is meaningless; name a \
                 run with a regulariser such as `alignment` or `flow_kl`, or with a `transport`, \
                 or leave --decode out",
                applied.run.display(),
                aligned.map_or("no flow".to_owned(), |other| format!("the flow {other}")),
                flow.fingerprint(),
            ))
            .into());
        }
    }
    let (condition, of_condition) = condition.open(store)?;
    let config = SampleConfig {
        count: *count,
        condition,
        denoise: *denoise,
        options: SampleOptions {
            streams: Streams::of_stage("sample", *seed),
            temperature: *temperature,
            way: Way {
                steps: match (sweeps, steps) {
                    (Some(tolerance), _) => Steps::Parallel(Sweeps {
                        tolerance: *tolerance,
                        tokens: *sweep_tokens,
                    }),
                    (None, Some(steps)) => Steps::Equal(*steps),
                    (None, None) => Steps::Adaptive(*tolerance),
                },
                guidance: Guidance {
                    scale: *guidance,
                    rising: *guidance_rising,
                    away_from: guidance_temperature.map_or(AwayFrom::None, AwayFrom::Temperature),
                },
            },
        },
    };
    let name = autoencoder.as_ref().map(|own| own.model.data_name());
    let decoding = (autoencoder.as_ref().zip(name.as_ref())).map(|(own, name)| Decoding {
        dir: &own.model.dir,
        through: own.through(),
        name,
    });
    let device = applied.device()?.open()?;
    let fingerprint = flow.fingerprint();
    let work = Sample::open(&flow.dir, fingerprint, decoding.as_ref(), config, &device)?;
    if work.lacks_condition() {
        console
            .note("sample: without --condition, a flow that takes conditions samples under none");
    }
    let told = autoencoder.as_ref().map_or(String::new(), |own| own.told());
    let mut written = format!(
        "{} (points of the flow {fingerprint}{told})",
        work.written()
    );
    if grid.is_some() {
        work.require_images()?;
        written += &format!(", and {}", picture.display());
    }
    let job = Job {
        name: "sample",
        console,
        input: None,
        about: applied.about([
            ("flow", flow.identity()),
            (
                "autoencoder",
                json!(autoencoder.as_ref().map(|own| own.identity())),
            ),
            ("count", json!(count)),
            ("seed", json!(seed)),
            ("temperature", json!(temperature)),
            ("tolerance", json!(tolerance)),
            ("steps", json!(steps)),
            ("condition", of_condition),
            ("guidance", json!(guidance)),
            ("sweeps", json!(sweeps)),
            ("sweep_tokens", json!(sweep_tokens)),
            ("guidance_rising", json!(guidance_rising)),
            ("guidance_temperature", json!(guidance_temperature)),
            ("denoise", json!(denoise)),
        ]),
    };
    job.run(
        &work,
        output,
        |partial, file| {
            if let Some(grid) = *grid {
                let picture = Destination::open(&picture, applied.force)?;
                picture.fill(|file| work.write_grid(partial, grid, file))?;
            }
            work.write(partial, file)
        },
        &written,
    )?;
    let again = work.drawn_again();
    if again > 0 {
        console.note(&format!(
            "sample: {again} samples were not finite and were drawn again"
        ));
    }
    Ok(())
}
