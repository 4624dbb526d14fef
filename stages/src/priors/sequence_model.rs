//! The sequence model in an artifact of `pretrain_flow`, of any kind.

use super::gumbel_max::{self, GumbelMaxModel};
use super::of_sequences::FittedSequences;
use super::seqflow::SequenceFlow;
use super::sequence_vae::{self, SequenceVaeModel};
use crate::error::Result;
use crate::sequences::SequenceModel;
use burn::tensor::Device;
use std::path::Path;

/// Opens the sequence model in `dir`, an artifact of `pretrain_flow`.
///
/// # Errors
/// File errors; input errors for files of another kind of model.
pub fn open_sequence_model(dir: &Path, device: &Device) -> Result<Box<dyn SequenceModel>> {
    Ok(open_fitted_sequences(dir, device)?)
}

/// The same, as a fitted sequence model.
///
/// # Errors
/// As [`open_sequence_model`].
pub fn open_fitted_sequences(dir: &Path, device: &Device) -> Result<Box<dyn FittedSequences>> {
    if dir.join(sequence_vae::FILE).is_file() {
        return Ok(Box::new(SequenceVaeModel::read(dir, device)?));
    }
    if dir.join(gumbel_max::FILE).is_file() {
        return Ok(Box::new(GumbelMaxModel::read(dir, device)?));
    }
    Ok(Box::new(SequenceFlow::read(dir, device)?))
}
