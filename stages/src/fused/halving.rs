//! How the windows of convolutions lie: each layer halves an image, rounded up, or doubles it.

/// Height and width of a window.
pub(super) const KERNEL: usize = 3;
/// Pixels from one window to the next.
pub(super) const STRIDE: usize = 2;
/// Zeros around the image.
pub(super) const PADDING: usize = 1;
