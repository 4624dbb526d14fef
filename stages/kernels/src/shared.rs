//! Output buffers that several tasks fill, each its own part.

use std::marker::PhantomData;

/// A mutable slice that tasks share. Each part is written by one task only, which the caller of
/// [`Self::part`] answers for.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    start: *mut f32,
    length: usize,
    borrowed: PhantomData<&'a mut [f32]>,
}

// SAFETY: parts are disjoint by the contract of `part`.
unsafe impl Send for Shared<'_> {}
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    /// Shares `values`.
    pub(crate) fn new(values: &'a mut [f32]) -> Self {
        Self {
            start: values.as_mut_ptr(),
            length: values.len(),
            borrowed: PhantomData,
        }
    }

    /// The `count` values from `start` on.
    ///
    /// # Safety
    /// No two parts that live at the same time may overlap.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)] // what the type is for
    pub(crate) unsafe fn part(&self, start: usize, count: usize) -> &'a mut [f32] {
        assert!(start + count <= self.length);
        // SAFETY: inside the borrowed slice, and disjoint by contract.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), count) }
    }
}
