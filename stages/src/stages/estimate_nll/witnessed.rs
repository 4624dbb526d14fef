//! What a witness says of a region.

use super::regions::Region;
use crate::error::Result;
use crate::priors::{Batch, Flow, NllOptions, Points, Progress, Witness};

/// The exact NLLs of a region under a witness. Its points may be several points of the flow, such as whole rows of
/// tokens, or parts of one: NLLs of independent parts add up to that of the whole.
pub struct Witnessed {
    /// In nats, one a whole, in coordinates of the flow.
    pub values: Vec<f64>,
    /// Points of the flow in a whole.
    pub together: usize,
}

impl Witnessed {
    /// Those of `region`, scored as `points`; none where its points are no whole ones.
    ///
    /// # Errors
    /// As [`Witness::nll`].
    pub fn of(
        witness: &Witness,
        flow: &Flow,
        region: &Region,
        points: &Batch,
        options: &NllOptions,
        progress: Progress,
    ) -> Result<Option<Self>> {
        let (own, others) = (flow.prior.shape().elements(), witness.elements());
        let whole = own.max(others);
        let together = whole / own;
        if !region.group.is_multiple_of(together) || region.count() == 0 {
            return Ok(None);
        }
        let points = Batch {
            values: points.values.clone(),
            conditions: points.conditions.clone().filter(|_| alike(witness, flow)),
        };
        let parts = witness.nll(&points, options, progress)?;
        Ok(Some(Self {
            values: sums(&parts, whole / others),
            together,
        }))
    }

    /// What stands for each whole, of values of the points of the flow in it.
    pub fn sums(&self, values: &[f64]) -> Vec<f64> {
        sums(values, self.together)
    }

    /// For each point of the flow the NLL of the whole that it is in.
    pub fn by_point(&self) -> Vec<f64> {
        let repeated = (self.values.iter()).flat_map(|nll| vec![*nll; self.together]);
        repeated.collect()
    }
}

/// The gradient of the witness's NLL at `points` of the flow; none where these are parts of its points.
///
/// # Errors
/// As [`Witness::nll_gradient`].
pub fn gradient(witness: &Witness, flow: &Flow, points: &Points) -> Result<Option<Vec<f64>>> {
    let (own, others) = (flow.prior.shape().elements(), witness.elements());
    if !own.is_multiple_of(others) {
        return Ok(None);
    }
    let parts = points.count() * own / others;
    let points = Points {
        values: (points.values.clone()).reshape([parts, 1, others]),
        condition: points.condition.clone().filter(|_| alike(witness, flow)),
    };
    witness.nll_gradient(&points).map(Some)
}

/// Whether points of both are the same and conditioned alike; else the witness scores them under "none".
fn alike(witness: &Witness, flow: &Flow) -> bool {
    let own = (flow.prior.shape().elements(), flow.prior.condition());
    (witness.elements(), witness.condition()) == own
}

fn sums(values: &[f64], together: usize) -> Vec<f64> {
    let wholes = values.chunks_exact(together);
    wholes.map(|whole| whole.iter().sum()).collect()
}
