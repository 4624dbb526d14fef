//! Geometry of convolutions: each layer halves an image's size, rounded up, or doubles it.

/// Height and width of a window.
pub(super) const KERNEL: usize = 3;
/// Distance between windows in pixels.
pub(super) const STRIDE: usize = 2;
/// Zero padding in pixels.
pub(super) const PADDING: usize = 1;
