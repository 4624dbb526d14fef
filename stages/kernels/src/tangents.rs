//! Tangents of points.

/// Tangents of points [points, k, width], or the same ones for every point [1, k, width].
#[derive(Clone, Copy)]
pub struct Tangents<'a> {
    /// Row-major.
    pub values: &'a [f32],
    /// Tangents per point.
    pub count: usize,
}

impl<'a> Tangents<'a> {
    pub(crate) fn of_point(&self, point: usize, width: usize) -> &'a [f32] {
        let row = self.count * width;
        match self.values.len() == row {
            true => self.values,
            false => &self.values[point * row..][..row],
        }
    }

    pub(crate) fn same_everywhere(&self, width: usize) -> bool {
        self.values.len() == self.count * width
    }
}
