//! What follows each entry of a product.

/// What is done with each entry of a product once it is complete.
pub(crate) trait Epilogue: Sync {
    /// `values` are the entries (row, column..), to be changed in place. Each entry is seen once; rows
    /// of one block of [`crate::parallel::ROWS`] in ascending order, by one thread.
    fn finish(&self, row: usize, column: usize, values: &mut [f32]);
}

/// Leaves entries as they are.
pub(crate) struct Plain;

impl Epilogue for Plain {
    #[inline(always)]
    fn finish(&self, _: usize, _: usize, _: &mut [f32]) {}
}

/// Adds a bias `[columns]` to each row.
pub(super) struct AddBias<'a>(pub(super) &'a [f32]);

impl Epilogue for AddBias<'_> {
    #[inline(always)]
    fn finish(&self, _: usize, column: usize, values: &mut [f32]) {
        let bias = &self.0[column..column + values.len()];
        for (value, bias) in values.iter_mut().zip(bias) {
            *value += bias;
        }
    }
}
