//! A block of rows.

/// A block of rows with the lengths of `z` and `given` per row.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub z: &'a [f32],
    pub given: &'a [f32],
    /// M.
    pub size: usize,
    /// Numbers of `given` per row.
    pub count: usize,
}

impl<'a> Rows<'a> {
    /// `z` and `given` of each row.
    #[inline(always)]
    pub fn each(self) -> impl Iterator<Item = (&'a [f32], &'a [f32])> {
        (self.z.chunks_exact(self.size)).zip(self.given.chunks_exact(self.count))
    }
}
