//! The size of an image.

/// Height, width and channels of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// Numbers of a pixel.
    pub channels: usize,
}

impl Image {
    /// Its pixels.
    pub(super) fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Its numbers.
    pub(super) fn elements(&self) -> usize {
        self.pixels() * self.channels
    }
}
