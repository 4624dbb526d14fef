//! Minibatches of target samples, for the regularisers that compare latents with samples and need no model of them.

use super::kind::Given;
use super::sampling::Sampling;
use crate::error::Result;
use crate::tensors::{from_f32, indices};
use burn::tensor::Tensor;
use rand::seq::index::sample;
use rand_pcg::Pcg64;

/// Target samples for latents to be compared with.
pub(super) struct Samples<'a> {
    /// Row-major, points of `elements` numbers.
    points: &'a [f32],
    elements: usize,
    /// Points of the prior in a compared row: they are drawn independently of each other.
    together: usize,
    batch: usize,
}

impl<'a> Samples<'a> {
    /// Of the training features in `given`.
    ///
    /// # Errors
    /// As [`Sampling::check_features`].
    pub fn new(sampling: Sampling, given: Given<'a>) -> Result<Self> {
        let shape = given.prior.shape();
        sampling.check_features(given.features, shape, given.latent)?;
        let kept = given.features.expect("checked");
        Ok(Self {
            points: &kept.points.values,
            elements: shape.elements(),
            together: sampling.width(given.latent) / shape.elements(),
            batch: sampling.batch,
        })
    }

    /// Numbers of a row.
    pub fn width(&self) -> usize {
        self.together * self.elements
    }

    /// `count` target rows, row-major. The k-th points of different rows are different features.
    ///
    /// # Panics
    /// Panics for more rows than there are features.
    pub fn draw(&self, count: usize, rng: &mut Pcg64) -> Vec<f32> {
        let of_points = self.points.len() / self.elements;
        let columns: Vec<_> = (0..self.together)
            .map(|_| sample(rng, of_points, count))
            .collect();
        let mut rows = Vec::with_capacity(count * self.width());
        for row in 0..count {
            for column in &columns {
                let at = column.index(row) * self.elements;
                rows.extend_from_slice(&self.points[at..at + self.elements]);
            }
        }
        rows
    }

    /// As many target rows as a batch has, or `at_most` of them, on the device of `like` [.., w].
    pub fn tensor(&self, at_most: usize, like: &Tensor<2>, rng: &mut Pcg64) -> Tensor<2> {
        let count = self.batch.min(at_most);
        let rows = from_f32(self.draw(count, rng), [count, self.width()], &like.device());
        rows.cast(like.dtype())
    }

    /// Rows of the `latents` [n, d] and as many target rows as a batch has.
    pub fn pair(&self, latents: Tensor<2>, rng: &mut Pcg64) -> [Tensor<2>; 2] {
        let latents = self.compared(latents, rng);
        let targets = self.tensor(usize::MAX, &latents, rng);
        [latents, targets]
    }

    /// The `latents` [n, d] as rows to compare: all, or a random batch of them.
    pub fn compared(&self, latents: Tensor<2>, rng: &mut Pcg64) -> Tensor<2> {
        let [n, d] = latents.dims();
        let rows = n * d / self.width();
        let latents = latents.reshape([rows, self.width()]);
        if rows <= self.batch {
            return latents;
        }
        let chosen = sample(rng, rows, self.batch);
        let chosen = indices(chosen.iter(), &latents.device());
        latents.select(0, chosen)
    }
}

/// The squared Euclidean distances [n, m] between rows of `x` [n, w] and of `y` [m, w], at least 0.
pub(super) fn squared_distances(x: &Tensor<2>, y: &Tensor<2>) -> Tensor<2> {
    let norms = |x: &Tensor<2>| x.clone().square().sum_dim(1);
    let products = x.clone().matmul(y.clone().transpose());
    (norms(x) + norms(y).transpose() - products.mul_scalar(2.0)).clamp_min(0.0)
}

/// The mean `[1]` over pairs of different rows of `f` of their squared distance, for `x` [n, w].
pub(super) fn mean_of_pairs(x: &Tensor<2>, f: impl Fn(Tensor<2>) -> Tensor<2>) -> Tensor<1> {
    let [n, _] = x.dims();
    let same = Tensor::<2>::eye(n, &x.device()).cast(x.dtype());
    // a distance of 1 between a row and itself keeps the gradient of a root finite
    let values = f(squared_distances(x, x) + same.clone());
    let different = values * (same.neg() + 1.0);
    different.sum().div_scalar((n * (n - 1)) as f64)
}
