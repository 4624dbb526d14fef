//! Image windows as rows of a matrix.

use super::image::Image;
use crate::matmul::{Kernel, Left, Part, Right};
use std::ops::Range;

/// Consecutive pixels of a window in one row of the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Run {
    /// Row relative to the window's position.
    down: isize,
    across: isize,
    /// First column and one past the last.
    columns: [usize; 2],
}

/// The runs of windows whose pixels lie at the distances `down` and `across`, with `channels` each.
pub(super) fn runs(
    down: &[(usize, isize)],
    across: &[(usize, isize)],
    channels: usize,
) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for &(_, down) in down {
        let mut next = None; // the pixel that would continue the previous run
        for &(_, across) in across {
            let first = runs.last().map_or(0, |run| run.columns[1]);
            match runs.last_mut() {
                Some(run) if next == Some(across) => run.columns[1] += channels,
                _ => runs.push(Run {
                    down,
                    across,
                    columns: [first, first + channels],
                }),
            }
            next = Some(across + 1);
        }
    }
    runs
}

/// The windows of images [n, height, width, channels], one per row: a `grid` of windows per image, every `step`
/// pixels, each made of the pixels of `runs`. Pixels outside the image are zero.
#[derive(Clone, Copy)]
pub(super) struct Windows<'a> {
    values: &'a [f32],
    image: Image,
    grid: [usize; 2],
    step: usize,
    runs: &'a [Run],
    rows: usize,
    columns: usize,
}

impl<'a> Windows<'a> {
    /// See the fields.
    pub(super) fn new(
        values: &'a [f32],
        image: Image,
        grid: [usize; 2],
        step: usize,
        runs: &'a [Run],
    ) -> Self {
        let images = values.len() / (image.height * image.width * image.channels);
        Self {
            values,
            image,
            grid,
            step,
            runs,
            rows: images * grid[0] * grid[1],
            columns: runs.last().map_or(0, |run| run.columns[1]),
        }
    }

    /// Writes `columns` of consecutive windows, starting at `row`, one into each of `rows`.
    #[inline(always)]
    fn write<'b>(
        &self,
        row: usize,
        columns: Range<usize>,
        rows: impl Iterator<Item = &'b mut [f32]>,
    ) {
        let (rest, mut x) = (row / self.grid[1], row % self.grid[1]);
        let (mut image, mut y) = (rest / self.grid[0], rest % self.grid[0]);
        for into in rows {
            self.write_one([image, y, x], columns.clone(), into);
            x += 1;
            if x == self.grid[1] {
                (x, y) = (0, y + 1);
            }
            if y == self.grid[0] {
                (y, image) = (0, image + 1);
            }
        }
    }

    /// Writes `columns` of one window.
    #[inline(always)]
    fn write_one(&self, [image, y, x]: [usize; 3], columns: Range<usize>, into: &mut [f32]) {
        let Image {
            height,
            width,
            channels,
        } = self.image;
        let (x, y) = ((x * self.step) as isize, (y * self.step) as isize);
        let into = &mut into[..columns.len()];
        for run in self.runs {
            let (from, to) = (
                columns.start.max(run.columns[0]),
                columns.end.min(run.columns[1]),
            );
            if from >= to {
                continue;
            }
            let into = &mut into[from - columns.start..to - columns.start];
            let y = y + run.down;
            if y < 0 || y >= height as isize {
                into.fill(0.0);
                continue;
            }
            // elements in this row of the image, from the left; the ones before and after are zero
            let first = (x + run.across) * channels as isize + (from - run.columns[0]) as isize;
            let before = ((-first).max(0) as usize).min(into.len());
            let end = (width * channels) as isize - first;
            let end = (end.max(0) as usize).clamp(before, into.len());
            if before > 0 {
                into[..before].fill(0.0);
            }
            if end < into.len() {
                into[end..].fill(0.0);
            }
            if before < end {
                let row = (image * height + y as usize) * width * channels;
                let start = (row as isize + first + before as isize) as usize;
                copy(
                    &self.values[start..start + (end - before)],
                    &mut into[before..end],
                );
            }
        }
    }
}

/// Copies elements; short copies avoid the cost of calling `memcpy`.
#[inline(always)]
#[allow(clippy::manual_memcpy)] // see above
fn copy(from: &[f32], into: &mut [f32]) {
    if from.len() >= 32 {
        into.copy_from_slice(from);
        return;
    }
    let count = into.len().min(from.len());
    for i in 0..count {
        into[i] = from[i];
    }
}

impl Left for Windows<'_> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    #[inline(always)]
    unsafe fn part<K: Kernel>(
        &self,
        rows: Range<usize>,
        start: usize,
        length: usize,
        packed: &mut Vec<f32>,
    ) -> Part {
        // a power of two would map all rows to a few cache sets
        let stride = length + 16;
        packed.resize(packed.len().max(rows.len() * stride), 0.0);
        let into = packed.chunks_exact_mut(stride).take(rows.len());
        self.write(rows.start, start..start + length, into);
        Part {
            start: packed.as_ptr(),
            row_stride: stride,
            column_stride: 1,
            group: None,
        }
    }
}

impl Right for Windows<'_> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    #[inline(always)]
    unsafe fn panel<K: Kernel>(
        &self,
        start: usize,
        length: usize,
        column: usize,
        columns: usize,
        packed: &mut [f32],
    ) {
        if columns < K::COLUMNS {
            let rows = packed.chunks_exact_mut(K::COLUMNS).take(length);
            rows.for_each(|row| row[columns..].fill(0.0));
        }
        let rows = packed.chunks_exact_mut(K::COLUMNS).take(length);
        self.write(start, column..column + columns, rows);
    }
}
