//! A second likelihood of a flow's points: the exact NLL under another prior over the same features.

use super::artifact::Flow;
use super::condition::ConditionKind;
use super::kind::Batch;
use super::prior::{Nll, NllKind, NllOptions, Placement, Points, Progress};
use crate::data::Normaliser;
use crate::error::{Error, Result};
use crate::tensors::{from_f64, to_f64};
use burn::tensor::Tensor;
use std::path::Path;

/// A prior with an exact NLL, evaluated at the points of another flow. Points become features and then points of
/// this prior by one affine map, y' = (y - mean) M, applied to each of the R features (or tokens of one feature) of
/// a point. NLLs are those of densities in the original coordinates, `NLL(y) = NLL'(y') - R log |det M|`.
pub struct Witness {
    flow: Flow,
    onto: Normaliser,
    /// `R log |det M|`.
    log_det: f64,
}

impl Witness {
    /// Loads the prior in the directory `dir`, for points of `own`.
    ///
    /// # Errors
    /// As [`Flow::load`]; an input error if the prior's points are not a function of those of `own`.
    pub fn load(dir: &Path, own: &Flow, place: &Placement) -> Result<Self> {
        let flow = Flow::load(dir, place)?;
        if flow.layout.logit.is_some() && own.layout.logit.is_none() {
            return Err(Error::input(format!(
                "{}: found a flow of the logits of pixels (pretrain_flow.normalisation.logit), expected one without: \
                 points outside the range of pixels have no likelihood under it",
                dir.display()
            )));
        }
        let onto = own.normaliser.onto(&flow.normaliser);
        let (onto, log_det) = onto
            .and_then(|map| map.log_abs_det().map(|log_det| (map, log_det)))
            .ok_or_else(|| {
                let widths = |of: &Normaliser| format!("{} to {}", of.input_width, of.output_width);
                Error::input(format!(
                    "{}: found a normalisation (width {}) whose points are not a function of \
                     those of the flow (width {}), expected an invertible one, or the same \
                     projection; give both experiments the same pretrain_flow.normalisation",
                    dir.display(),
                    widths(&flow.normaliser),
                    widths(&own.normaliser)
                ))
            })?;
        Ok(Self {
            log_det: log_det * (flow.prior.shape().elements() / onto.output_width) as f64,
            flow,
            onto,
        })
    }

    /// Numbers per point of this prior, which may be several points of the flow, or a part of one.
    pub fn elements(&self) -> usize {
        self.flow.prior.shape().elements()
    }

    /// Kind of its conditions.
    pub fn condition(&self) -> Option<ConditionKind> {
        self.flow.prior.condition()
    }

    /// The NLL in nats of each of the `points` [n, D] in coordinates of the flow, where D is
    /// [elements](Self::elements).
    ///
    /// # Errors
    /// A numerical error if an NLL is not finite; errors of `progress`; device errors.
    pub fn nll(
        &self,
        points: &Batch,
        options: &NllOptions,
        progress: Progress,
    ) -> Result<Vec<f64>> {
        let prior = self.flow.prior.as_ref();
        let own = Batch {
            values: self.onto.apply(&points.values),
            conditions: points.conditions.clone(),
        };
        let own = own.points(prior.shape(), prior.condition(), &prior.device());
        let own = Points {
            values: own.values.cast(prior.dtype()),
            condition: own.condition.map(|c| c.cast(prior.dtype())),
        };
        let Nll { values, kind, .. } = prior.nll(&own, options, progress)?;
        debug_assert_eq!(kind, NllKind::Exact);
        Ok(values.into_iter().map(|nll| nll - self.log_det).collect())
    }

    /// The same `[n]`, differentiable with respect to points [n, T, d] on a device with autodiff. The prior must be
    /// loaded for gradients.
    ///
    /// # Errors
    /// An input error if the NLL has no closed form.
    pub fn nll_graph(&self, points: &Points) -> Result<Tensor<1>> {
        let (shape, width) = (self.flow.prior.shape(), self.onto.output_width);
        let [n, ..] = points.values.dims();
        let rows = n * shape.elements() / width;
        let values = points.values.clone().reshape([rows, width]);
        let tensor = |numbers: Vec<f64>, dims: [usize; 2]| {
            from_f64(numbers, dims, values.dtype(), &values.device())
        };
        let mean = tensor(self.onto.mean.clone(), [1, width]);
        let matrix = tensor(self.onto.matrix(), [width, width]);
        let own = (values - mean).matmul(matrix);
        let own = Points {
            values: own.reshape([n, shape.tokens, shape.width]),
            condition: points.condition.clone(),
        };
        let nll = (self.flow.prior.nll_graph(&own)).ok_or_else(|| {
            Error::input(
                "found a witness without a closed form of its NLL, expected one with a closed form",
            )
        })?;
        Ok(nll.sub_scalar(self.log_det))
    }

