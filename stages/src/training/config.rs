//! The optimiser and its schedule.

use crate::devices::Numbers;
use crate::problems::Problems;
use burn::tensor::DType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Number format of the velocity network's matrix products in training. Weights, sums, norms and the
/// optimiser stay in f32, and so does every evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "MatmulPrecision")]
pub enum MatmulPrecision {
    /// 32 bits.
    #[default]
    F32,
    /// Operands rounded to bfloat16 (8 bits of precision): fast on GPUs with tensor cores, slower than
    /// f32 on a CPU.
    Bf16,
}

impl MatmulPrecision {
    /// With the configuration `key` that selects it.
    pub fn numbers(self, key: &'static str) -> Numbers {
        let dtype = match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
        };
        Numbers { key, dtype }
    }
}

/// AdamW with linear warm-up, cosine decay, clipping of the global gradient norm, and an
/// exponential moving average of the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OptimiserConfig {
    /// The largest learning rate, reached after the warm-up.
    pub learning_rate: f64,
    /// Steps of linear warm-up from zero; at most half of all steps.
    pub warmup_steps: u64,
    /// The learning rate at the last step, as a fraction of the largest.
    pub final_learning_rate: f64,
    /// Decoupled weight decay (AdamW).
    pub weight_decay: f64,
    /// Decay of the first and second moments.
    pub betas: [f64; 2],
    /// Maximum global L2 norm of a gradient; larger gradients are scaled down.
    pub gradient_clip: f64,
    /// Decay of the moving average of the weights; 0 uses the last weights.
    pub ema: f64,
}

impl Default for OptimiserConfig {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            warmup_steps: 100,
            final_learning_rate: 0.01,
            weight_decay: 0.0,
            betas: [0.9, 0.999],
            gradient_clip: 1.0,
            ema: 0.999,
        }
    }
}

impl OptimiserConfig {
    /// Reports every value out of range.
    pub fn check(&self, problems: &mut Problems) {
        problems.positive("learning_rate", self.learning_rate, "1e-3");
        problems.require(
            (0.0..=1.0).contains(&self.final_learning_rate),
            "final_learning_rate",
            self.final_learning_rate,
            "a share in [0, 1]",
        );
        problems.not_negative("weight_decay", self.weight_decay, "0.01");
        problems.require(
            self.betas.iter().all(|b| (0.0..1.0).contains(b)),
            "betas",
            format!("{:?}", self.betas),
            "two numbers in [0, 1), such as [0.9, 0.999]",
        );
        problems.positive("gradient_clip", self.gradient_clip, "1.0");
        problems.share("ema", self.ema, "0.999");
    }
}
