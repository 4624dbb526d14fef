//! The design of an autoregressive flow; each kind fills it in.

use super::guidance::Rule;

/// How a block computes a positive scale from the network's output o.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// `exp(o)`.
    Exponential,
    /// `softplus(o + ln(e - 1))`, which is 1 at o = 0 and grows linearly.
    Softplus,
}

/// Design of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockDesign {
    /// Transformer layers.
    pub layers: usize,
    /// C, the width of the transformer.
    pub channels: usize,
    /// Channels of an attention head.
    pub head_width: usize,
    /// Whether a learnt start token precedes the first token, which is then transformed too.
    pub start: bool,
    /// Rotary positional encoding instead of learnt positions.
    pub rotary: bool,
    /// RMSNorm before the output layer.
    pub last_norm: bool,
    pub scale: Scale,
    /// Bound of log-scale and shift, `bound tanh(o / bound)`; 0 for none.
    pub soft_clip: f64,
    /// Whether the block sees the condition.
    pub conditional: bool,
}

impl BlockDesign {
    /// Number of tokens the network reads for points of `tokens`, including the start token: the last token is
    /// not read.
    pub fn tokens_read(&self, tokens: usize) -> usize {
        tokens - usize::from(!self.start)
    }

    /// Width of the condition that the block sees, out of `columns`.
    pub fn columns(&self, columns: usize) -> usize {
        columns * usize::from(self.conditional)
    }
}

/// Design of the flow.
#[derive(Debug, Clone)]
pub(super) struct Design {
    /// From data to noise.
    pub blocks: Vec<BlockDesign>,
    /// Dropout in training, after attention and MLP of each layer.
    pub dropout: f64,
    /// How guidance is applied.
    pub guidance: Rule,
}
