//! What a pass keeps for the gradient.

use crate::layer_norm::Moments;

/// What a pass keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    Nothing,
    /// What the gradient with respect to h needs.
    ForInput,
    /// What all gradients need.
    ForAll,
}

/// Activations kept for the backward pass.
#[derive(Debug, Clone)]
pub struct Kept {
    pub(super) keep: Keep,
    /// The inputs of all blocks but the first, each [rows, width].
    pub(super) inputs: Vec<Vec<f32>>,
    pub(crate) blocks: Vec<KeptOfBlock>,
}

/// Of a block, each [rows, width]; those that are not needed are empty.
#[derive(Debug, Clone)]
pub(crate) struct KeptOfBlock {
    pub(crate) moments: Vec<Moments>,
    pub(super) u: Vec<f32>,
    /// silu(W1 u + b1), and the derivative of SiLU there.
    pub(super) activation: Vec<f32>,
    pub(crate) slope: Vec<f32>,
    /// Value before the gate.
    pub(super) z: Vec<f32>,
}
