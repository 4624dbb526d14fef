//! Conversion of an HDF5 file to safetensors.

use crate::error::{Error, Result};
use crate::listing::list;
use crate::raw::Readable;
use crate::write::read_dataset;
use safetensors::{Dtype, tensor::TensorView};
use std::path::Path;

/// Converts the datasets of the file at `path` to tensors of the same name (without the leading slash),
/// type and shape. For files written by this crate, with f32, f64, u8 and i64; holds all of it in memory.
///
/// # Errors
/// Input errors for a file that is missing or damaged, or has other types.
pub fn as_safetensors(path: &Path) -> Result<Vec<u8>> {
    let mut tensors = Vec::new();
    for dataset in list(path)? {
        let name = dataset.name.trim_start_matches('/').to_owned();
        let (dtype, (shape, bytes)) = match dataset.dtype.as_str() {
            "f32" => (Dtype::F32, bytes(path, &name, f32::to_le_bytes)?),
            "f64" => (Dtype::F64, bytes(path, &name, f64::to_le_bytes)?),
            "i64" => (Dtype::I64, bytes(path, &name, i64::to_le_bytes)?),
            "u8" => (Dtype::U8, bytes(path, &name, u8::to_le_bytes)?),
            other => {
                return Err(Error::input(format!(
                    "`{}` in {} holds {other}; expected f32, f64, u8 or i64",
                    dataset.name,
                    path.display()
                )));
            }
        };
        tensors.push((name, dtype, shape, bytes));
    }
    let mut views = Vec::new();
    for (name, dtype, shape, bytes) in &tensors {
        let view = TensorView::new(*dtype, shape.clone(), bytes);
        views.push((name, view.map_err(|e| Error::file(path, e))?));
    }
    safetensors::serialize(views, None).map_err(|e| Error::file(path, e))
}

/// Shape and little-endian values of a dataset.
fn bytes<T: Readable, const N: usize>(
    path: &Path,
    name: &str,
    le: impl Fn(T) -> [u8; N],
) -> Result<(Vec<usize>, Vec<u8>)> {
    let (shape, values) = read_dataset::<T>(path, name, std::any::type_name::<T>())?;
    Ok((shape, values.into_iter().flat_map(le).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::{OutData, write_datasets};
    use safetensors::SafeTensors;

    #[test]
    fn every_dataset_is_a_tensor_with_its_type_shape_and_values() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.h5");
        let datasets: [(&str, &[usize], OutData); 4] = [
            (
                "latents",
                &[2, 1, 2],
                OutData::F32(&[1.5, -2.0, f32::NAN, 0.1]),
            ),
            ("inner/wide", &[2], OutData::F64(&[1e300, 0.1])),
            ("items", &[3], OutData::I64(&[-1, 0, i64::MAX])),
            ("images", &[1, 2], OutData::U8(&[0, 255])),
        ];
        write_datasets(&path, &datasets, &[]).unwrap();
        let bytes = as_safetensors(&path).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(tensors.len(), 4);
        for (name, shape, values) in datasets {
            let (dtype, expected): (Dtype, Vec<u8>) = match values {
                OutData::F32(v) => (Dtype::F32, v.iter().flat_map(|x| x.to_le_bytes()).collect()),
                OutData::F64(v) => (Dtype::F64, v.iter().flat_map(|x| x.to_le_bytes()).collect()),
                OutData::I64(v) => (Dtype::I64, v.iter().flat_map(|x| x.to_le_bytes()).collect()),
                OutData::U8(v) => (Dtype::U8, v.to_vec()),
                OutData::F16(_) => unreachable!("no such dataset above"),
            };
            let tensor = tensors.tensor(name).unwrap();
            assert_eq!((tensor.dtype(), tensor.shape()), (dtype, shape), "{name}");
            assert_eq!(tensor.data(), expected, "{name}");
        }
    }
}
