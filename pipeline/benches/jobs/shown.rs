//! Results of a job in files, for comparison with another implementation.

use super::Tensors;
use anyhow::Result;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Gradients, Tensor};
use latent_align_stages::persist::{load_weights, save_weights};
use latent_align_stages::random::Streams;
use latent_align_stages::tensors::scalar;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A folder of safetensors files.
pub struct Shown<'a>(pub &'a Path);

/// The inputs of the job, instead of random draws.
const GIVEN: &str = "given";
/// The results, and the gradient of the loss with respect to the weights.
pub const FOUND: &str = "found";
const GRADIENT: &str = "gradient";

impl Shown<'_> {
    /// The file of the item called `name`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name).with_extension("safetensors")
    }

    /// Writes the weights of `module`.
    pub fn module<M: Module>(&self, name: &str, module: &M) -> Result<()> {
        Ok(save_weights(module, &self.file(name), "{}")?)
    }

    /// `module` with N(0, scale^2) added to each weight, because initial zeros would hide
    /// differences.
    pub fn perturbed<M: Module>(&self, mut module: M, scale: f32) -> Result<M> {
        let file = self.file("perturbed");
        save_weights(&module, &file, "{}")?;
        let mut weights = Tensors::read(&file)?;
        weights.perturb(scale, Streams::new(6));
        weights.write(&file)?;
        load_weights(&mut module, &file)?;
        Ok(module)
    }

    pub fn given(&self, tensors: &Tensors) -> Result<()> {
        tensors.write(&self.file(GIVEN))
    }

    pub fn found(&self, tensors: &Tensors) -> Result<()> {
        tensors.write(&self.file(FOUND))
    }

    pub fn gradient(&self, tensors: &Tensors) -> Result<()> {
        tensors.write(&self.file(GRADIENT))
    }

    /// Writes `loss` as a result; returns its gradients.
    pub fn loss(&self, loss: Tensor<1>) -> Result<Gradients> {
        let mut found = Tensors::default();
        found.add("loss", [1], vec![scalar(loss.clone().inner())? as f32]);
        self.found(&found)?;
        Ok(loss.backward())
    }

    /// Writes `loss` as a result, and its gradient with respect to the weights of `module`.
    pub fn loss_and_gradient<M: Module>(&self, module: &M, loss: Tensor<1>) -> Result<()> {
        let gradient = gradient_of(module, self.loss(loss)?);
        Ok(save_weights(&gradient, &self.file(GRADIENT), "{}")?)
    }
}

/// `module`, each weight replaced by the gradient with respect to it.
fn gradient_of<M: Module>(module: &M, gradients: Gradients) -> M {
    struct Take(Gradients, HashMap<ParamId, Tensor<1>>);
    impl ModuleVisitor for Take {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = param.val().grad(&self.0) {
                let count = gradient.shape().num_elements();
                self.1.insert(param.id, gradient.reshape([count]));
            }
        }
    }
    struct Put(HashMap<ParamId, Tensor<1>>);
    impl ModuleMapper for Put {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let gradient = self.0.remove(&param.id);
            param.map(|weight| match gradient {
                Some(gradient) => gradient.reshape(weight.dims()),
                None => weight.zeros_like(),
            })
        }
    }
    let mut take = Take(gradients, HashMap::new());
    module.visit(&mut take);
    module.valid().map(&mut Put(take.1))
}
