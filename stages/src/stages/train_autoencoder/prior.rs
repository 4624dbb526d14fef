//! The prior of latents.

use crate::classifiers::LabelledFeatures;
use crate::data::Part;
use crate::error::Result;
use crate::priors::{self, Flow, KeptPoints, Placement, Witness};
use burn::tensor::Device;
use std::path::Path;

/// The frozen flow, and the features it was not trained on, as its points.
pub struct Prior {
    /// The flow.
    pub flow: Flow,
    /// Its prior on each further device of a training.
    pub replicas: Vec<Box<dyn priors::Prior>>,
    /// Features of held-out rows.
    pub held_out: Option<KeptPoints>,
    /// Features of test rows, if any.
    pub test: Option<KeptPoints>,
    /// Features that the flow was trained on, if the regulariser compares latents with them.
    pub train: Option<KeptPoints>,
    /// A classifier's features of the rows of data, if the regulariser compares latents with them.
    pub of_rows: Option<LabelledFeatures>,
    /// Another prior over the same features, used by the regulariser instead of the flow.
    pub witness: Option<Witness>,
}

impl Prior {
    /// Loads the prior in the directory `dir`.
    ///
    /// # Errors
    /// File errors; an input error if the files are not those of a prior.
    pub fn load(dir: &Path, place: &Placement) -> Result<Self> {
        Ok(Self {
            flow: Flow::load(dir, place)?,
            replicas: Vec::new(),
            held_out: KeptPoints::load(Part::HeldOut, dir)?,
            test: KeptPoints::load(Part::Test, dir)?,
            train: None,
            of_rows: None,
            witness: None,
        })
    }

    /// Adds the prior in the directory `dir` on each of `devices`.
    ///
    /// # Errors
    /// As [`Flow::load`].
    pub fn also_on(mut self, devices: &[Device], dir: &Path, place: &Placement) -> Result<Self> {
        for device in devices.iter().cloned() {
            let place = Placement {
                device,
                ..place.clone()
            };
            self.replicas.push(Flow::load(dir, &place)?.prior);
        }
        Ok(self)
    }

    /// Adds the training features in the directory `dir`, if there are any.
    ///
    /// # Errors
    /// As [`KeptPoints::load`].
    pub fn with_training_features(mut self, dir: &Path) -> Result<Self> {
        self.train = KeptPoints::load(Part::Train, dir)?;
        Ok(self)
    }

    /// Adds the witness in the directory `dir`.
    ///
    /// # Errors
    /// As [`Witness::load`].
    pub fn beside(mut self, dir: &Path, place: &Placement) -> Result<Self> {
        self.witness = Some(Witness::load(dir, &self.flow, place)?);
        Ok(self)
    }

    /// Whether its points are whole rows of tokens.
    pub fn sequences(&self) -> bool {
        self.flow.prior.shape().tokens > 1
    }

    /// The features for comparison with latents of `part`: those of the same part of the flow's
    /// data, or held-out ones if it has no test part. An imported flow has none.
    pub fn features(&self, part: Part) -> Option<&KeptPoints> {
        match part {
            Part::Test => self.test.as_ref().or(self.held_out.as_ref()),
            _ => self.held_out.as_ref(),
        }
    }
}
