//! The regulariser of an autoencoder's latents, ready to be evaluated.

use super::config::RegulariserConfig;
use super::loss::{alignment_loss, alignment_times};
use super::student::Student;
use super::weighting::Weighted;
use crate::autoencoders::Encoding;
use crate::error::{Error, Result};
use crate::numerics::mean;
use crate::persist::{Resumable, Snapshot};
use crate::priors::{NllOptions, Points, Prior, Tabulated, VelocityField};
use crate::tensors::{from_f32, from_f64};
use burn::tensor::Tensor;
use rand_pcg::Pcg64;

/// The regulariser under a frozen prior.
pub struct Regulariser<'a> {
    config: &'a RegulariserConfig,
    prior: &'a dyn Prior,
    /// The weighted loss it is made of, if it is, and the frozen velocity at its times.
    weighted: Option<(Weighted, Frozen<'a>)>,
    /// Latent elements for each element of data.
    elements: f64,
    student: Option<Student>,
}

/// A frozen velocity on a device with autodiff.
enum Frozen<'a> {
    /// A network's, with a table of what depends on time alone.
    Table(Box<Tabulated>),
    /// Another.
    Field(&'a dyn VelocityField),
}

impl Frozen<'_> {
    fn field(&self) -> &dyn VelocityField {
        match self {
            Self::Table(table) => table.as_ref(),
            Self::Field(field) => *field,
        }
    }
}

impl<'a> Regulariser<'a> {
    /// The regulariser of `config` under the frozen `prior`, which was loaded for gradients, over a training
    /// of `steps` steps; `elements` is the number of latent elements for each element of data.
    ///
    /// # Errors
    /// An input error for a prior without what the regulariser asks for.
    pub fn new(
        config: &'a RegulariserConfig,
        prior: &'a dyn Prior,
        elements: f64,
        steps: u64,
    ) -> Result<Self> {
        let lacks = |what: &str| {
            Error::input(format!(
                "train_autoencoder.regulariser.kind: found one that needs {what}, which the prior has not; expected \
                 `nll` with this prior, or a prior of `kind: flow_matching`"
            ))
        };
        let student = match config {
            RegulariserConfig::DistributionMatching {
                student_steps,
                student_learning_rate,
                ..
            } => {
                let teacher = prior.network().ok_or_else(|| lacks("a velocity network"))?;
                Some(Student::new(
                    teacher,
                    *student_steps,
                    *student_learning_rate,
                    steps,
                ))
            }
            _ => None,
        };
        let frozen = |weighted: Weighted| match (prior.network(), prior.velocity_tracked()) {
            (Some(network), _) => {
                let table = Tabulated::new(network.clone(), alignment_times(weighted));
                Ok((weighted, Frozen::Table(Box::new(table))))
            }
            (None, Some(field)) => Ok((weighted, Frozen::Field(field))),
            (None, None) => Err(lacks("the velocity of a probability-flow ODE")),
        };
        Ok(Self {
            config,
            weighted: config.weighted().map(frozen).transpose()?,
            prior,
            elements,
            student,
        })
    }

    /// The factor on the term.
    pub fn weight(&self) -> f64 {
        self.config.weight()
    }

    /// The term `[1]` before its weight, of `latents` [n, d] drawn from the posterior `encoding`.
    /// `None` if there is no regulariser.
    ///
    /// # Errors
    /// A numerical error from the ODE of `nll`.
    pub fn term(
        &self,
        latents: Tensor<2>,
        encoding: &Encoding,
        rng: &mut Pcg64,
    ) -> Result<Option<Tensor<1>>> {
        Ok(match *self.config {
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
            RegulariserConfig::Nll { tolerance, .. } => Some(self.nll(latents, tolerance)?),
            RegulariserConfig::DistributionMatching { draws, .. } => {
                let student = self.student.as_ref().expect("made with this kind");
                Some(student.matching_loss(latents, draws, rng))
            }
        })
    }

    /// The NLL of `latents` [n, d] in nats an element `[1]`: its graph where it has one, else its value, whose
    /// gradient is that of the ODE.
    fn nll(&self, latents: Tensor<2>, tolerance: f64) -> Result<Tensor<1>> {
        let shape = self.prior.shape();
        let [n, d] = latents.dims();
        let points = n * d / shape.elements();
        let values = latents.reshape([points, shape.tokens, shape.width]);
        let each = 1.0 / shape.elements() as f64;
        if let Some(nll) = self.prior.nll_graph(&Points::new(values.clone())) {
            return Ok(nll.mean().mul_scalar(each));
        }
        let options = NllOptions::exact(tolerance);
        let tracked = values.device().is_autodiff();
        let plain = Points::new(match tracked {
            true => values.clone().inner(),
            false => values.clone(),
        });
        let go_on = &mut |_| Ok(());
        let nll = mean(&self.prior.nll(&plain, &options, go_on)?.values);
        let value = from_f32(vec![(nll * each) as f32], [1], &plain.values.device());
        if !tracked {
            return Ok(value);
        }
        let gradient = self.prior.nll_gradient(&plain, &options, go_on)?;
        let gradient = from_f64(
            gradient,
            values.dims(),
            values.dtype(),
            &plain.values.device(),
        );
        let scale = each / points as f64;
        let along = (values * Tensor::from_inner(gradient))
            .sum()
            .mul_scalar(scale);
        Ok(along.clone() - along.detach() + Tensor::from_inner(value))
    }

    fn weighted_loss(&self, latents: Tensor<2>, draws: usize, rng: &mut Pcg64) -> Tensor<1> {
        let (weighted, frozen) = self.weighted.as_ref().expect("made with this kind");
        let [n, d] = latents.dims();
        let elements = self.prior.shape().elements();
        let points = latents.reshape([n * d / elements, elements]);
        alignment_loss(frozen.field(), points, *weighted, draws, rng)
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
