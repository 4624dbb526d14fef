//! Memory for what a kernel computes, written before it is read. To fill it with zeros first would cost
//! 4 % of a forward pass or of tangents at width 256.

use std::mem::MaybeUninit;

/// What tests find where nothing was written: a NaN that no arithmetic makes.
const UNWRITTEN: u32 = 0x7fa5_5a5a;

/// Room for numbers that a kernel writes, every one.
pub(crate) struct Fresh(Box<[MaybeUninit<f32>]>);

impl Fresh {
    /// Room for `count` numbers.
    pub(crate) fn new(count: usize) -> Self {
        let mut room = Box::new_uninit_slice(count);
        if cfg!(all(test, not(miri))) {
            room.fill(MaybeUninit::new(f32::from_bits(UNWRITTEN)));
        }
        Self(room)
    }

    /// Where they go.
    pub(crate) fn room(&mut self) -> &mut [MaybeUninit<f32>] {
        &mut self.0
    }

    /// The numbers.
    ///
    /// # Safety
    /// Every one must have been written.
    pub(crate) unsafe fn written(self) -> Vec<f32> {
        // SAFETY: the caller's.
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
        // SAFETY: all three are written.
        assert_eq!(unsafe { fresh.written() }, [0.0, 1.0, 2.0]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri finds it by itself")]
    #[should_panic(expected = "never written")]
    fn tests_find_what_was_not_written() {
        let mut fresh = Fresh::new(3);
        fresh.room()[1].write(1.0);
        // SAFETY: in tests, and only in tests, all of it holds something.
        unsafe { fresh.written() };
    }
}
