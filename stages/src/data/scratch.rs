//! Memory that is used again for one block after another.

use std::ops::Range;

/// A block of rows, and what it takes to read one.
#[derive(Debug, Default)]
pub(super) struct BlockBuffer {
    /// Row-major [n, width].
    pub(super) rows: Vec<f32>,
    /// Which rows of the file they are: ascending ranges.
    pub(super) kept: Vec<Range<usize>>,
    pub(super) scratch: Scratch,
}

/// What a chunk goes through. Words of eight bytes, so that numbers of any size are aligned.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// As it is in the file.
    pub(super) stored: Vec<u64>,
    pub(super) inflated: Vec<u64>,
    /// With the bytes of a number side by side.
    pub(super) ordered: Vec<u64>,
}

/// The first `count` bytes of `words`, which grow to hold them.
pub(super) fn bytes(words: &mut Vec<u64>, count: usize) -> &mut [u8] {
    let needed = count.div_ceil(size_of::<u64>());
    if words.len() < needed {
        words.resize(needed, 0);
    }
    &mut bytemuck::cast_slice_mut(words)[..count]
}
