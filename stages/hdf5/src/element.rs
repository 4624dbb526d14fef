//! Supported element types.

use crate::raw::exponent_bias;
use hdf5::types::TypeDescriptor;
use serde::Serialize;

/// The element type of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Element {
    /// IEEE half precision.
    F16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision, narrowed to single when read.
    F64,
    /// Bytes, read as 0 to 255.
    U8,
}

impl std::fmt::Display for Element {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::U8 => "u8",
        })
    }
}

impl Element {
    /// Bytes per number.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::F16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// The element type for `dtype`; `None` if unsupported.
pub(crate) fn element_of(dtype: &hdf5::Datatype) -> Option<Element> {
    let bias = || exponent_bias(dtype);
    match dtype.to_descriptor().ok()? {
        TypeDescriptor::Unsigned(size) if size as usize == 1 => Some(Element::U8),
        TypeDescriptor::Float(size) => match (size as usize, bias()) {
            (2, 15) => Some(Element::F16),
            (4, 127) => Some(Element::F32),
            (8, 1023) => Some(Element::F64),
            _ => None,
        },
        _ => None,
    }
}
