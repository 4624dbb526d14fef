//! A step of `train-autoencoder` with distribution matching, including the student's steps.

use super::priors::prior_of;
use super::{Job, Shown, Size, Tensors};
use burn::module::Module as _;
use burn::tensor::{Device, Tensor};
use latent_align_stages::Result;
use latent_align_stages::alignment::{
    DistributionMatching, Encoded, Given, Regulariser, RegulariserKind as _,
};
use latent_align_stages::architectures::ArchitectureConfig;
use latent_align_stages::autoencoders::{
    Autoencoder, AutoencoderHeader, LatentConfig, Reconstruction,
};
use latent_align_stages::data::DataShape;
use latent_align_stages::posteriors::{Deterministic, PosteriorConfig};
use latent_align_stages::priors::{Placement, Prior, VelocityNetwork};
use latent_align_stages::random::{Streams, normal, stratified_times};
use latent_align_stages::tensors::{from_f32, scalar, to_f32};
use latent_align_stages::training::{OptimiserConfig, Trainer};
use rand_pcg::Pcg64;

/// The autoencoder of `configs/digits-student.yaml` trained on random images, repeatedly.
pub struct TrainWithStudent {
    trainer: Option<Trainer<Autoencoder>>,
    regulariser: Box<dyn Regulariser>,
    flow: VelocityNetwork,
    student: VelocityNetwork,
    images: Tensor<4>,
    done: u64,
}

/// Images of a step.
pub const IMAGES: usize = 128;
const SIDE: usize = 8;
/// The weight of the regulariser.
const WEIGHT: f64 = 0.02;
/// The flow of tokens; the student's points are two tokens.
pub const FLOW: Size = Size {
    dimensions: 16,
    width: 256,
    blocks: 4,
    batch: IMAGES,
};
pub const STUDENT: Size = Size {
    dimensions: 2 * FLOW.dimensions,
    ..FLOW
};
/// Times shared by the points of a step.
const TIMES: usize = 64;
/// Steps of the autoencoder before the comparison, in which the student learns.
const LEARNT: u64 = 5;
/// The standard deviation of the noise added to the flow's weights.
const SCALE: f32 = 0.05;

/// The student's configuration.
pub fn matching() -> DistributionMatching {
    DistributionMatching {
        weight: WEIGHT,
        ..DistributionMatching::default()
    }
}

fn streams() -> Streams {
    Streams::new(0)
}

/// The random numbers of a step, for its loss and the student.
fn draws(step: u64) -> Pcg64 {
    streams().at("draws", step)
}

fn learning(step: u64) -> Pcg64 {
    streams().at("student", step)
}

impl TrainWithStudent {
    /// # Errors
    /// File errors.
    pub fn new(device: &Device) -> Result<Self> {
        let flow = (FLOW.network()).init(FLOW.dimensions, streams(), device);
        Self::beside(flow, device)
    }

    /// # Errors
    /// File errors.
    fn beside(flow: VelocityNetwork, device: &Device) -> Result<Self> {
        let header = AutoencoderHeader {
            architecture: ArchitectureConfig::Dense {
                widths: vec![256, 256],
                gated: false,
            },
            latent: LatentConfig {
                tokens: 2,
                width: FLOW.dimensions,
                top: None,
            },
            posterior: PosteriorConfig::Deterministic(Deterministic {}),
            reconstruction: Reconstruction::Mse,
            shape: DataShape {
                channels: 1,
                height: SIDE,
                width: SIDE,
            },
            maximum: 16.0,
            binarise: None,
        };
        let place = Placement::on(device).for_gradients();
        let tracked = device.clone().autodiff();
        // the regulariser borrows it for the lifetime of the process
        let matching: &'static DistributionMatching = Box::leak(Box::new(matching()));
        let prior: &'static dyn Prior = Box::leak(prior_of(&flow, FLOW, &place)?);
        let regulariser = matching.begin(Given {
            prior,
            replicas: &[],
            witness: None,
            features: None,
            of_rows: None,
            elements: 1.0,
            latent: header.latent.shape(),
            steps: 1 << 32,
            streams: streams(),
        })?;
        let model = Autoencoder::new(&header, streams(), &tracked).expect("it has data");
        let count = IMAGES * SIDE * SIDE;
        Ok(Self {
            trainer: Some(Trainer::new(model, &OptimiserConfig::default(), 1 << 32)),
            regulariser: regulariser.expect("it has a term"),
            flow,
            // as created by the regulariser
            student: (STUDENT.network()).init(STUDENT.dimensions, streams(), &tracked),
            images: from_f32(
                streams().normal("images", 0, count),
                [IMAGES, 1, SIDE, SIDE],
                &tracked,
            ),
            done: 0,
        })
    }

