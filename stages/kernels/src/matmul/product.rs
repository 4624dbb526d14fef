//! A product in tasks.

use super::block::{Block, Finished, Target};
use super::dispatch::on_kernel;
use super::epilogue::Epilogue;
use super::left::Left;
use super::number::Number;
use super::place::Place;
use super::right::Right;
use crate::parallel::*;

/// `epilogue(a b)` to `target`, a [m, k], b [k, n], with m, k and n positive; or `parts` partial sums one after another.
pub(super) struct Product<'a, T: Copy, L, R, P, E> {
    a: L,
    b: R,
    parts: usize,
    target: Target<'a, T, P>,
    epilogue: &'a E,
    row_blocks: usize,
    /// Groups of panels, and columns of each.
    groups: usize,
    group: usize,
}

impl<'a, T: Number, L: Left<T>, R: Right<T>, P: Place, E: Epilogue<T>> Product<'a, T, L, R, P, E> {
    pub(super) fn new(a: L, b: R, parts: usize, target: Target<'a, T, P>, epilogue: &'a E) -> Self {
        let panel = T::panel();
        let row_blocks = a.rows().div_ceil(ROWS);
        let panels = b.columns().div_ceil(panel);
        // enough tasks for all threads, each as wide as possible
        let tasks = match threads() {
            1 => 1,
            threads => 2 * threads,
        };
        let groups = tasks.div_ceil(parts * row_blocks).min(panels);
        Self {
            a,
            b,
            parts,
            target,
            epilogue,
            row_blocks,
            groups,
            group: panels.div_ceil(groups) * panel,
        }
    }
}

impl<T: Number, L: Left<T>, R: Right<T>, P: Place, E: Epilogue<T>> Job
    for Product<'_, T, L, R, P, E>
{
    fn count(&self) -> usize {
        self.parts * self.row_blocks * self.groups
    }

    fn run(&self, task: usize) {
        let (rows, depth, columns) = (self.a.rows(), self.a.columns(), self.b.columns());
        let of_part = self.row_blocks * self.groups;
        let (part, task) = (task / of_part, task % of_part);
        let first_row = task / self.groups * ROWS;
        // a group further right has more rows if only the upper part is computed
        let first_column = (self.groups - 1 - task % self.groups) * self.group;
        let block = Block {
            a: self.a,
            b: self.b,
            rows: first_row..(first_row + ROWS).min(rows),
            columns: first_column.min(columns)..(first_column + self.group).min(columns),
            depth: part * depth / self.parts..(part + 1) * depth / self.parts,
            target: self.target,
            offset: part * rows * self.target.stride,
        };
        T::with_scratch(|scratch| {
            on_kernel(Finished {
                block,
                epilogue: self.epilogue,
                scratch,
            })
        });
    }
}
