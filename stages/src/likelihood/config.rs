//! Numerical options of likelihoods.

use crate::devices::Numbers;
use burn::tensor::DType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The number format of likelihoods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32 bits, as in training.
    #[default]
    F32,
    /// 64 bits: several times slower, for tolerances below 1e-6.
    F64,
}

impl Precision {
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F64 => DType::F64,
        }
    }

    /// With the configuration `key` that selects it.
    pub fn numbers(self, key: &'static str) -> Numbers {
        let dtype = self.dtype();
        Numbers { key, dtype }
    }
}
