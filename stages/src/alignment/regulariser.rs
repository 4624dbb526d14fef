//! The regulariser of an autoencoder's latents, ready to be evaluated.

use super::config::RegulariserConfig;
use super::loss::{alignment_loss, alignment_times};
use super::student::Student;
use super::weighting::Weighted;
use crate::autoencoders::Encoding;
use crate::error::Result;
use crate::flows::{Tabulated, VelocityNetwork};
use crate::persist::{Resumable, Snapshot};
use burn::tensor::Tensor;
use rand_pcg::Pcg64;

/// The regulariser under a frozen flow.
pub struct Regulariser<'a> {
    config: &'a RegulariserConfig,
    /// The weighted loss it is made of, if it is, and the frozen flow at its times.
    weighted: Option<(Weighted, Tabulated)>,
    /// Latent elements for each element of data.
    elements: f64,
    student: Option<Student>,
}

impl<'a> Regulariser<'a> {
    /// The regulariser of `config` under the frozen `flow` on a device with autodiff, over a training
    /// of `steps` steps; `elements` is the number of latent elements for each element of data.
    pub fn new(
        config: &'a RegulariserConfig,
        flow: &VelocityNetwork,
        elements: f64,
        steps: u64,
    ) -> Self {
        let student = match config {
            RegulariserConfig::DistributionMatching {
                student_steps,
                student_learning_rate,
                ..
            } => Some(Student::new(
                flow,
                *student_steps,
                *student_learning_rate,
                steps,
            )),
            _ => None,
        };
        let weighted = config.weighted();
        Self {
            config,
            weighted: weighted.map(|w| (w, Tabulated::new(flow.clone(), alignment_times(w)))),
            elements,
            student,
        }
    }

    /// The factor on the term.
    pub fn weight(&self) -> f64 {
        self.config.weight()
    }

    /// The term `[1]` before its weight, of `latents` [n, d] drawn from the posterior `encoding`.
    /// `None` if there is no regulariser.
    pub fn term(
        &self,
        latents: Tensor<2>,
        encoding: &Encoding,
        rng: &mut Pcg64,
    ) -> Option<Tensor<1>> {
        match *self.config {
            RegulariserConfig::None => None,
            RegulariserConfig::Kl { .. } => {
                let kl = encoding.kl().expect("checked: the posterior has noise");
                Some(kl.mul_scalar(self.elements))
            }
            RegulariserConfig::Alignment { draws, .. } => {
                Some(self.weighted_loss(latents, draws, rng))
            }
            RegulariserConfig::FlowKl { draws, .. } => {
                let nll = self.weighted_loss(latents, draws, rng);
                let entropy = encoding.entropy().expect("checked: it has noise");
                Some((nll - entropy).mul_scalar(self.elements))
            }
            RegulariserConfig::DistributionMatching { draws, .. } => {
                let student = self.student.as_ref().expect("made with this kind");
                Some(student.matching_loss(latents, draws, rng))
            }
        }
    }

    fn weighted_loss(&self, latents: Tensor<2>, draws: usize, rng: &mut Pcg64) -> Tensor<1> {
        let (weighted, flow) = self.weighted.as_ref().expect("made with this kind");
        alignment_loss(flow, latents, *weighted, draws, rng)
    }

    /// What is learned from the latents [n, d] of a step besides the autoencoder: the student.
    pub fn learn(&mut self, latents: Tensor<2>, rng: &mut Pcg64) {
        if let Some(student) = &mut self.student {
            student.learn(latents, rng);
        }
    }

    /// Refuses to go on if what is learned went wrong since the last check; waits for the device.
    ///
    /// # Errors
    /// [`crate::error::Error::Diverged`] names the first such step of the autoencoder.
    pub fn check(&mut self) -> Result<()> {
        match &mut self.student {
            Some(student) => student.trainer_mut().check(),
            None => Ok(()),
        }
    }
}

/// The student is the only thing that learns.
impl Resumable for Regulariser<'_> {
    fn save(&self, name: &str, snapshot: &mut Snapshot) -> Result<()> {
        match &self.student {
            Some(student) => student.trainer().save(name, snapshot),
            None => Ok(()),
        }
    }

    fn restore(&mut self, name: &str, snapshot: &Snapshot) -> Result<()> {
        match &mut self.student {
            Some(student) => student.trainer_mut().restore(name, snapshot),
            None => Ok(()),
        }
    }
}
