//! A right operand packed once for many blocks of rows or products.

use super::dispatch::on_kernel;
use super::kernel::{Kernel, OnKernel};
use super::number::Number;
use super::right::Right;
use crate::parallel::*;
use crate::shared::Shared;
use std::mem::MaybeUninit;

/// Panels and rows packed by one task. A row of neighbouring panels is on the same page of memory.
const PANELS: usize = 8;
const ROWS_OF_PANELS: usize = 32;

/// A matrix [rows, columns] in panels as wide as the kernel.
#[derive(Debug, Clone)]
pub(crate) struct Packed<T = f32> {
    /// [panels, rows, columns of a panel], padded with zeros.
    values: Box<[T]>,
    rows: usize,
    columns: usize,
}

impl<T: Number> Packed<T> {
    pub(crate) fn new<R: Right<T>>(matrix: R) -> Self {
        let mut packed = Self::all(&[matrix]);
        packed.pop().expect("of one")
    }

    /// Packs matrices beside each other.
    pub(crate) fn all<R: Right<T>>(matrices: &[R]) -> Vec<Self> {
        let size = |matrix: &R| matrix.rows() * matrix.columns().next_multiple_of(T::panel());
        let mut values: Vec<_> = (matrices.iter())
            .map(|matrix| Box::new_uninit_slice(size(matrix)))
            .collect();
        let jobs: Vec<_> = (matrices.iter().zip(&mut values))
            .map(|(matrix, values)| Packing {
                matrix: *matrix,
                room: Shared::new(values),
            })
            .collect();
        together(&jobs.iter().map(|job| job as &dyn Job).collect::<Vec<_>>());
        (matrices.iter().zip(values))
            .map(|(matrix, values)| Self {
                // SAFETY: the tasks cover all panels.
                values: unsafe { values.assume_init() },
                rows: matrix.rows(),
                columns: matrix.columns(),
            })
            .collect()
    }
}

/// Packs a matrix to `room`.
struct Packing<'a, T, R> {
    matrix: R,
    room: Shared<'a, MaybeUninit<T>>,
}

impl<T: Number, R: Right<T>> Packing<'_, T, R> {
    /// Tasks down the matrix.
    fn down(&self) -> usize {
        self.matrix.rows().div_ceil(ROWS_OF_PANELS)
    }
}

impl<T: Number, R: Right<T>> Job for Packing<'_, T, R> {
    fn count(&self) -> usize {
        self.down() * self.matrix.columns().div_ceil(PANELS * T::panel())
    }

    fn run(&self, task: usize) {
        let down = self.down();
        on_kernel(Pack {
            matrix: self.matrix,
            row: task % down * ROWS_OF_PANELS,
            column: task / down * PANELS * T::panel(),
            room: self.room,
        });
    }
}

/// Packs the part of some panels that starts at `row` and `column`.
struct Pack<'a, T, R> {
    matrix: R,
    row: usize,
    column: usize,
    room: Shared<'a, MaybeUninit<T>>,
}

impl<T: Number, R: Right<T>> OnKernel<T> for Pack<'_, T, R> {
    #[inline(always)]
    unsafe fn run<K: Kernel<T>>(self) {
        let (rows, columns) = (self.matrix.rows(), self.matrix.columns());
        let count = ROWS_OF_PANELS.min(rows - self.row);
        let end = columns.min(self.column + PANELS * K::COLUMNS);
        for column in (self.column..end).step_by(K::COLUMNS) {
            let at = column * rows + self.row * K::COLUMNS;
            // SAFETY: inside the matrix; the caller has the instructions, and only this task writes here.
            unsafe {
                let packed = self.room.part(at, count * K::COLUMNS).assume_init_mut();
                let columns = K::COLUMNS.min(columns - column);
                (self.matrix).panel::<K>(self.row, count, column, columns, packed);
            }
        }
    }
}

impl<T: Number> Right<T> for &Packed<T> {
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
        _few: bool,
    ) -> Option<(*const T, usize)> {
        let start = column * self.rows + row * K::COLUMNS;
        Some((self.values[start..].as_ptr(), K::COLUMNS))
    }

    #[inline(always)]
    unsafe fn panel<K: Kernel<T>>(&self, _: usize, _: usize, _: usize, _: usize, _: &mut [T]) {
        unreachable!("every panel is read in place");
    }
}