    /// The reconstruction loss and the regulariser, and the latents.
    fn terms(&self, model: &Autoencoder, step: u64) -> Result<([Tensor<1>; 2], Tensor<2>)> {
        let mut rng = draws(step);
        let posterior = model.encode(self.images.clone());
        let drawn = posterior.draw(&mut rng);
        let decoded = model.decode(drawn.latents.clone());
        let losses = model.reconstruction_losses(Reconstruction::Mse, decoded, self.images.clone());
        let term = self.regulariser.term(
            Encoded {
                drawn: &drawn,
                posterior: &*posterior,
                items: &[],
            },
            &mut rng,
        )?;
        Ok(([losses.mean(), term], drawn.latents))
    }
}

/// Adds to `given` the draws from `rng` for a loss over `count` of the student's points, as `name`.
fn add_draws(given: &mut Tensors, name: &str, count: usize, rng: &mut Pcg64) {
    let times = stratified_times(rng, TIMES);
    let times = times.into_iter().map(|time| time as f32).collect();
    given.add(&format!("{name}.times"), [TIMES], times);
    let noise = normal(rng, count * STUDENT.dimensions);
    given.add(&format!("{name}.noise"), [count, STUDENT.dimensions], noise);
}

impl Job for TrainWithStudent {
    fn step(&mut self) -> Result<()> {
        let trainer = self.trainer.take().expect("put back below");
        let ([reconstruction, term], latents) = self.terms(&trainer.module, self.done)?;
        let loss = reconstruction + term.mul_scalar(WEIGHT);
        self.trainer = Some(trainer.step(loss.backward()));
        self.regulariser.learn(latents, &mut learning(self.done));
        self.done += 1;
        Ok(())
    }

    /// The results are the loss and the weighted regulariser after some steps of the student.
    fn show(&mut self, to: &Shown) -> anyhow::Result<()> {
        let flow = to.perturbed(self.flow.clone(), SCALE)?;
        *self = Self::beside(flow, &self.images.device().inner())?;
        let model = self.trainer.as_ref().expect("between steps").module.clone();
        to.module("flow", &self.flow)?;
        to.module("student", &self.student)?;
        to.module("model", &model)?;
        let matching = matching();
        let mut given = Tensors::default();
        let images = to_f32(self.images.clone().inner())?;
        given.add("images", [IMAGES, SIDE * SIDE], images);
        for step in 0..LEARNT {
            let (_, latents) = self.terms(&model, step)?;
            self.regulariser.learn(latents, &mut learning(step));
            let mut rng = learning(step);
            for of_step in 0..matching.student_steps {
                let number = step as usize * matching.student_steps + of_step;
                add_draws(&mut given, &format!("learning.{number}"), IMAGES, &mut rng);
            }
        }
        add_draws(
            &mut given,
            "draws",
            matching.draws * IMAGES,
            &mut draws(LEARNT),
        );
        to.given(&given)?;
        let ([reconstruction, term], _) = self.terms(&model, LEARNT)?;
        let value = scalar(term.clone().inner())? as f32;
        to.loss_and_gradient(&model, reconstruction + term)?;
        let mut found = Tensors::read(&to.file(super::FOUND))?;
        found.add("term", [1], vec![value]);
        to.found(&found)
    }
}
