//! How likelihoods are computed.

use crate::devices::Numbers;
use crate::problems::Problems;
use burn::tensor::DType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the divergence of the velocity is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Divergence {
    /// Exactly, by forward mode with d tangents a point.
    #[default]
    Exact,
    /// Estimated with fixed Rademacher probes (Hutchinson), for points of many dimensions; NLLs then
    /// have a standard error.
    Hutchinson {
        /// Probes a point.
        #[serde(default = "default_probes")]
        probes: usize,
    },
}

fn default_probes() -> usize {
    8
}

impl Divergence {
    /// Notes every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        if let Self::Hutchinson { probes } = self {
            problems.require(
                (2..=4096).contains(probes),
                "probes",
                probes,
                "2 to 4096 (two are needed for a standard error)",
            );
        }
    }
}

/// The numbers that likelihoods are computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32 bits, as the network was trained.
    #[default]
    F32,
    /// 64 bits: several times slower, for tolerances below 1e-6.
    F64,
}

impl Precision {
    /// The element type.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F64 => DType::F64,
        }
    }

    /// As a configuration asks for it under `key`.
    pub fn numbers(self, key: &'static str) -> Numbers {
        let dtype = self.dtype();
        Numbers { key, dtype }
    }
}
