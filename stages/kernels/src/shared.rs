//! Output buffers that several tasks fill, each its own part.

use std::marker::PhantomData;

/// A mutable slice that tasks share. Each part is written by one task only, which the callers of
/// [`Self::part`] and [`Self::block`] answer for.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a, T = f32> {
    start: *mut T,
    length: usize,
    borrowed: PhantomData<&'a mut [T]>,
}

// SAFETY: it is a mutable slice, whose parts are disjoint by the contracts of `part` and `block`.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    /// Shares `values`.
    pub(crate) fn new(values: &'a mut [T]) -> Self {
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
    pub(crate) unsafe fn part(&self, start: usize, count: usize) -> &'a mut [T] {
        // SAFETY: inside the borrowed slice, and disjoint by contract.
        unsafe { std::slice::from_raw_parts_mut(self.block(start, 1, 0, count), count) }
    }

    /// Where `rows` rows of `count` values lie, `stride` apart, the first of them at `start`. The pointer
    /// is one into the whole slice: it may go from row to row, but only these values may be touched, and
    /// while nobody else does.
    #[inline(always)]
    pub(crate) fn block(&self, start: usize, rows: usize, stride: usize, count: usize) -> *mut T {
        assert!(start + (rows - 1) * stride + count <= self.length);
        // SAFETY: inside the borrowed slice.
        unsafe { self.start.add(start) }
    }
}
