//! The normalisation on disk: `mean` `[D]` and `matrix` [D, d] in f64.

use crate::data::Normaliser;
use crate::error::{Error, Result};
use crate::persist::{METADATA, read_whole, save_tensors};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The header of `normalisation.safetensors`.
#[derive(Serialize, Deserialize)]
struct About {
    meaning: String,
    projection_seed: Option<u64>,
}

/// Writes `normaliser` to the safetensors file `path`.
///
/// # Errors
/// File errors.
pub(super) fn save_normaliser(normaliser: &Normaliser, path: &Path) -> Result<()> {
    let bytes =
        |values: &[f64]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
    let (mean, matrix) = (bytes(&normaliser.mean), bytes(&normaliser.matrix()));
    let (from, to) = (normaliser.input_width, normaliser.output_width);
    let view = |shape: Vec<usize>, data| {
        TensorView::new(Dtype::F64, shape, data).map_err(|error| Error::file(path, error))
    };
    let tensors = [
        ("mean", view(vec![from], mean.as_slice())?),
        ("matrix", view(vec![from, to], matrix.as_slice())?),
    ];
    let about = About {
        meaning: "a feature x [D] becomes the point (x - mean) matrix [d]".to_owned(),
        projection_seed: normaliser.projection_seed,
    };
    let about = serde_json::to_string(&about).expect("plain data serialises");
    save_tensors(tensors, about, path)
}

/// Reads the output of [`save_normaliser`].
///
/// # Errors
/// File errors; an input error for a file with other contents.
pub(super) fn load_normaliser(path: &Path) -> Result<Normaliser> {
    let bytes = read_whole(path)?;
    let fail = |error: &dyn std::fmt::Display| Error::file(path, error);
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| fail(&e))?;
    let values = |name: &str| -> Result<(Vec<usize>, Vec<f64>)> {
        let view = tensors.tensor(name).map_err(|e| fail(&e))?;
        if view.dtype() != Dtype::F64 {
            return Err(fail(&format!(
                "`{name}` is {:?}, expected F64",
                view.dtype()
            )));
        }
        let values = view
            .data()
            .chunks_exact(8)
            .map(|b| f64::from_le_bytes(b.try_into().expect("eight bytes")))
            .collect();
        Ok((view.shape().to_vec(), values))
    };
    let (_, mean) = values("mean")?;
    let (shape, matrix) = values("matrix")?;
    let [from, to] = shape[..] else {
        return Err(fail(&format!(
            "`matrix` has shape {shape:?}, expected [D, d]"
        )));
    };
    if mean.len() != from {
        return Err(fail(&format!(
            "`mean` has {} entries, expected {from}",
            mean.len()
        )));
    }
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| fail(&e))?;
    let about = (metadata.metadata().as_ref())
        .and_then(|m| m.get(METADATA))
        .and_then(|about| serde_json::from_str::<About>(about).ok());
    let projection_seed = about.and_then(|about| about.projection_seed);
    Normaliser::from_parts(mean, matrix, to, projection_seed)
}
