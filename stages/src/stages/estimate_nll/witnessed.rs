//! Scores of a region under a witness.

use super::regions::Region;
use crate::error::Result;
use crate::priors::{Batch, Flow, NllOptions, Points, Progress, Witness};

/// The exact NLLs of a region under a witness. A point of the witness may consist of several points of the flow,
/// such as a whole row of tokens, or be a part of one: NLLs of independent parts are then summed.
pub struct Witnessed {
    /// In nats, one per whole point, in coordinates of the flow.
    pub values: Vec<f64>,
    /// Points of the flow per whole.
    pub together: usize,
}

impl Witnessed {
    /// Scores `region`, given as `points`; None if they do not form whole points of the witness.
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

    /// Sums values of the flow's points over each whole.
    pub fn sums(&self, values: &[f64]) -> Vec<f64> {
        sums(values, self.together)
    }

    /// For each point of the flow, the NLL of the whole that contains it.
    pub fn by_point(&self) -> Vec<f64> {
        let repeated = (self.values.iter()).flat_map(|nll| vec![*nll; self.together]);
        repeated.collect()
    }
}

/// The gradient of the witness's NLL at `points` of the flow; None if these are parts of its points.
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

/// Whether both have the same points and conditions; otherwise the witness scores them under "none".
fn alike(witness: &Witness, flow: &Flow) -> bool {
    let own = (flow.prior.shape().elements(), flow.prior.condition());
    (witness.elements(), witness.condition()) == own
}

fn sums(values: &[f64], together: usize) -> Vec<f64> {
    let wholes = values.chunks_exact(together);
    wholes.map(|whole| whole.iter().sum()).collect()
}
