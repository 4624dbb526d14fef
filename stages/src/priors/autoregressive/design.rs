//! What an autoregressive flow is made of; each kind of it fills this in.

use super::guidance::Rule;

/// How a block makes a positive scale of what its network says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// `exp(o)`.
    Exponential,
    /// `softplus(o + ln(e - 1))`, which is 1 at o = 0 and grows slowly.
    Softplus,
}

/// One block.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockDesign {
    /// Layers of its transformer.
    pub layers: usize,
    /// C, numbers a token inside of it.
    pub channels: usize,
    /// Channels of an attention head.
    pub head_width: usize,
    /// Whether a learnt token stands before the first, which is then transformed too.
    pub start: bool,
    /// Rotary positions instead of learnt ones.
    pub rotary: bool,
    /// RMSNorm before the output layer.
    pub last_norm: bool,
    /// How a scale is made.
    pub scale: Scale,
    /// Bound of log-scale and shift, `bound tanh(o / bound)`; none at 0.
    pub soft_clip: f64,
    /// Whether it sees the condition.
    pub conditional: bool,
}

impl BlockDesign {
    /// Of a point of `tokens`, those that its network reads, the start token among them: the last one has none
    /// after it.
    pub fn tokens_read(&self, tokens: usize) -> usize {
        tokens - usize::from(!self.start)
    }

    /// Numbers of a condition that it sees, of `columns`.
    pub fn columns(&self, columns: usize) -> usize {
        columns * usize::from(self.conditional)
    }
}

/// The flow.
#[derive(Debug, Clone)]
pub(super) struct Design {
    /// From the data to the noise.
    pub blocks: Vec<BlockDesign>,
    /// Dropout in training, after attention and MLP of each layer.
    pub dropout: f64,
    /// How guidance leans.
    pub guidance: Rule,
}
