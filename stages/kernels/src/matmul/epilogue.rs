//! Operations fused into a matrix product.

use crate::activation::{silu_and_slope, silu_of};
use crate::shared::Shared;
use std::mem::MaybeUninit;

/// An operation on each entry of a product once its sum is complete.
pub(crate) trait Epilogue<T = f32>: Sync {
    /// Changes `values`, the entries (row, column..), in place. Each entry is visited once.
    fn finish(&self, row: usize, column: usize, values: &mut [T]);
}

/// Leaves entries as they are.
pub(crate) struct Plain;

impl<T> Epilogue<T> for Plain {
    #[inline(always)]
    fn finish(&self, _: usize, _: usize, _: &mut [T]) {}
}

/// Adds a bias `[columns]` to each row.
pub(crate) struct AddBias<'a>(pub(crate) &'a [f32]);

impl Epilogue for AddBias<'_> {
    #[inline(always)]
    fn finish(&self, _: usize, column: usize, values: &mut [f32]) {
        let bias = &self.0[column..column + values.len()];
        for (value, bias) in values.iter_mut().zip(bias) {
            *value += bias;
        }
    }
}

/// SiLU of the sum with a bias; writes its derivative to `slope`.
pub(crate) struct BiasSilu<'a> {
    pub(crate) bias: &'a [f32],
    pub(crate) slope: Option<Shared<'a, MaybeUninit<f32>>>,
}

impl Epilogue for BiasSilu<'_> {
    #[inline(always)]
    fn finish(&self, row: usize, column: usize, values: &mut [f32]) {
        let count = values.len();
        let bias = &self.bias[column..column + count];
        match &self.slope {
            None => {
                for i in 0..count {
                    values[i] = silu_of(values[i] + bias[i]);
                }
            }
            Some(slope) => {
                // SAFETY: each entry is finished once.
                let slope = unsafe { slope.part(row * self.bias.len() + column, count) };
                for i in 0..count {
                    let (value, of_value) = silu_and_slope(values[i] + bias[i]);
                    values[i] = value;
                    slope[i].write(of_value);
                }
            }
        }
    }
}
