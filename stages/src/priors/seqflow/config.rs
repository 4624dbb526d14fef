//! Configuration of a SeqFlow.

use super::context::ContextConfig;
use super::embedding::EmbeddingConfig;
use crate::priors::drawing::Ways;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// SeqFlow: an autoregressive flow over sequences of tokens, with exact decoding of latents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SeqFlow {
    /// Blocks of the flow. Over sequences all contexts read the same tokens, so one block with more couplings does
    /// as well.
    pub blocks: usize,
    /// Couplings inside each token, per block.
    pub couplings: usize,
    /// Width of the two hidden layers of each coupling.
    pub hidden: usize,
    /// The network that reads the tokens before each.
    pub context: ContextConfig,
    /// How tokens of sequences become points; not for numeric features.
    pub embedding: EmbeddingConfig,
}

impl Default for SeqFlow {
    fn default() -> Self {
        Self {
            blocks: 1,
            couplings: 8,
            hidden: 64,
            context: ContextConfig::default(),
            embedding: EmbeddingConfig::default(),
        }
    }
}

impl SeqFlow {
    /// Small configurations for tests: with an LSTM, and with a transformer.
    pub fn examples() -> [Self; 2] {
        let contexts = [
            ContextConfig::Lstm {
                width: 12,
                layers: 2,
            },
            ContextConfig::Transformer {
                width: 16,
                head_width: 8,
                layers: 1,
            },
        ];
        contexts.map(|context| Self {
            blocks: 2,
            couplings: 3,
            hidden: 16,
            context,
            embedding: EmbeddingConfig::default(),
        })
    }
}

/// Supported ways of sampling.
pub(super) const WAYS: Ways = Ways::plain("seqflow");
