//! Distribution matching: a student that learns the latents beside the frozen flow.

use super::kind::{
    DRAWS, Given, Regulariser, RegulariserKind, WEIGHT, check_draws, check_weight, lacks,
};
use crate::alignment::student::Student;
use crate::error::Result;
use crate::persist::Resumable;
use crate::posteriors::{Draw, Posterior};
use crate::priors::Offers;
use crate::problems::Problems;
use burn::tensor::Tensor;
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Distribution matching by a student flow. Its unit: the mean square of the difference of both velocities for
/// each element of latents; its gradient is that difference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DistributionMatching {
    /// Factor on the term.
    pub weight: f64,
    /// (t, noise) draws a token.
    pub draws: usize,
    /// Flow-matching steps of the student for each step of the autoencoder.
    pub student_steps: usize,
    /// The student's learning rate.
    pub student_learning_rate: f64,
}

impl Default for DistributionMatching {
    fn default() -> Self {
        Self {
            weight: WEIGHT,
            draws: DRAWS,
            student_steps: 2,
            student_learning_rate: 1e-3,
        }
    }
}

impl RegulariserKind for DistributionMatching {
    fn check(&self, problems: &mut Problems) {
        check_weight(self.weight, problems);
        check_draws(self.draws, problems);
        problems.within("student_steps", self.student_steps, 1..=1000);
        problems.positive("student_learning_rate", self.student_learning_rate, "1e-3");
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn asks(&self) -> Offers {
        Offers::Network
    }

    fn begin<'a>(&'a self, given: Given<'a>) -> Result<Option<Box<dyn Regulariser + 'a>>> {
        let teacher = (given.prior.network()).ok_or_else(|| lacks("a velocity network"))?;
        let (steps, rate) = (self.student_steps, self.student_learning_rate);
        Ok(Some(Box::new(Matching {
            student: Student::new(teacher, steps, rate, given.steps),
            draws: self.draws,
        })))
    }
}

struct Matching {
    student: Student,
    draws: usize,
}

impl Regulariser for Matching {
    fn term(&self, drawn: &Draw, _: &dyn Posterior, rng: &mut Pcg64) -> Result<Tensor<1>> {
        let latents = drawn.latents.clone();
        Ok(self.student.matching_loss(latents, self.draws, rng))
    }

    fn learn(&mut self, latents: Tensor<2>, rng: &mut Pcg64) {
        self.student.learn(latents, rng);
    }

    fn check(&mut self) -> Result<()> {
        self.student.trainer_mut().check()
    }

    fn learner(&mut self) -> Option<&mut dyn Resumable> {
        Some(self.student.trainer_mut())
    }
}
