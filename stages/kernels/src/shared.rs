//! Output buffers that several tasks fill, each in its own part.

use std::marker::PhantomData;

/// A mutable slice shared by tasks. Callers of [`Self::part`] and [`Self::block`] guarantee that each
/// part is written by one task only.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a, T = f32> {
    start: *mut T,
    length: usize,
    borrowed: PhantomData<&'a mut [T]>,
}

// SAFETY: it is a mutable slice whose parts are disjoint by the contracts of `part` and `block`.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(values: &'a mut [T]) -> Self {
        Self {
            start: values.as_mut_ptr(),
            length: values.len(),
            borrowed: PhantomData,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The `count` values from `start` on.
    ///
    /// # Safety
    /// Parts that live at the same time must not overlap.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)] // the purpose of the type
    pub(crate) unsafe fn part(&self, start: usize, count: usize) -> &'a mut [T] {
        // SAFETY: inside the borrowed slice, and disjoint by contract.
        unsafe { std::slice::from_raw_parts_mut(self.block(start, 1, 0, count), count) }
    }

    /// The `count` values from `start` on, for parts of them.
    ///
    /// # Safety
    /// As [`Self::part`].
    pub(crate) unsafe fn within(&self, start: usize, count: usize) -> Self {
        // SAFETY: required of the caller.
        Self::new(unsafe { self.part(start, count) })
    }

    /// Pointer to a block of `rows` rows of `count` values at distance `stride`, the first one at
    /// `start`. The pointer may move through the whole slice, but only the block's values may be
    /// accessed, and only while nothing else does.
    #[inline(always)]
    pub(crate) fn block(&self, start: usize, rows: usize, stride: usize, count: usize) -> *mut T {
        assert!(start + (rows - 1) * stride + count <= self.length);
        // SAFETY: inside the borrowed slice.
        unsafe { self.start.add(start) }
    }
}
