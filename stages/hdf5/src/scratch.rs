//! Memory reused from block to block.

/// Buffers for a chunk. Words of eight bytes align numbers of any size.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The chunk as stored.
    pub(crate) stored: Vec<u64>,
    pub(crate) inflated: Vec<u64>,
    /// The chunk after reversing the shuffle filter.
    pub(crate) ordered: Vec<u64>,
}

/// The first `count` bytes of `words`, which grows as needed.
pub(crate) fn bytes(words: &mut Vec<u64>, count: usize) -> &mut [u8] {
    let needed = count.div_ceil(size_of::<u64>());
    if words.len() < needed {
        words.resize(needed, 0);
    }
    &mut bytemuck::cast_slice_mut(words)[..count]
}
