//! Sets up and runs tasks.

use super::exchange::{self, Tensors};
use super::held_out::HeldOut;
use super::jobs::{
    self, Align, Carry, Divergence, Job, Likelihood, NllTarFlow, Probe, SampleTarFlow, SearchRound,
    Shown, Stream, Surrogate, Train, TrainAutoencoder, TrainClassifier, TrainTarFlow, TrainVae,
    TrainWithStudent, WeighVae,
};
use super::protocol::{Reply, Request, Task};
use super::tasks::tasks;
use anyhow::{Context as _, Result, bail};
use burn::tensor::{Device, Tensor};
use latent_align_stages::fused::linear;
use latent_align_stages::priors::FitConfig;
use latent_align_stages::random::Streams;
use latent_align_stages::tensors::from_f32;
use std::io::{BufRead, Write};
use std::time::Instant;

/// Answers the requests of `input` on `output`.
pub fn serve(input: impl BufRead, mut output: impl Write) -> Result<()> {
    let mut worker = Worker {
        device: jobs::device()?,
        prepared: None,
    };
    for line in input.lines() {
        let reply = serde_json::from_str(&line?)
            .context("a request that is not understood")
            .and_then(|request| worker.answer(request))
            .unwrap_or_else(|why| Reply::Failed(format!("{why:#}")));
        writeln!(output, "{}", serde_json::to_string(&reply)?)?;
        output.flush()?;
    }
    Ok(())
}

struct Worker {
    device: Device,
    prepared: Option<Prepared>,
}

/// A task that is set up.
enum Prepared {
    Plain(Box<dyn Job>),
    Likelihood(Box<Likelihood>),
    Fit(Box<Train>, Box<HeldOut>),
}

impl Prepared {
    fn job(&mut self) -> &mut dyn Job {
        match self {
            Self::Plain(job) => job.as_mut(),
            Self::Likelihood(job) => job.as_mut(),
            Self::Fit(job, _) => job.as_mut(),
        }
    }
}

impl Worker {
    fn answer(&mut self, request: Request) -> Result<Reply> {
        Ok(match (request, &mut self.prepared) {
            (Request::Prepare(task), _) => {
                self.prepared = None; // frees its memory first
                self.prepared = Some(prepare(task, &self.device)?);
                Reply::Ready("Burn".to_owned())
            }
            (Request::Product { side, times }, _) => {
                Reply::Values(product_seconds(side, times, &self.device)?)
            }
            (Request::About(()), _) => Reply::Ready(format!(
                "latent-align {}, {} threads, {}",
                env!("CARGO_PKG_VERSION"),
                std::env::var("RAYON_NUM_THREADS").unwrap_or_else(|_| "all".to_owned()),
                jobs::device_name()
            )),
            (Request::Steps(count), Some(prepared)) => {
                let start = Instant::now();
                for _ in 0..count {
                    prepared.job().step()?;
                }
                jobs::wait_for(&self.device)?;
                Reply::Seconds(start.elapsed().as_secs_f64() / count as f64)
            }
            (Request::Show { folder }, Some(prepared)) => {
                prepared.job().show(&Shown(&folder))?;
                Reply::Written(())
            }
            (Request::Likelihoods(()), Some(Prepared::Likelihood(job))) => {
                Reply::Values(job.nll.clone())
            }
            (Request::Reference(()), Some(Prepared::Likelihood(job))) => {
                Reply::Values(job.reference()?)
            }
            (Request::Tasks(wanted), _) => Reply::Tasks(tasks(&wanted)?),
            (Request::HeldOutLoss(()), Some(Prepared::Fit(train, held_out))) => {
                Reply::Values(vec![held_out.loss(&train.averaged())?])
            }
            (request, _) => bail!("no task is set up that could answer {request:?}"),
        })
    }
}

fn prepare(task: Task, device: &Device) -> Result<Prepared> {
    Ok(match task {
        Task::Train { size } => {
            let train = Train::on_noise(size.size, size.precision, device);
            Prepared::Plain(Box::new(train))
        }
        Task::Align { size, .. } => {
            let align = Align::new(size.size, size.precision, device)?;
            Prepared::Plain(Box::new(align))
        }
        Task::Tarflow { size } => Prepared::Plain(Box::new(TrainTarFlow::new(size, device))),
        Task::TarflowNll { size } => Prepared::Plain(Box::new(NllTarFlow::new(size, device))),
        Task::TarflowSamples { size } => {
            Prepared::Plain(Box::new(SampleTarFlow::new(size, true, device)))
        }
        Task::Vae { posterior } => Prepared::Plain(Box::new(TrainVae::new(posterior, device))),
        Task::Autoencoder { size } => {
            Prepared::Plain(Box::new(TrainAutoencoder::new(size, device)))
        }
        Task::Classifier { size } => Prepared::Plain(Box::new(TrainClassifier::new(size, device))),
        Task::Probe { of } => Prepared::Plain(Box::new(Probe::new(of))),
        Task::Student(_) => Prepared::Plain(Box::new(TrainWithStudent::new(device)?)),
        Task::Carry { .. } => Prepared::Plain(Box::new(Carry::new(device)?)),
        Task::Surrogate(_) => Prepared::Plain(Box::new(Surrogate::new())),
        Task::Search(_) => Prepared::Plain(Box::new(SearchRound::new(device)?)),
        Task::Weigh { samples } => Prepared::Plain(Box::new(WeighVae::new(samples, device))),
        Task::Divergence { size } => Prepared::Plain(Box::new(Divergence::new(size.size, device)?)),
        Task::Likelihood {
            size: shape,
            flow,
            points,
            tolerance,
            ..
        } => {
            let flow = exchange::read_flow(&flow, shape.size, device)?;
            let rows = Tensors::read(&points)?.take("points")?;
            let job = Likelihood::new(flow, rows, shape.size, tolerance);
            Prepared::Likelihood(Box::new(job))
        }
        Task::Stream { file, batch, .. } => {
            Prepared::Plain(Box::new(Stream::new(&file, batch, device)?))
        }
        Task::Fit {
            size: shape,
            points,
            optimiser,
            seed,
            ..
        } => {
            let (size, streams) = (shape.size, Streams::new(seed));
            let fit = FitConfig {
                optimiser,
                steps: NO_END,
                ..size.fit()
            };
            let trainer = fit.begin(size.dimensions, streams, device);
            let mut given = Tensors::read(&points)?;
            let rows = given.take("rows")?;
            let train = Train::resume(fit, trainer, rows, streams);
            let held_out = HeldOut::new(&mut given, size.dimensions, device)?;
            Prepared::Fit(Box::new(train), Box::new(held_out))
        }
    })
}

/// Steps of a training with a constant learning rate: only its warm-up depends on it.
const NO_END: u64 = 1 << 32;

/// Seconds of each of `times` products of two f32 matrices [side, side], after one that is not timed.
fn product_seconds(side: usize, times: usize, device: &Device) -> Result<Vec<f64>> {
    let matrix = |step| -> Tensor<2> {
        let values = Streams::new(0).normal("matrix", step, side * side);
        from_f32(values, [side, side], device)
    };
    let (a, b) = (matrix(0), matrix(1));
    let none = Tensor::zeros([side], device);
    let mut seconds = Vec::new();
    for _ in 0..=times {
        let start = Instant::now();
        let product = linear(a.clone(), b.clone(), none.clone());
        jobs::wait_for(device)?;
        seconds.push(start.elapsed().as_secs_f64());
        drop(product);
    }
    Ok(seconds.split_off(1))
}
