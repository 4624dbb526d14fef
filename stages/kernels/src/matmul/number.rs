//! The numbers that matrices are made of.

use super::scratch::Scratch;
use crate::level::Level;
use std::cell::RefCell;
use std::ops::{Add, AddAssign, Mul, Sub};

/// f32 or f64.
pub(crate) trait Number:
    Copy
    + Default
    + Send
    + Sync
    + Add<Output = Self>
    + AddAssign
    + Mul<Output = Self>
    + Sub<Output = Self>
    + 'static
{
    /// Vectors of AVX2 and AVX-512.
    #[cfg(target_arch = "x86_64")]
    type Avx2: Vector<Number = Self>;
    #[cfg(target_arch = "x86_64")]
    type Avx512: Vector<Number = Self>;
    /// Maximum length of a sum computed in one go.
    const DEPTH: usize;

    /// Columns of a product that are held in registers.
    fn panel() -> usize {
        match Level::get() {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => 2 * Self::Avx512::LANES,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => 2 * Self::Avx2::LANES,
            _ => 8,
        }
    }

    /// Calls `with` with this thread's buffers for packed operands.
    fn with_scratch(with: impl FnOnce(&mut Scratch<Self>));
}

/// A vector register.
///
/// # Safety
/// Callers must pass valid pointers and run on a processor with the instructions.
#[cfg(target_arch = "x86_64")]
pub(crate) trait Vector: Copy {
    type Number: Number;
    const LANES: usize;
    unsafe fn zero() -> Self;
    /// Loads from `from`.
    unsafe fn load(from: *const Self::Number) -> Self;
    /// Broadcasts `value`.
    unsafe fn splat(value: Self::Number) -> Self;
    /// `self * factor + summand`, rounded once.
    unsafe fn multiply_add(self, factor: Self, summand: Self) -> Self;
    /// `self + other`.
    unsafe fn add(self, other: Self) -> Self;
    /// `self - other`.
    unsafe fn subtract(self, other: Self) -> Self;
    /// Stores to `into`.
    unsafe fn store(self, into: *mut Self::Number);

    /// Packs `depth` x 2 LANES entries of a transposed operand: entry (p, j) is read from `from[j * stride + p]`.
    #[inline(always)]
    unsafe fn pack_transposed(
        from: *const Self::Number,
        stride: usize,
        depth: usize,
        into: *mut Self::Number,
    ) {
        let columns = 2 * Self::LANES;
        for p in 0..depth {
            for j in 0..columns {
                // SAFETY: required of the caller.
                unsafe { *into.add(p * columns + j) = *from.add(j * stride + p) };
            }
        }
    }
}

macro_rules! number {
    ($number:ty, $depth:literal, $avx2:ident, $avx512:ident) => {
        impl Number for $number {
            #[cfg(target_arch = "x86_64")]
            type Avx2 = std::arch::x86_64::$avx2;
            #[cfg(target_arch = "x86_64")]
            type Avx512 = std::arch::x86_64::$avx512;
            const DEPTH: usize = $depth;

            fn with_scratch(with: impl FnOnce(&mut Scratch<Self>)) {
                thread_local! {
                    static SCRATCH: RefCell<Scratch<$number>> =
                        const { RefCell::new(Scratch { a: Vec::new(), b: Vec::new() }) };
                }
                SCRATCH.with_borrow_mut(with);
            }
        }
    };
}
number!(f32, 512, __m256, __m512);
number!(f64, 256, __m256d, __m512d);
