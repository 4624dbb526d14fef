//! Distribution matching: the alignment loss minus that of a student flow, which is trained on the latents.

use super::kind::{
    DRAWS, Encoded, Given, Regulariser, RegulariserKind, WEIGHT, check_draws, check_weight, lacks,
};
use super::latents::Latents;
use crate::alignment::student::{Gradient, Schedule, Student, Teacher};
use crate::error::{Error, Result};
use crate::persist::Resumable;
use crate::priors::{Offers, VelocityNetwork, VelocityNetworkConfig};
use crate::problems::Problems;
use burn::tensor::Tensor;
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Distribution matching by a student flow. Unit of the value: the alignment loss minus the student's, per element
/// of latents. The gradient is normalised and has no unit: with `velocities` it is the difference of the points
/// predicted by student and teacher, divided by the mean absolute error of the teacher's in each draw of a row;
/// with `losses` it is that times the networks' Jacobians. So a weight means the same for latents of any scale and
/// width. It trades off against the reconstruction: 0.01 suits `mse` on data in [0, 1].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DistributionMatching {
    /// Weight of the term, relative to its normalised gradient (without unit).
    pub weight: f64,
    /// What the student models: all tokens of a row as one point, or each token as a point of its own.
    pub latents: Latents,
    /// What the gradient flows through.
    pub gradient: Gradient,
    /// (t, noise) draws per row of the student.
    pub draws: usize,
    /// Training steps at the start in which only the student learns and the term is off.
    pub warm_up_steps: u64,
    /// Flow-matching steps of the student per step of the autoencoder.
    pub student_steps: usize,
    /// The student's learning rate.
    pub student_learning_rate: f64,
    /// Network of the correction that the student adds to the frozen flow's velocity; by default as large as the
    /// flow's own, or of the default size if the prior has no network.
    pub student_network: Option<VelocityNetworkConfig>,
}

impl Default for DistributionMatching {
    fn default() -> Self {
        Self {
            weight: WEIGHT,
            latents: Latents::default(),
            gradient: Gradient::default(),
            draws: DRAWS,
            warm_up_steps: 0,
            student_steps: 2,
            student_learning_rate: 1e-3,
            student_network: None,
        }
    }
}

impl RegulariserKind for DistributionMatching {
    fn check(&self, problems: &mut Problems) {
        check_weight(self.weight, problems);
        check_draws(self.draws, problems);
        problems.within("student_steps", self.student_steps, 1..=1000);
        problems.positive("student_learning_rate", self.student_learning_rate, "1e-3");
        if let Some(network) = &self.student_network {
            problems.section("student_network", |p| network.check(p));
        }
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn asks(&self) -> Offers {
        Offers::Velocity
    }

    fn begin<'a>(&'a self, given: Given<'a>) -> Result<Option<Box<dyn Regulariser + 'a>>> {
        let prior = given.prior;
        let teachers = given.priors().map(|prior| {
            let fields = prior.velocity().zip(prior.velocity_tracked());
            fields.map(|(plain, tracked)| Teacher { plain, tracked })
        });
        let teachers = teachers.collect::<Option<Vec<_>>>();
        let teachers = teachers.ok_or_else(|| lacks("the velocity of a probability-flow ODE"))?;
        let width = match self.latents {
            Latents::Whole => given.latent.elements(),
            Latents::Tokens => given.latent.width,
        };
        self.latents.check_prior(prior.shape(), width)?;
        if self.warm_up_steps >= given.steps {
            return Err(Error::input(format!(
                "train_autoencoder.regulariser.warm_up_steps: found {}, expected fewer than the \
                 {} steps of the training: otherwise the term is never used",
                self.warm_up_steps, given.steps
            )));
        }
        let device = prior.device().autodiff();
        let like = || prior.network().map(VelocityNetwork::size);
        let network = (self.student_network.clone())
            .or_else(like)
            .unwrap_or_default();
        let network = network.init(width, given.streams, &device);
        let schedule = Schedule {
            steps: self.student_steps,
            learning_rate: self.student_learning_rate,
            of: given.steps,
        };
        Ok(Some(Box::new(Matching {
            student: Student::new(teachers, given.devices(), network, schedule),
            config: self,
        })))
    }
}

struct Matching<'a> {
    student: Student<'a>,
    config: &'a DistributionMatching,
}

impl Regulariser for Matching<'_> {
    fn term(&self, Encoded { drawn, .. }: Encoded, rng: &mut Pcg64) -> Result<Tensor<1>> {
        let latents = drawn.latents.clone();
        let (gradient, draws) = (self.config.gradient, self.config.draws);
        let loss = (self.student).matching_loss(latents, gradient, draws, rng);
        Ok(match self.student.taken() < self.config.warm_up_steps {
            true => loss.detach(),
            false => loss,
        })
    }

    fn learn(&mut self, latents: Tensor<2>, rng: &mut Pcg64) {
        self.student.learn(latents, rng);
    }

    fn check(&mut self) -> Result<()> {
        self.student.replicas_mut().check()
    }

    fn learner(&mut self) -> Option<&mut dyn Resumable> {
        Some(self.student.replicas_mut())
    }
}
