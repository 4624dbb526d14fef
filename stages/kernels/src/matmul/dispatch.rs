//! Chooses the instructions at run time.

#[cfg(target_arch = "x86_64")]
use super::avx2;
#[cfg(target_arch = "x86_64")]
use super::avx512;
use super::kernel::OnKernel;
use super::number::Number;
use super::portable::Portable;
use crate::level::Level;

/// Runs `work` with the best instructions of this processor.
pub(crate) fn on_kernel<T: Number, W: OnKernel<T>>(work: W) {
    match Level::get() {
        // SAFETY: the level guarantees that the processor has these instructions.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { avx512::run(work) },
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { avx2::run(work) },
        // SAFETY: no special instructions are needed.
        _ => unsafe { work.run::<Portable>() },
    }
}
