//! `latent-align sample RUN --count N --out FILE`

use super::applied::{Applied, ConditionArguments, Picture, grid};
use super::sequences::{Command, refuse};
use crate::console::Console;
use crate::inference::{Autoencoder, Job, Model, Models, Output};
use crate::store::Store;
use anyhow::Result;
use clap::Args;
use latent_align_stages::Error;
use latent_align_stages::inference::{Condition, Decoding, Grid, Sample, SampleConfig};
use latent_align_stages::priors::{AwayFrom, Guidance, SampleOptions, Steps, Sweeps, Way};
use latent_align_stages::random::Streams;
use serde_json::{Map, Value, json};

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

impl Arguments {
    /// The options that models of sequences do not have, and whether each was given.
    fn of_flows(&self) -> [(&str, bool); 9] {
        [
            ("--steps", self.steps.is_some()),
            ("--sweeps", self.sweeps.is_some()),
            ("--condition", self.condition.is_given()),
            ("--guidance", self.guidance != 1.0),
            ("--guidance-rising", self.guidance_rising),
            (
                "--guidance-temperature",
                self.guidance_temperature.is_some(),
            ),
            ("--denoise", self.denoise.is_some()),
            ("--decode", self.decode),
            ("--grid", self.grid.is_some()),
        ]
    }

    fn config(&self, condition: Option<Condition>) -> SampleConfig {
        let away_from = self.guidance_temperature;
        SampleConfig {
            count: self.count,
            condition,
            denoise: self.denoise,
            options: SampleOptions {
                streams: Streams::of_stage("sample", self.seed),
                temperature: self.temperature,
                way: Way {
                    steps: match (self.sweeps, self.steps) {
                        (Some(tolerance), _) => Steps::Parallel(Sweeps {
                            tolerance,
                            tokens: self.sweep_tokens,
                        }),
                        (None, Some(steps)) => Steps::Equal(steps),
                        (None, None) => Steps::Adaptive(self.tolerance),
                    },
                    guidance: Guidance {
                        scale: self.guidance,
                        rising: self.guidance_rising,
                        away_from: away_from.map_or(AwayFrom::None, AwayFrom::Temperature),
                    },
                },
            },
        }
    }

    /// What the samples depend on.
    fn about(
        &self,
        flow: &Model,
        autoencoder: Option<&Autoencoder>,
        condition: Value,
    ) -> Map<String, Value> {
        self.applied.about([
            ("flow", flow.identity()),
            ("autoencoder", json!(autoencoder.map(Autoencoder::identity))),
            ("count", json!(self.count)),
            ("seed", json!(self.seed)),
            ("temperature", json!(self.temperature)),
            ("tolerance", json!(self.tolerance)),
            ("steps", json!(self.steps)),
            ("condition", condition),
            ("guidance", json!(self.guidance)),
            ("sweeps", json!(self.sweeps)),
            ("sweep_tokens", json!(self.sweep_tokens)),
            ("guidance_rising", json!(self.guidance_rising)),
            ("guidance_temperature", json!(self.guidance_temperature)),
            ("denoise", json!(self.denoise)),
        ])
    }
}

/// Draws the samples, and prints where they are and which space they are in.
pub fn run(arguments: &Arguments, store: &Store, console: &Console) -> Result<()> {
    let applied = &arguments.applied;
    let output = Output::new(&applied.out, applied.force)?;
    let picture = Picture::beside(applied, arguments.grid)?;
    let models = Models::find(store, &applied.run)?;
    if let Some(model) = models.of_sequences()? {
        refuse(&arguments.of_flows())?;
        return Command::new(applied, output, model, store, console).sample(
            arguments.count,
            arguments.seed,
            arguments.temperature,
        );
    }
    let flow = models.flow()?;
    let autoencoder = (arguments.decode)
        .then(|| aligned_autoencoder(&models, &flow, applied))
        .transpose()?;
    let (condition, of_condition) = arguments.condition.open(store)?;
    let name = autoencoder.as_ref().map(|own| own.model.data_name());
    let decoding = (autoencoder.as_ref().zip(name.as_ref())).map(|(own, name)| Decoding {
        dir: &own.model.dir,
        through: own.through(),
        name,
    });
    let (config, device) = (arguments.config(condition), applied.device()?.open()?);
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
    if let Some(picture) = &picture {
        work.require_images()?;
        written += &picture.told();
    }
    let job = Job {
        name: "sample",
        console,
        input: None,
        about: arguments.about(&flow, autoencoder.as_ref(), of_condition),
    };
    job.run(
        &work,
        output,
        |partial, file| {
            if let Some(picture) = &picture {
                picture.fill(|grid, file| work.write_grid(partial, grid, file))?;
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

/// The run's autoencoder, which must be aligned with `flow`.
fn aligned_autoencoder(models: &Models, flow: &Model, applied: &Applied) -> Result<Autoencoder> {
    let autoencoder = models.autoencoder()?;
    let aligned = autoencoder.lineage().flow;
    if aligned.as_deref() == Some(flow.fingerprint()) {
        return Ok(autoencoder);
    }
    Err(Error::input(format!(
        "{}: found an autoencoder that is aligned with {}, expected one whose latents follow the \
         flow {}: decoding that flow's samples with it is meaningless; name a run with a \
         regulariser such as `alignment` or `flow_kl`, or with a `transport`, or leave --decode out",
        applied.run.display(),
        aligned.map_or("no flow".to_owned(), |other| format!("the flow {other}")),
        flow.fingerprint(),
    ))
    .into())
}
