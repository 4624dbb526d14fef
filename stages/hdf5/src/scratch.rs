//! Memory that is used again for one block after another.

/// What a chunk goes through. Words of eight bytes, so that numbers of any size are aligned.
#[derive(Debug, Default)]
pub struct Scratch {
    /// As it is in the file.
    pub(crate) stored: Vec<u64>,
    pub(crate) inflated: Vec<u64>,
    /// With the bytes of a number side by side.
    pub(crate) ordered: Vec<u64>,
}

/// The first `count` bytes of `words`, which grow to hold them.
pub(crate) fn bytes(words: &mut Vec<u64>, count: usize) -> &mut [u8] {
    let needed = count.div_ceil(size_of::<u64>());
    if words.len() < needed {
        words.resize(needed, 0);
    }
    &mut bytemuck::cast_slice_mut(words)[..count]
}