    /// The gradient of the NLL of each point with respect to the point: [n, T, d] on the host, in nats. The prior
    /// must be loaded for gradients; `points` are without autodiff.
    ///
    /// # Errors
    /// As [`Self::nll_graph`]; device errors.
    pub fn nll_gradient(&self, points: &Points) -> Result<Vec<f64>> {
        let mut points = points.tracked();
        points.values = points.values.require_grad();
        let gradients = self.nll_graph(&points)?.sum().backward();
        let gradient = points.values.grad(&gradients);
        to_f64(gradient.expect("the NLL depends on the points"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::priors::{Layout, ModelConfig, PointShape};
    use crate::random::Streams;
    use burn::tensor::Device;

    /// N(0, I) over points of this shape, in the coordinates of this normalisation.
    fn normal(shape: PointShape, mean: [f64; 2], matrix: [f64; 4], dir: &Path) -> Flow {
        let model = ModelConfig::examples().swap_remove(1);
        assert_eq!(model.name(), "normal");
        let place = Placement::on(&Device::flex()).for_gradients();
        let prior = model.kind().load(dir, shape, None, &place).unwrap();
        let normaliser = Normaliser::from_parts(mean.into(), matrix.into(), 2, None).unwrap();
        let target = None;
        let flow = Flow {
            prior,
            normaliser,
            layout: Layout::default(),
            target,
        };
        flow.save(&model, dir).unwrap();
        flow
    }

    /// Fails if a determinant has the wrong sign or counts the wrong number of features, or a gradient stays in the
    /// coordinates of the witness.
    #[test]
    fn nlls_and_gradients_are_of_the_points_as_they_came() {
        let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let shape = |tokens, width| PointShape { tokens, width };
        let own = normal(
            shape(1, 2),
            [1.0, -2.0],
            [0.5, 0.0, 0.0, 3.0],
            dirs[0].path(),
        );
        let matrix = [2.0, 0.3, -0.4, 0.7];
        // three features as six tokens of one number
        let other = normal(shape(6, 1), [0.5, 0.0], matrix, dirs[1].path());
        let place = Placement::on(&Device::flex()).for_gradients();
        let witness = Witness::load(dirs[1].path(), &own, &place).unwrap();
        let rows = Streams::new(3).normal("points", 0, 5 * 6);
        // computed through the features
        let nll = |rows: &[f32]| -> Vec<f64> {
            let features = own.normaliser.inverse(rows).unwrap();
            let others = other.normaliser.apply(&features);
            let density_of_features = 2.0 * 0.7 + 0.3 * 0.4f64;
            let change = 3.0 * (1.5f64.ln() - density_of_features.ln());
            let of_row = |row: &[f32]| -> f64 {
                let square = |x: &f32| f64::from(*x).powi(2) + std::f64::consts::TAU.ln();
                0.5 * row.iter().map(square).sum::<f64>() + change
            };
            others.chunks_exact(6).map(of_row).collect()
        };
        let options = NllOptions::exact(1e-3);
        let batch = Batch::new(rows.clone());
        let found = witness.nll(&batch, &options, &mut |_| Ok(())).unwrap();
        for (found, expected) in found.iter().zip(nll(&rows)) {
            assert!((found - expected).abs() < 1e-4, "{found} {expected}");
        }
        let points = Points::new(shape(3, 2).tensor(rows.clone(), &Device::flex()));
        let gradient = witness.nll_gradient(&points).unwrap();
        for (i, found) in gradient.iter().enumerate() {
            let at = |moved: f32| {
                let mut rows = rows.clone();
                rows[i] += moved;
                nll(&rows)[i / 6]
            };
            let expected = (at(1e-2) - at(-1e-2)) / 2e-2;
            let close = (found - expected).abs() < 2e-3 * expected.abs().max(1.0);
            assert!(close, "{i}: {found} {expected}");
        }
    }
}
