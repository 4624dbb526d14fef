//! Elementwise operations, in parallel chunks.

use crate::fresh::Fresh;
use crate::parallel::*;
use std::mem::MaybeUninit;

/// Elements per task.
const CHUNK: usize = 1 << 14;

/// Applies `chunk` to `x`; it must write every element.
pub(crate) fn each(x: &[f32], chunk: fn(&[f32], &mut [MaybeUninit<f32>])) -> Vec<f32> {
    let mut out = Fresh::new(x.len());
    (out.room().par_chunks_mut(CHUNK), x.par_chunks(CHUNK)).for_each(|(out, x)| chunk(x, out));
    // SAFETY: both have the same length.
    unsafe { out.written() }
}

/// An operation with two results that writes every element of both.
type WithTwo = fn(&[f32], &mut [MaybeUninit<f32>], &mut [MaybeUninit<f32>]);

/// As [`each`], with two results.
pub(crate) fn two_of_each(x: &[f32], chunk: WithTwo) -> (Vec<f32>, Vec<f32>) {
    let [mut a, mut b] = [(); 2].map(|()| Fresh::new(x.len()));
    let out = (
        a.room().par_chunks_mut(CHUNK),
        b.room().par_chunks_mut(CHUNK),
    );
    (out.0, out.1, x.par_chunks(CHUNK)).for_each(|(a, b, x)| chunk(x, a, b));
    // SAFETY: all three have the same length.
    unsafe { (a.written(), b.written()) }
}

/// As [`each`], for two inputs.
pub(crate) fn each_two(
    x: &[f32],
    y: &[f32],
    chunk: fn(&[f32], &[f32], &mut [MaybeUninit<f32>]),
) -> Vec<f32> {
    assert_eq!(x.len(), y.len(), "numbers of another length");
    let mut out = Fresh::new(x.len());
    let inputs = (x.par_chunks(CHUNK), y.par_chunks(CHUNK));
    (out.room().par_chunks_mut(CHUNK), inputs.0, inputs.1).for_each(|(out, x, y)| chunk(x, y, out));
    // SAFETY: all three have the same length.
    unsafe { out.written() }
}

/// An operation on three inputs that writes every element.
type OfThree = fn(&[f32], &[f32], &[f32], &mut [MaybeUninit<f32>]);

/// As [`each`], for three inputs.
pub(crate) fn each_three([x, y, z]: [&[f32]; 3], chunk: OfThree) -> Vec<f32> {
    assert!(
        x.len() == y.len() && x.len() == z.len(),
        "numbers of another length"
    );
    let mut out = Fresh::new(x.len());
    let inputs = [x, y, z].map(|numbers| numbers.par_chunks(CHUNK));
    let [x, y, z] = inputs;
    (out.room().par_chunks_mut(CHUNK), x, y, z).for_each(|(out, x, y, z)| chunk(x, y, z, out));
    // SAFETY: all four have the same length.
    unsafe { out.written() }
}
