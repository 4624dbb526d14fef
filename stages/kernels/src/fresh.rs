//! Uninitialised memory for kernel outputs. Zeroing it first would cost 4 % of a forward pass or of
//! tangents at width 256.

use std::mem::MaybeUninit;

/// Fill value in tests: a NaN that no arithmetic produces.
const UNWRITTEN: u32 = 0x7fa5_5a5a;

/// An uninitialised buffer that a kernel fills completely.
pub(crate) struct Fresh(Box<[MaybeUninit<f32>]>);

impl Fresh {
    /// A buffer of `count` elements.
    pub(crate) fn new(count: usize) -> Self {
        let mut room = Box::new_uninit_slice(count);
        if cfg!(all(test, not(miri))) {
            room.fill(MaybeUninit::new(f32::from_bits(UNWRITTEN)));
        }
        Self(room)
    }

    /// The uninitialised elements.
    pub(crate) fn room(&mut self) -> &mut [MaybeUninit<f32>] {
        &mut self.0
    }

    /// The initialised elements.
    ///
    /// # Safety
    /// Every element must have been written.
    pub(crate) unsafe fn written(self) -> Vec<f32> {
        // SAFETY: required of the caller.
        let values = unsafe { self.0.assume_init() }.into_vec();
        if cfg!(all(test, not(miri))) {
            let missing = values.iter().position(|v| v.to_bits() == UNWRITTEN);
            assert_eq!(missing, None, "never written, of {}", values.len());
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_comes_back() {
        let mut fresh = Fresh::new(3);
        for (i, value) in fresh.room().iter_mut().enumerate() {
            value.write(i as f32);
        }
        // SAFETY: all three elements are written.
        assert_eq!(unsafe { fresh.written() }, [0.0, 1.0, 2.0]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri finds it by itself")]
    #[should_panic(expected = "never written")]
    fn tests_find_what_was_not_written() {
        let mut fresh = Fresh::new(3);
        fresh.room()[1].write(1.0);
        // SAFETY: in tests, `new` fills the buffer.
        unsafe { fresh.written() };
    }
}
