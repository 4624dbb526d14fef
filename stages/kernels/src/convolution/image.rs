//! The size of an image.

/// Height, width and channels of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// In pixels.
    pub height: usize,
    /// In pixels.
    pub width: usize,
    pub channels: usize,
}

impl Image {
    /// Number of pixels.
    pub(super) fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Number of elements.
    pub(super) fn elements(&self) -> usize {
        self.pixels() * self.channels
    }
}
