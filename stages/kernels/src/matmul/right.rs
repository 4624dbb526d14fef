//! The right operand of a product, packed in panels as wide as the kernel.

use super::kernel::Kernel;
use super::matrix::Matrix;
use super::number::Number;

/// A matrix [rows, columns] that need not be stored as such.
pub(crate) trait Right<T: Number = f32>: Copy + Sync {
    /// Whether it is packed before the product if several blocks of rows read it.
    const PACK_FIRST: bool = false;

    fn rows(&self) -> usize;

    fn columns(&self) -> usize;

    /// Entry (`row`, `column`) and the distance between rows, if the panel that starts there is best read where it is:
    /// `few` rows of the left operand pass by, or it is packed already.
    fn in_place<K: Kernel<T>>(
        &self,
        _row: usize,
        _column: usize,
        _few: bool,
    ) -> Option<(*const T, usize)> {
        None
    }

    /// Writes rows `start..start + length` and `columns` columns from `column` on into `packed`, padded
    /// with zeros to `K::COLUMNS` columns. `packed` has room for at least that many rows.
    ///
    /// # Safety
    /// Rows and columns must be in bounds, and the processor must have the instructions of `K`.
    unsafe fn panel<K: Kernel<T>>(
        &self,
        start: usize,
        length: usize,
        column: usize,
        columns: usize,
        packed: &mut [T],
    );
}

impl<T: Number> Right<T> for Matrix<'_, T> {
    const PACK_FIRST: bool = true;

    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    #[inline(always)]
    fn in_place<K: Kernel<T>>(
        &self,
        row: usize,
        column: usize,
        few: bool,
    ) -> Option<(*const T, usize)> {
        let entry = || self.values[row * self.row_stride + column..].as_ptr();
        (few && self.column_stride == 1).then(|| (entry(), self.row_stride))
    }

    #[inline(always)]
    unsafe fn panel<K: Kernel<T>>(
        &self,
        start: usize,
        length: usize,
        column: usize,
        columns: usize,
        packed: &mut [T],
    ) {
        let offset = start * self.row_stride + column * self.column_stride;
        // SAFETY: in bounds.
        let from = unsafe { self.values.as_ptr().add(offset) };
        let into = packed.as_mut_ptr();
        if columns == K::COLUMNS && self.column_stride == 1 {
            for p in 0..length {
                // SAFETY: a whole row of the panel.
                unsafe {
                    let from = from.add(p * self.row_stride);
                    std::ptr::copy_nonoverlapping(from, into.add(p * K::COLUMNS), K::COLUMNS);
                }
            }
        } else if columns == K::COLUMNS && self.row_stride == 1 {
            // SAFETY: `length` entries of COLUMNS rows of the untransposed matrix.
            unsafe { K::pack_transposed(from, self.column_stride, length, into) };
        } else {
            packed[..length * K::COLUMNS].fill(T::default());
            for p in 0..length {
                for j in 0..columns {
                    let at = p * self.row_stride + j * self.column_stride;
                    // SAFETY: in bounds.
                    packed[p * K::COLUMNS + j] = unsafe { *from.add(at) };
                }
            }
        }
    }
}
