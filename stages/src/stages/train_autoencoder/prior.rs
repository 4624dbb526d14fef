//! What latents are held to.

use crate::data::Part;
use crate::priors::{Flow, KeptPoints};

/// The frozen flow, and the features it was trained without, as its points.
pub(super) struct Prior {
    pub flow: Flow,
    pub held_out: Option<KeptPoints>,
    pub test: Option<KeptPoints>,
}

impl Prior {
    /// The features to compare latents of `part` with: those of that part of the flow's data, or
    /// held-out ones where it has no test part. An imported flow has none.
    pub fn features(&self, part: Part) -> Option<&KeptPoints> {
        match part {
            Part::Test => self.test.as_ref().or(self.held_out.as_ref()),
            _ => self.held_out.as_ref(),
        }
    }
}
